import { type DpcQueue, dpcQueues } from '../../nt/dpc-queue.ts';
import type { Processor, Target } from '../../target/model.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { processorArgument } from './processor-argument.ts';

export interface DeferredCall {
  readonly kind: 'Normal' | 'Threaded';
  readonly address: bigint;
  readonly routine: bigint | null;
}

interface DeferredCalls {
  readonly calls: readonly DeferredCall[];
  /** Why a list ended early; null when all ended where they should. */
  readonly broken: string | null;
  /** False where the layouts lack the queue. */
  readonly known: boolean;
}

export function deferredCalls(target: Target, processor: Processor): DeferredCalls {
  const queues = dpcQueues(target, processor);
  const calls = queues.flatMap((queue) =>
    queue.calls.map(({ kind, address, routine }) => ({
      kind: kind === 'normal' ? ('Normal' as const) : ('Threaded' as const),
      address,
      routine,
    })),
  );
  const bad = queues.find((queue) => queue.end !== 'end');
  return { calls, broken: bad === undefined ? null : brokenText(target, bad), known: queues.length > 0 };
}

function brokenText(target: Target, queue: DpcQueue): string {
  const at = plainAddress(queue.endAt ?? queue.head, target);
  if (queue.end === 'unreadable') return `Failed to read DPC at 0x${at}`;
  if (queue.end === 'not-a-dpc') return `The DPC list leads to 0x${at}, which is no DPC by its Type`;
  return queue.end === 'cycle'
    ? `The DPC list does not end: it comes back to 0x${at}`
    : `The DPC list is longer than ${queue.calls.length} entries`;
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
      const queue = deferredCalls(target, processor);
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
