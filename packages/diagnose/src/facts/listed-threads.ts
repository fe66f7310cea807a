/** Which threads the lists lead to, and whether a thread that they do not lead to can be called absent. */
import type { Thread } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export const listedThreads: FactKey<ReadonlySet<bigint>> = defineFact('listed threads', ({ target }: Diagnosis) => {
  // A processor's current, next and idle threads are threads whether or not a list holds them.
  const found = new Set(target.threads().map(({ address }) => address));
  for (const { currentThread, nextThread, idleThreadAddress } of target.processors)
    for (const address of [currentThread, nextThread, idleThreadAddress]) if (address !== null) found.add(address);
  return found;
});

const listedProcesses: FactKey<ReadonlySet<bigint>> = defineFact(
  'listed processes',
  ({ target }: Diagnosis) => new Set(target.processes().map(({ address }) => address)),
);

/**
 * Null where the lists cannot tell. Of a thread whose block can be read, its own process's list is enough; of an address
 * that holds none, all lists are needed.
 */
export function isListed(diagnosis: Diagnosis, address: bigint, thread: Thread | null): boolean | null {
  const { target } = diagnosis;
  if (diagnosis.fact(listedThreads).has(address)) return true;
  if (target.listsWhole()) return false;
  const owner = thread?.owningProcess ?? null;
  if (owner === null || !diagnosis.fact(listedProcesses).has(owner)) return null;
  const process = target.process(owner);
  return process !== null && target.listsWhole(process) ? false : null;
}
