/** Locks that others wait for and whose owner is no thread any more: it cannot give them back. */
import { OBJECT_TYPE, poolBlockAt, type Target, THREAD_STATE } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { argument } from '../engine/words.ts';
import type { EdgeProof, GraphEdge } from '../waits/wait-edge.ts';
import { waitGraph } from '../waits/wait-graph.ts';
import { isListed } from './listed-threads.ts';

/** `ended`: State Terminated. `freed`, `unmapped`, `other`: nothing of a thread is there. `unlisted`: a thread in no list. */
export type MissingHow = 'ended' | 'freed' | 'unmapped' | 'other' | 'unlisted';

export interface MissingOwner {
  readonly thread: bigint;
  readonly how: MissingHow;
  /** What shows it. */
  readonly proof: EdgeProof;
  /** From the locks to the owner. */
  readonly edges: readonly GraphEdge[];
}

export const missingOwners: FactKey<readonly MissingOwner[]> = defineFact('missing owners', (diagnosis: Diagnosis) => {
  const found: MissingOwner[] = [];
  for (const { node, in: edges } of diagnosis.fact(waitGraph).vertices) {
    if (node.kind !== 'thread') continue;
    const owned = edges.filter(({ relation }) => relation === 'owned-by');
    if (owned.length === 0) continue;
    const missing = judgeThread(diagnosis, node.address);
    if (missing !== null) found.push({ thread: node.address, ...missing, edges: owned });
  }
  return found;
});

/** What shows that an address which something takes for a thread is none; null where it is one, or nobody can tell. */
export function judgeThread(diagnosis: Diagnosis, address: bigint): Pick<MissingOwner, 'how' | 'proof'> | null {
  const { target } = diagnosis;
  const thread = target.thread(address);
  const name = argument(target, address);
  const show = `!thread ${name}`;
  const at = (how: MissingHow, claim: string, where: bigint | null, source: string) => ({
    how,
    proof: { claim, address: where, length: where === null ? null : 1, command: show, source },
  });
  const type = target.memory.u8(address);
  const listed = isListed(diagnosis, address, type === undefined ? null : thread);
  if (type === undefined) {
    const gone = unmapped(target, address);
    // Threads lie in non-paged pool: an address without a page is none, a page that the dump lacks may be one.
    if (gone === true && listed !== true)
      return at('unmapped', `no page is mapped at ${name}, taken for a thread`, null, 'page tables');
    return listed === false ? at('unlisted', `thread ${name} is in no list of threads`, null, 'thread lists') : null;
  }
  if ((type & 0x7f) !== OBJECT_TYPE.thread)
    return at(
      'other',
      `what lies at ${name} is no thread: object type ${type & 0x7f}`,
      address,
      '_DISPATCHER_HEADER.Type',
    );
  if (thread?.state === THREAD_STATE.terminated)
    return at('ended', `thread ${name} has ended: State is Terminated`, thread.fieldAddress('State'), '_KTHREAD.State');
  if (listed === true) return null;
  const block = poolBlockAt(target, address);
  if (block?.free && block.trust === 'chain')
    return at('freed', `${name} lies in a freed pool block`, block.header, '_POOL_HEADER.PoolType');
  return listed === false
    ? at('unlisted', `thread ${name} looks like one and is in no list of threads`, address, 'thread lists')
    : null;
}

/** True where the page tables say that nothing is there; null where they are not in the dump. */
function unmapped(target: Target, address: bigint): boolean | null {
  const gap = target.memory.gap(address, 1);
  if (gap === null) return false;
  const { kind } = gap.reason;
  if (kind === 'not-present' || kind === 'non-canonical' || kind === 'demand-zero' || kind === 'paged-out') return true;
  return null;
}
