import { targetAddress } from '../../expressions/scope.ts';
import { matchWildcard } from '../../expressions/wildcard.ts';
import type { Process } from '../../target/model.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { currentProcess } from '../session/session.ts';
import { type ProcessRow, processDetails, processSummary } from './process-block.ts';
import { extensionArgs } from './thread.ts';
import { type ThreadRow, threadBlock } from './thread-block.ts';

const FLAG_DETAILS = 1;
const FLAG_WAITS = 2;
const FLAG_THREADS = 4;
/** Addresses begin far above every process id. */
const LARGEST_PID = 0x1000_0000n;
const MAX_LINES = 200_000;

interface Row extends ProcessRow {
  readonly threads: readonly ThreadRow[];
}

/** Word 0 may be an image name (`!process 0 0 x.exe`), so names are split off before expressions are read. */
function parse(session: Session, args: string): { values: readonly bigint[]; name: string | null } {
  const words = args
    .replace(/\/[sm]\s+\S+/g, '')
    .trim()
    .split(/\s+/)
    .filter((w) => w !== '');
  const values: bigint[] = [];
  for (const word of words.slice(0, 2)) values.push(...extensionArgs(session, word, 1).values);
  return { values, name: words[2] ?? null };
}

function show(session: Session, process: Process, flags: number): { readonly row: Row; readonly lines: string[] } {
  const summary = processSummary(session, process.address);
  const lines = [...summary.lines];
  const threads: ThreadRow[] = [];
  if ((flags & FLAG_DETAILS) !== 0) lines.push(...processDetails(session, process.address));
  if ((flags & (FLAG_WAITS | FLAG_THREADS)) !== 0) {
    lines.push('');
    const threadFlags = (flags & FLAG_WAITS) !== 0 ? flags & 0xe : 0;
    for (const thread of session.target.threadsOf(process)) {
      const block = threadBlock(session, thread, threadFlags);
      threads.push(block.row);
      lines.push(...block.lines.map((line) => `        ${line}`), '');
    }
    if (threads.length === 0) lines.push('        (no threads: the thread list cannot be read)');
  }
  return { row: { ...summary.row, threads }, lines };
}

function run(session: Session, args: string): CommandResult<Row> {
  const { target } = session;
  const { values, name } = parse(session, args);
  const [first, second] = values;
  const all = first === 0n;
  const current = first === undefined || first === 0xffff_ffff_ffff_ffffn;
  const flags = second !== undefined ? Number(second & 0xffffn) : current || all ? 3 : 0xf;
  let processes: readonly Process[];
  // The Idle process is on no list of WinDbg's.
  if (all) processes = target.processes().filter((p) => p.pid !== 0);
  else if (current) {
    const address = currentProcess(session);
    if (address === null) throw new CommandError('Unable to get the current process: its thread is not in the dump');
    processes = [requireProcess(session, address)];
  } else if (first < LARGEST_PID) {
    processes = target.processes().filter((p) => p.pid !== null && BigInt(p.pid) === first);
    if (processes.length === 0) throw new CommandError(`Could not find process with id ${first.toString(16)}`);
  } else processes = [requireProcess(session, targetAddress(first, target.pointerSize))];
  if (name !== null) processes = processes.filter((p) => p.image !== null && matchWildcard(name.slice(0, 15), p.image));
  const lines = all && name === null ? ['**** NT ACTIVE PROCESS DUMP ****'] : [];
  const rows: Row[] = [];
  for (const process of processes) {
    const shown = show(session, process, flags);
    rows.push(shown.row);
    lines.push(...shown.lines, '');
    if (lines.length > MAX_LINES) {
      lines.push(`(stopped after ${rows.length} of ${processes.length} processes)`);
      break;
    }
  }
  if (all && target.processes().length === 0) {
    throw new CommandError(
      'Unable to read the list of processes: nt!PsActiveProcessHead leads to nothing in this dump',
    );
  }
  return result(rows, lines);
}

function requireProcess(session: Session, address: bigint): Process {
  const process = session.target.process(address);
  if (process === null || (process.image === null && process.pid === null && process.directoryTableBase === null)) {
    throw new CommandError(`TYPE mismatch for process object at ${plainAddress(address, session.target)}`);
  }
  return process;
}

export const processCommand: Command = defineCommand({
  names: ['!process'],
  summary: 'show one process or all, with threads by flags',
  usage: '!process [address | pid | 0 | -1] [flags] [image]',
  fidelity:
    'Lines as in WinDbg for the fields that the layouts hold; working-set lines are missing. /s and /m are ignored.',
  run,
});
