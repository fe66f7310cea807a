import type { FpoRow, LineRow, PdbRows, PdbSummary, PublicRow, StreamRow, TypeRow } from '@dumpscope/symbols';

const hex = (value: number | null, digits: number): string =>
  value === null ? '-'.repeat(digits) : value.toString(16).padStart(digits, '0');

function place(section: number, offset: number): string {
  return `${hex(section, 4)}:${hex(offset, 8)}`;
}

function publicLine(row: PublicRow): string {
  const kind = row.isFunction === null ? ' ' : row.isFunction ? 'f' : 'd';
  const display = row.display === row.name ? '' : `  ${row.display}`;
  return `${hex(row.rva, 8)} ${place(row.section, row.offset)} ${kind} ${row.name}${display}`;
}

function typeLines(row: TypeRow): string[] {
  const size = `0x${row.size.toString(16)} bytes`;
  const lines = [`${row.kind} ${row.name}, ${size}`];
  for (const base of row.bases) lines.push(`   +0x${hex(base.offset, 3)} (base) ${base.name}`);
  for (const member of row.members) {
    const bits = member.bitPosition === null ? '' : ` : Pos ${member.bitPosition}, ${member.bitLength} Bits`;
    lines.push(`   +0x${hex(member.offset, 3)} ${member.name.padEnd(24)} ${member.type}${bits}`);
  }
  for (const value of row.values) lines.push(`   ${value.name} = ${value.value}`);
  return lines;
}

function fpoLine(row: FpoRow): string {
  const flags = [row.hasSeh ? 'seh' : '', row.usesBasePointer ? 'ebp' : '', row.isFunctionStart ? 'start' : '']
    .filter((f) => f !== '')
    .join(',');
  return `${hex(row.rva, 8)} ${row.kind.padEnd(10)} size ${row.size.toString(16)} params ${row.params.toString(16)} locals ${row.locals.toString(16)} saved ${row.savedRegs.toString(16)} prolog ${row.prolog.toString(16)} ${flags} ${row.program}`.trimEnd();
}

function lineLine(row: LineRow): string {
  return `${hex(row.rva, 8)} ${place(row.section, row.offset)} ${row.file}:${row.line}`;
}

function streamLine(row: StreamRow): string {
  return `${String(row.index).padStart(5)} ${String(row.size).padStart(10)}  ${row.name}`.trimEnd();
}

/** The listing as text, the summary first. */
export function pdbText(path: string, summary: PdbSummary, rows: Partial<PdbRows>): string {
  const lines = [
    `${path}: ${summary.format}, block size ${summary.blockSize}, GUID ${summary.guid}, age ${summary.age}, machine ${summary.machine}${summary.stripped ? ', stripped' : ''}${summary.fastLink ? ', FASTLINK' : ''}`,
  ];
  const section = (title: string, list: readonly string[]): void => {
    lines.push('', `${title}:`, ...list);
  };
  if (rows.streams !== undefined) section(`Streams (${rows.streams.length})`, rows.streams.map(streamLine));
  if (rows.publics !== undefined) section(`Publics (${rows.publics.length})`, rows.publics.map(publicLine));
  if (rows.types !== undefined) section(`Types (${rows.types.length})`, rows.types.flatMap(typeLines));
  if (rows.fpo !== undefined) section(`Frame records (${rows.fpo.length})`, rows.fpo.map(fpoLine));
  if (rows.lines !== undefined) section(`Lines (${rows.lines.length})`, rows.lines.map(lineLine));
  return lines.map((line) => `${line}\n`).join('');
}
