import type { Pattern } from '../engine/diagnosis.ts';
import { affineThread } from './affine-thread/rule.ts';
import { dispatchLevelSpin } from './dispatch-level-spin/rule.ts';
import { idleSystem } from './idle-system/rule.ts';
import { manualDump } from './manual-dump/rule.ts';
import { spikingThread } from './spiking-thread/rule.ts';
import { threadStarvation } from './thread-starvation/rule.ts';
import { truncatedDump } from './truncated-dump/rule.ts';

/** Every rule, in the order in which findings of equal weight are printed. One line a pattern. */
export const patterns: readonly Pattern[] = [
  dispatchLevelSpin,
  spikingThread,
  affineThread,
  threadStarvation,
  idleSystem,
  manualDump,
  truncatedDump,
];
