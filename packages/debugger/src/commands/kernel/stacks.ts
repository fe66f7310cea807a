import { matchWildcard } from '../../expressions/wildcard.ts';
import { THREAD_STATES } from '../../nt/wait-names.ts';
import type { Thread } from '../../target/model.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { hexDigits, plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { nameIn } from '../session/names.ts';
import { threadRegisters } from '../session/thread-context.ts';
import { walk } from '../stack/stack-format.ts';

interface StackRow {
  readonly process: bigint;
  readonly thread: bigint;
  readonly cid: number | null;
  readonly state: string;
  readonly ticks: number | null;
  readonly frames: readonly string[];
}

const MAX_THREADS = 50_000;
/** Frames that say nothing about what a thread waits for. */
const SWITCHING =
  /^nt!(?:Ki?Swap|KiSwapContext|KiSwapThread|KiCommitThreadWait|KeWaitFor|KeDelayExecution|KeRemoveQueue|KeTerminate)/;

/** Blocked, RUNNING, READY…: WinDbg's words. */
function stateWord(state: number | null): string {
  if (state === null) return '????';
  if (state === 5) return 'Blocked';
  return (THREAD_STATES[state] ?? String(state)).toUpperCase();
}

function framesOf(session: Session, thread: Thread, all: boolean): string[] {
  const { target } = session;
  if (thread.field('KernelStackResident') === 0n) return ['Stack paged out'];
  const registers = threadRegisters(target, thread.address);
  if (registers === null) return ['(no context)'];
  const names = walk(session, registers, all ? 0x100 : 0x20).frames.map(
    (f) => nameIn(session, f.pc, thread.process).text,
  );
  if (all) return names;
  return [names.find((name) => !SWITCHING.test(name)) ?? names[0] ?? '(no stack)'];
}

export const stacksCommand: Command = defineCommand({
  names: ['!stacks'],
  summary: 'list all threads with what they do',
  usage: '!stacks [0|1|2] [filter]',
  fidelity: 'Columns as in the newer WinDbg. Detail 2 lists whole stacks.',
  run(session, args) {
    const { target } = session;
    const [detailText = '0', filter] = args.trim().split(/\s+/);
    const detail = /^\d+$/.test(detailText) ? Number(detailText) : 0;
    const pattern = /^\d+$/.test(detailText) ? filter : detailText || undefined;
    const processes = target.processes();
    if (processes.length === 0) throw new CommandError('Unable to read the list of processes in this dump');
    const lines = ['Proc.Thread  .Thread  Ticks   ThreadState Blocker'];
    const rows: StackRow[] = [];
    let count = 0;
    for (const process of processes) {
      lines.push(`                            [${plainAddress(process.address, target)} ${process.image ?? '????'}]`);
      for (const thread of target.threadsOf(process)) {
        if (++count > MAX_THREADS) break;
        const frames = framesOf(session, thread, detail >= 2);
        if (pattern !== undefined && !frames.some((f) => matchWildcard(`*${pattern}*`, f))) continue;
        const ticks =
          target.time.tickCount === null || thread.waitTime === null
            ? null
            : Number(BigInt.asUintN(32, target.time.tickCount - BigInt(thread.waitTime)));
        const cid = thread.cid;
        const id = `${(cid?.process ?? 0).toString(16).padStart(4)}.${hexDigits(cid?.thread ?? 0, 6)}`;
        const head = `${id}  ${plainAddress(thread.address, target)} ${ticks === null ? '????????' : hexDigits(ticks, 7)} ${stateWord(thread.state).padEnd(10)} `;
        lines.push(`${head}${frames[0] ?? ''}`, ...frames.slice(1).map((f) => `${' '.repeat(head.length)}${f}`));
        rows.push({
          process: process.address,
          thread: thread.address,
          cid: cid?.thread ?? null,
          state: stateWord(thread.state),
          ticks,
          frames,
        });
      }
    }
    lines.push('', `Threads Processed: ${count}`);
    return result(rows, lines);
  },
});
