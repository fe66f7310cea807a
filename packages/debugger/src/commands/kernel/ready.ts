import { Structure, walkList } from '../../nt/structure.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { extensionArgs } from './thread.ts';
import { type ThreadRow, threadBlock } from './thread-block.ts';

const PRIORITIES = 32;
/** KTHREAD.State. */
const READY = 1;
const MAX_THREADS = 4096;
const DEFAULT_FLAGS = 6;

interface ReadyRow {
  readonly queue: string;
  readonly priority: number;
  readonly thread: ThreadRow;
}

/** The 32 list heads of a ready queue: `heads` is the array's address, entries are KTHREAD.WaitListEntry. */
function readyThreads(
  session: Session,
  heads: bigint,
): { readonly priority: number; readonly threads: readonly bigint[]; readonly end: string }[] {
  const { target } = session;
  const link = new Structure(target, '_KTHREAD', 0n).field('WaitListEntry');
  if (link === undefined) return [];
  const found: { priority: number; threads: bigint[]; end: string }[] = [];
  const size = BigInt(target.pointerSize * 2);
  for (let priority = PRIORITIES - 1; priority >= 0; priority--) {
    const list = walkList(target, target.memory, heads + BigInt(priority) * size, MAX_THREADS);
    if (list.entries.length === 0 && list.end === 'head') continue;
    found.push({ priority, threads: list.entries.map((e) => e - BigInt(link.offset)), end: list.end });
  }
  return found;
}

export const readyCommand: Command = defineCommand({
  names: ['!ready'],
  summary: 'list ready threads by processor and priority',
  usage: '!ready [flags]',
  fidelity:
    'Headings as in WinDbg; the line for an empty processor follows recollection. Where no list is known, threads by their state, and it says so.',
  run(session, args) {
    const { target } = session;
    const { values } = extensionArgs(session, args, 1);
    const flags = values[0] === undefined ? DEFAULT_FLAGS : Number(values[0] & 0xffffn);
    if (target.processors.length === 0)
      throw new CommandError(`!ready: ${target.processorNote ?? 'no processor blocks in this dump'}`);
    const lines: string[] = [];
    const rows: ReadyRow[] = [];
    const shared = new Set<bigint>();
    let known = false;
    const show = (title: string, heads: bigint): boolean => {
      const lists = readyThreads(session, heads);
      for (const { priority, threads, end } of lists) {
        if (threads.length > 0) lines.push(`${title}: Ready Threads at priority ${priority}`);
        for (const address of threads) {
          const thread = target.thread(address);
          if (thread === null) continue;
          const block = threadBlock(session, thread, flags);
          rows.push({ queue: title, priority, thread: block.row });
          lines.push(...block.lines.map((line) => `    ${line}`), '');
        }
        if (end !== 'head') lines.push(`${title}: the list at priority ${priority} cannot be followed (${end})`);
      }
      return lists.length > 0;
    };
    for (const processor of target.processors) {
      const prcb = new Structure(target, '_KPRCB', processor.prcb);
      const heads = prcb.addressOf('DispatcherReadyListHead');
      if (heads !== undefined) {
        known = true;
        const title = `Processor ${processor.number}`;
        if (!show(title, heads)) lines.push(`${title}: No threads in READY state`);
      }
      const queue = prcb.value('SharedReadyQueue');
      if (queue !== undefined && queue !== 0n && !shared.has(queue)) {
        shared.add(queue);
        const structure = new Structure(target, '_KSHARED_READY_QUEUE', queue);
        const sharedHeads = structure.addressOf('ReadyListHead');
        if (sharedHeads !== undefined) show(`SharedReadyQueue ${plainAddress(queue, target)}`, sharedHeads);
      }
    }
    // XP has one set of lists for all processors; Server 2003 moved them into the PRCB.
    const global = known ? undefined : target.resolve('nt!KiDispatcherReadyListHead');
    if (global !== undefined && !show('Machine', global)) lines.push('Machine: No threads in READY state');
    if (known || global !== undefined) return result(rows, lines);
    lines.push('No list of ready threads is known for this kernel: threads whose state is READY');
    const ready = target.threads().filter((thread) => thread.state === READY);
    for (const thread of ready.sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))) {
      const block = threadBlock(session, thread, flags);
      rows.push({ queue: 'state', priority: thread.priority ?? 0, thread: block.row });
      lines.push(...block.lines.map((line) => `    ${line}`), '');
    }
    if (ready.length === 0) lines.push('    none');
    return result(rows, lines);
  },
});
