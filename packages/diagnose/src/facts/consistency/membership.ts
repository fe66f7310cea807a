/** Threads on a process's list that say that they belong to another. */
import type { Process, Target, Thread } from '@dumpscope/debugger';
import { address, argument, plural } from '../../engine/words.ts';
import type { Contradiction } from './contradiction.ts';

const MAX_TOLD = 8;

export function membershipContradictions(target: Target): Contradiction[] {
  if (target.dump.triage !== null) return [];
  const out: Contradiction[] = [];
  let more = 0;
  for (const process of target.processes()) {
    for (const thread of target.threadsOf(process)) {
      const found = stranger(target, process, thread);
      if (found === null) continue;
      if (out.length < MAX_TOLD) out.push(found);
      else more++;
    }
  }
  const last = out.at(-1);
  if (more > 0 && last !== undefined)
    out[out.length - 1] = { ...last, claim: `${last.claim}; and ${plural(more, 'more thread')} like it` };
  return out;
}

function stranger(target: Target, process: Process, thread: Thread): Contradiction | null {
  const owner = thread.owningProcess;
  const wrongOwner = owner !== null && owner !== process.address;
  const pid = process.pid;
  const cid = thread.cid;
  // A CID of zeros is that of a thread that is only being created or already gone.
  const wrongId = cid !== null && pid !== null && cid.process !== 0 && cid.process !== pid;
  if (!wrongOwner && !wrongId) return null;
  const who = `thread ${address(target, thread.address)}`;
  const at =
    (wrongOwner ? (thread.fieldAddress('Tcb.Process') ?? thread.fieldAddress('ThreadsProcess')) : null) ??
    thread.fieldAddress('Cid.UniqueProcess');
  const says = wrongOwner
    ? `its process pointer is ${address(target, owner)}`
    : `its client id names process ${cid?.process.toString(16)}`;
  return {
    kind: 'membership',
    claim: `${who} is on the list of process ${address(target, process.address)} (id ${pid?.toString(16) ?? '?'}), and ${says}`,
    certain: true,
    byLayout: true,
    places:
      at === null
        ? []
        : [
            {
              claim: `${who} is on the list of process ${address(target, process.address)}, and ${says}`,
              address: at,
              length: target.pointerSize,
              command: `!thread ${argument(target, thread.address)}`,
            },
          ],
    about: { threads: [thread.address], processes: [process.address] },
  };
}
