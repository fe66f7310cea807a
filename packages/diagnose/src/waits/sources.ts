import type { EdgeSource } from './edge-source.ts';
import { dispatcherObjects } from './sources/dispatcher-objects.ts';
import { executiveResources } from './sources/executive-resources.ts';
import { ipis } from './sources/ipis.ts';
import { processors } from './sources/processors.ts';
import { readyThreadSource } from './sources/ready-threads.ts';
import { spinLocks } from './sources/spin-locks.ts';

/** Every kind of edge. Locks that are built of dispatcher objects come before the dispatcher objects. One line a kind. */
export const edgeSources: readonly EdgeSource[] = [
  executiveResources,
  dispatcherObjects,
  spinLocks,
  ipis,
  readyThreadSource,
  processors,
];
