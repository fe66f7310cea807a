import { Structure } from '../../nt/structure.ts';
import type { Process } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { durationText, tickTime } from '../format/time.ts';

export interface ProcessRow {
  readonly address: bigint;
  readonly image: string | null;
  readonly sessionId: number | null;
  readonly cid: number | null;
  readonly peb: bigint | null;
  readonly parentCid: number | null;
  readonly directoryTableBase: bigint | null;
  readonly objectTable: bigint | null;
  readonly handleCount: number | null;
}

export interface ProcessSummary {
  readonly row: ProcessRow;
  readonly lines: readonly string[];
}

const label = (text: string): string => text.padEnd(34);

function handleCount(session: Session, table: bigint | null): number | null {
  if (table === null || table === 0n) return null;
  const structure = new Structure(session.target, '_HANDLE_TABLE', table);
  return structure.number('HandleCount') ?? null;
}

function sessionIdOf(process: Process, structure: Structure): number | null {
  const session = process.field('Session');
  if (session === null) return null;
  if (session === 0n) return -1;
  const id = structure.follow('Session', '_MM_SESSION_SPACE')?.number('SessionId');
  return id ?? null;
}

/** The three lines of `!process 0 0` (two address forms: one long first line before 64-bit debuggers). */
export function processSummary(session: Session, address: bigint): ProcessSummary {
  const { target } = session;
  const process = target.process(address);
  const structure = new Structure(target, '_EPROCESS', address);
  const value = (path: string): bigint | null => process?.field(path) ?? null;
  const objectTable = value('ObjectTable');
  const handles = handleCount(session, objectTable);
  const parent = value('InheritedFromUniqueProcessId');
  const row: ProcessRow = {
    address,
    image: process?.image ?? null,
    sessionId: process === null ? null : sessionIdOf(process, structure),
    cid: process?.pid ?? null,
    peb: value('Peb'),
    parentCid: parent === null ? null : Number(BigInt.asUintN(32, parent)),
    directoryTableBase: process?.directoryTableBase == null ? null : BigInt(process.directoryTableBase),
    objectTable,
    handleCount: handles,
  };
  const id = (n: number | null): string => (n === null ? '????' : n.toString(16).padStart(4, '0'));
  const short = (n: bigint | null): string => (n === null ? '????????' : n.toString(16).padStart(8, '0'));
  const sessionText = row.sessionId === null ? '?' : row.sessionId < 0 ? 'none' : String(row.sessionId);
  const known = objectTable === 0n ? 0 : handles;
  const count = known === null ? '<Data Not Accessible>' : `${String(known).padStart(3)}.`;
  const table = plainAddress(objectTable, target);
  const image = row.image ?? '????';
  const lines =
    target.pointerSize === 4
      ? [
          `PROCESS ${plainAddress(address, target)}  SessionId: ${sessionText}  Cid: ${id(row.cid)}    Peb: ${short(row.peb)}  ParentCid: ${id(row.parentCid)}`,
          `    DirBase: ${short(row.directoryTableBase)}  ObjectTable: ${table}  HandleCount: ${count}`,
          `    Image: ${image}`,
        ]
      : [
          `PROCESS ${plainAddress(address, target)}`,
          `    SessionId: ${sessionText}  Cid: ${id(row.cid)}    Peb: ${short(row.peb)}  ParentCid: ${id(row.parentCid)}`,
          `    DirBase: ${short(row.directoryTableBase)}  ObjectTable: ${table}  HandleCount: ${count}`,
          `    Image: ${image}`,
        ];
  return { row, lines };
}

/** What flag 1 adds: VAD, token, times, quotas. Fields the layout lacks are left out; unreadable ones print `?`. */
export function processDetails(session: Session, address: bigint): string[] {
  const { target } = session;
  const structure = new Structure(target, '_EPROCESS', address);
  const number = (path: string): string => {
    const value = structure.value(path);
    return value === undefined ? '?' : String(value);
  };
  const lines: string[] = [];
  const vads = structure.has('VadCount')
    ? number('VadCount')
    : structure.has('NumberOfVads')
      ? number('NumberOfVads')
      : null;
  const vadRoot = structure.value('VadRoot.Root') ?? structure.value('VadRoot');
  if (structure.has('VadRoot')) {
    const modified = structure.has('ModifiedPageCount') ? ` Modified ${number('ModifiedPageCount')}.` : '';
    const locked = structure.has('NumberOfLockedPages') ? ` Locked ${number('NumberOfLockedPages')}.` : '';
    const clone = structure.value('CloneRoot');
    const cloneText = clone === undefined ? '?' : clone.toString(16);
    const privatePages = structure.has('NumberOfPrivatePages') ? ` Private ${number('NumberOfPrivatePages')}.` : '';
    lines.push(
      `    VadRoot ${plainAddress(vadRoot ?? null, target)}${vads === null ? '' : ` Vads ${vads}`} Clone ${cloneText}${privatePages}${modified}${locked}`,
    );
  }
  lines.push(`    DeviceMap ${plainAddress(structure.value('DeviceMap') ?? null, target)}`);
  const token = structure.value('Token.Value') ?? structure.value('Token');
  const mask = target.pointerSize === 8 ? ~0xfn : ~0x7n;
  lines.push(
    `    ${label('Token')}${plainAddress(token === undefined ? null : BigInt.asUintN(64, token & mask), target)}`,
  );
  const created = structure.value('CreateTime') ?? structure.value('CreateTime.QuadPart');
  const now = target.time.systemTime;
  const elapsed =
    created === undefined || created === 0n || now === null || now < created
      ? '??:??:??.???'
      : durationText(now - created);
  lines.push(`    ${label('ElapsedTime')}${elapsed}`);
  for (const [name, path] of [
    ['UserTime', 'Pcb.UserTime'],
    ['KernelTime', 'Pcb.KernelTime'],
  ] as const) {
    const ticks = structure.value(path);
    const increment = target.time.tickIncrement;
    lines.push(
      `    ${label(name)}${ticks === undefined || increment === null ? '??:??:??.???' : tickTime(ticks, increment)}`,
    );
  }
  for (const [name, path] of [
    ['QuotaPoolUsage[PagedPool]', 'QuotaUsage[1]'],
    ['QuotaPoolUsage[NonPagedPool]', 'QuotaUsage[0]'],
    ['PageFaultCount', 'Vm.PageFaultCount'],
    ['BasePriority', 'Pcb.BasePriority'],
    ['CommitCharge', 'CommitCharge'],
  ] as const) {
    if (structure.has(path)) lines.push(`    ${label(name)}${number(path)}`);
  }
  const job = structure.value('Job');
  if (job !== undefined && job !== 0n) lines.push(`    ${label('Job')}${plainAddress(job, target)}`);
  return lines;
}
