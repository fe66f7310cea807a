import { selfDiagnosis } from '../bugchecks/self-diagnosis.ts';
import type { Pattern, Review } from '../engine/diagnosis.ts';
import { affineThread } from './affine-thread/rule.ts';
import { blockedThread } from './blocked-thread/rule.ts';
import { busySystem } from './busy-system/rule.ts';
import { coincidentalSymbolicInformation } from './coincidental-symbolic-information/rule.ts';
import { deadlock } from './deadlock/rule.ts';
import { dispatchLevelSpin } from './dispatch-level-spin/rule.ts';
import { distributedSpike } from './distributed-spike/rule.ts';
import { dpcBlockage } from './dpc-blockage/rule.ts';
import { highContention } from './high-contention/rule.ts';
import { idleSystem } from './idle-system/rule.ts';
import { inconsistentDump } from './inconsistent-dump/rule.ts';
import { incorrectStackTrace } from './incorrect-stack-trace/rule.ts';
import { invalidPointer } from './invalid-pointer/rule.ts';
import { manualDump } from './manual-dump/rule.ts';
import { missingThread } from './missing-thread/rule.ts';
import { noComponentSymbols } from './no-component-symbols/rule.ts';
import { nullPointer } from './null-pointer/rule.ts';
import { passiveThread } from './passive-thread/rule.ts';
import { spikingThread } from './spiking-thread/rule.ts';
import { stackOverflow } from './stack-overflow/rule.ts';
import { suspendedThread } from './suspended-thread/rule.ts';
import { threadStarvation } from './thread-starvation/rule.ts';
import { truncatedDump } from './truncated-dump/rule.ts';
import { unloadedModule } from './unloaded-module/rule.ts';
import { waitChain } from './wait-chain/rule.ts';
import { waitingThreadTime } from './waiting-thread-time/rule.ts';
import { wildCode } from './wild-code/rule.ts';
import { youngSystem } from './young-system/rule.ts';

/** Every rule, in the order in which findings of equal weight are printed. One line a pattern. */
export const patterns: readonly Pattern[] = [
  dispatchLevelSpin,
  stackOverflow,
  nullPointer,
  unloadedModule,
  wildCode,
  invalidPointer,
  selfDiagnosis,
  deadlock,
  waitChain,
  spikingThread,
  distributedSpike,
  affineThread,
  threadStarvation,
  dpcBlockage,
  highContention,
  busySystem,
  missingThread,
  suspendedThread,
  blockedThread,
  waitingThreadTime,
  idleSystem,
  youngSystem,
  manualDump,
  truncatedDump,
  inconsistentDump,
  coincidentalSymbolicInformation,
  passiveThread,
];

/** Rules about the findings of the others. */
export const reviews: readonly Review[] = [incorrectStackTrace, noComponentSymbols];
