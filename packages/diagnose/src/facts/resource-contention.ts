/** Contention counts of all executive resources of the system, highest first. */
import { type ListEnd, Structure, systemResources } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export interface ContentionCount {
  readonly resource: bigint;
  /** Waits for it since it was initialised, or reinitialised by ExReinitializeResourceLite. */
  readonly count: number;
  /** Address of the counter. */
  readonly at: bigint;
}

export interface ResourceContention {
  readonly counts: readonly ContentionCount[];
  readonly end: ListEnd;
  /** Resources whose counter could not be read. */
  readonly unread: number;
}

/** Null where the list, or the layout of an ERESOURCE, is not known. */
export const resourceContention: FactKey<ResourceContention | null> = defineFact(
  'contention of executive resources',
  ({ target }: Diagnosis) => {
    const list = systemResources(target);
    const field = new Structure(target, '_ERESOURCE', 0n).field('ContentionCount');
    if (list === null || field === undefined) return null;
    const counts: ContentionCount[] = [];
    let unread = 0;
    for (const resource of list.resources) {
      const at = resource + BigInt(field.offset);
      const count = target.memory.u32(at);
      if (count === undefined) unread++;
      else if (count > 0) counts.push({ resource, count, at });
    }
    counts.sort((a, b) => b.count - a.count);
    return { counts, end: list.end, unread };
  },
);
