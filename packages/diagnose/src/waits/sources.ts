import type { EdgeSource } from './edge-source.ts';
import { alpcReplies } from './sources/alpc-replies.ts';
import { dispatcherObjects } from './sources/dispatcher-objects.ts';
import { dpcQueueSource } from './sources/dpc-queues.ts';
import { executiveResources } from './sources/executive-resources.ts';
import { fastMutexes } from './sources/fast-mutexes.ts';
import { ipis } from './sources/ipis.ts';
import { irpSource } from './sources/irps.ts';
import { lpcReplies } from './sources/lpc-replies.ts';
import { processors } from './sources/processors.ts';
import { pushLocks } from './sources/pushlocks.ts';
import { queuedWork } from './sources/queued-work.ts';
import { readyThreadSource } from './sources/ready-threads.ts';
import { spinLocks } from './sources/spin-locks.ts';

/** Every kind of edge. Locks that are built of dispatcher objects come before the dispatcher objects. One line a kind. */
export const edgeSources: readonly EdgeSource[] = [
  executiveResources,
  pushLocks,
  fastMutexes,
  alpcReplies,
  lpcReplies,
  irpSource,
  queuedWork,
  dispatcherObjects,
  spinLocks,
  ipis,
  dpcQueueSource,
  readyThreadSource,
  processors,
];
