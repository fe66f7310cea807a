import { Structure } from '../../nt/structure.ts';
import type { Processor } from '../../target/model.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { processorArgument } from './processor-argument.ts';

export interface DeferredCall {
  readonly kind: 'Normal' | 'Threaded';
  readonly address: bigint;
  readonly routine: bigint | null;
}

export interface DpcQueue {
  readonly calls: readonly DeferredCall[];
  /** Why the list ended early; null when it ended where it should. */
  readonly broken: string | null;
  /** False where the layouts lack the queue. */
  readonly known: boolean;
}

const MAX_CALLS = 1024;

/**
 * DPCs queued to a processor. KDPC_DATA holds a LIST_ENTRY up to 6.2 and a single list (DpcList.ListHead) from 6.3 on;
 * before 5.2 the one list head lies in the KPRCB itself.
 */
export function deferredCalls(session: Session, processor: Processor): DpcQueue {
  const { target } = session;
  const prcb = new Structure(target, '_KPRCB', processor.prcb);
  const link = new Structure(target, '_KDPC', 0n).field('DpcListEntry');
  const heads: { readonly kind: DeferredCall['kind']; readonly head: bigint; readonly single: boolean }[] = [];
  for (const [i, kind] of [
    [0, 'Normal'],
    [1, 'Threaded'],
  ] as const) {
    const single = prcb.addressOf(`DpcData[${i}].DpcList.ListHead`) ?? prcb.addressOf(`DpcData[${i}].DpcList`);
    const double = prcb.addressOf(`DpcData[${i}].DpcListHead`);
    if (double !== undefined) heads.push({ kind, head: double, single: false });
    else if (single !== undefined) heads.push({ kind, head: single, single: true });
  }
  const old = prcb.addressOf('DpcListHead');
  if (heads.length === 0 && old !== undefined) heads.push({ kind: 'Normal', head: old, single: false });
  if (heads.length === 0 || link === undefined) return { calls: [], broken: null, known: false };
  const calls: DeferredCall[] = [];
  let broken: string | null = null;
  for (const { kind, head, single } of heads) {
    const seen = new Set<bigint>();
    for (let at = target.memory.pointer(head); ; at = target.memory.pointer(at)) {
      if (at === undefined) {
        const last = calls.at(-1)?.address ?? head;
        broken = `Failed to read DPC at 0x${plainAddress(last, target)}`;
        break;
      }
      if (single ? at === 0n : at === head) break;
      if (seen.has(at) || calls.length >= MAX_CALLS) {
        broken = `The DPC list does not end: it comes back to 0x${plainAddress(at, target)}`;
        break;
      }
      seen.add(at);
      const dpc = new Structure(target, '_KDPC', at - BigInt(link.offset));
      calls.push({ kind, address: dpc.address, routine: dpc.value('DeferredRoutine') ?? null });
    }
  }
  return { calls, broken, known: true };
}

export const dpcsCommand: Command = defineCommand({
  names: ['!dpcs'],
  summary: 'list the queued DPCs of all processors or of one',
  usage: '!dpcs [processor]',
  fidelity: "Rows as in WinDbg's documentation; the line for empty queues is ours.",
  run(session, args) {
    const { target } = session;
    const chosen = args.trim() === '' ? target.processors : [processorArgument(session, args)];
    if (chosen.length === 0) throw new CommandError(`Cannot get PRCB address: ${target.processorNote ?? ''}`.trimEnd());
    const lines = ['CPU Type      KDPC       Function'];
    const rows: (DeferredCall & { readonly processor: number; readonly symbol: string | null })[] = [];
    let known = false;
    for (const processor of chosen) {
      const queue = deferredCalls(session, processor);
      known ||= queue.known;
      for (const dpc of queue.calls) {
        const symbol = dpc.routine === null ? null : symbolText(session, dpc.routine);
        rows.push({ processor: processor.number, ...dpc, symbol });
        lines.push(
          `${String(processor.number).padStart(2)}: ${dpc.kind.padEnd(8)}: 0x${plainAddress(dpc.address, target)} 0x${plainAddress(dpc.routine, target)} ${symbol ?? ''}`.trimEnd(),
        );
      }
      if (queue.broken !== null) lines.push(queue.broken);
    }
    if (!known) throw new CommandError('!dpcs: nt!_KPRCB.DpcData is not in the layouts of this kernel');
    if (lines.length === 1) return result(rows, ['No DPCs are queued.']);
    return result(rows, lines);
  },
});
