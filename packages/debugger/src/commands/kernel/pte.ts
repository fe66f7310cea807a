import { describeGap, type PagingMode, type Va } from '@dumpscope/core';
import { parseAddress } from '../../expressions/range.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { currentProcess, sessionMemory } from '../session/session.ts';
import { type PageWalk, selfMapIndex, type WalkLevel, walkPages } from './page-walk.ts';
import { extensionArgs } from './thread.ts';

function pagingMode(session: Session): PagingMode {
  const { dump } = session.target;
  if (dump.physical === null) {
    throw new CommandError(`Unable to get PTE: a ${dump.kind} dump holds no page tables`);
  }
  const mode = dump.paging?.mode;
  if (mode === undefined) throw new CommandError('Unable to get PTE: the page-table format is not known');
  return mode;
}

/** Directory of the current process, else the header's. */
export function currentDirectory(session: Session): number {
  const { target } = session;
  const process = currentProcess(session);
  const directory = process === null ? null : (target.process(process)?.directoryTableBase ?? null);
  const chosen = directory ?? target.dump.header.directoryTableBase;
  if (chosen === null) throw new CommandError('Unable to get the page directory: the header holds none');
  return chosen;
}

/** `---DA--KWEV`: copy-on-write, global, large, dirty, accessed, no-cache, write-through, owner, write, execute, valid. */
function flagLetters(entry: bigint, level: WalkLevel, mode: PagingMode): string {
  const bit = (n: number, letter: string, other = '-'): string => ((entry >> BigInt(n)) & 1n ? letter : other);
  if (mode === 'arm64') {
    const leaf = level.name === 'PTE' || level.large;
    if (!leaf) return '-'.repeat(10) + (level.valid ? 'V' : '-');
    return `-${bit(11, '-', 'G')}${level.large ? 'L' : '-'}-${bit(10, 'A')}--${bit(6, 'U', 'K')}${bit(7, 'R', 'W')}${bit(53, '-', 'E')}V`;
  }
  const execute = mode === 'x86' ? '' : bit(63, '-', 'E');
  return `${bit(9, 'C')}${bit(8, 'G')}${level.large ? 'L' : '-'}${bit(6, 'D')}${bit(5, 'A')}${bit(4, 'N')}${bit(3, 'T')}${bit(2, 'U', 'K')}${bit(1, 'W', 'R')}${execute}${bit(0, 'V')}`;
}

/** Virtual address of an entry through the self-map; null where there is none to be found. */
function entryAddress(walk: PageWalk, level: WalkLevel, address: bigint, self: number | null): bigint | null {
  if (walk.mode === 'x86') {
    return level.name === 'PTE' ? 0xc0000000n + (address >> 12n) * 4n : 0xc0300000n + (address >> 22n) * 4n;
  }
  if (walk.mode === 'x86-pae') {
    if (level.name === 'PTE') return 0xc0000000n + (address >> 12n) * 8n;
    return level.name === 'PDE' ? 0xc0600000n + (address >> 21n) * 8n : null;
  }
  if (self === null) return null;
  const wide = walk.mode === 'x64-5-level';
  const bits = wide ? 57n : 48n;
  let at = BigInt.asUintN(Number(bits), address);
  const steps = { PTE: 1, PDE: 2, PPE: 3, PXE: 4, PML5E: 5 }[level.name];
  for (let i = 0; i < steps; i++) at = (BigInt(self) << (bits - 9n)) | ((at >> 12n) << 3n);
  return BigInt.asUintN(64, BigInt.asIntN(Number(bits), at));
}

/** What an entry that is not valid means, in `!pte`'s words. */
function softwareText(session: Session, address: Va): string {
  const gap = sessionMemory(session).gapAt(address);
  if (gap === null) return ' Transition';
  const { reason } = gap;
  if (reason.kind === 'paged-out')
    return ` PageFile: ${String(reason.pageFile).padStart(2)} Offset: ${reason.offset.toString(16)}`;
  if (reason.kind === 'prototype') return ` Proto: ${hexDigits(reason.address, 16).toUpperCase()}`;
  if (reason.kind === 'demand-zero') return ' Page has been freed';
  return ` ${describeGap(gap)}`;
}

const LABEL = { PML5E: 'PML5E', PXE: 'PXE', PPE: 'PPE', PDE: 'PDE', PTE: 'PTE' } as const;

function wideLines(session: Session, walk: PageWalk, address: Va): string[] {
  const self = selfMapIndex(session.target.dump, walk.mode, walk.root);
  const columns = walk.levels.map((level) => {
    const at = entryAddress(walk, level, address, self);
    const where = at === null ? `#${hexDigits(level.at, 15).toUpperCase()}` : hexDigits(at, 16).toUpperCase();
    const contains = level.entry === null ? '?'.repeat(16) : hexDigits(level.entry, 16).toUpperCase();
    const state =
      level.entry === null
        ? 'not in the dump'
        : level.valid
          ? `pfn ${(level.pfn ?? 0).toString(16).padEnd(10)}${flagLetters(level.entry, level, walk.mode)}`
          : 'not valid';
    return { where: `${LABEL[level.name]} at ${where}`, contains: `contains ${contains}`, state };
  });
  const row = (cells: readonly string[]): string =>
    cells
      .map((c) => c.padEnd(27))
      .join('')
      .trimEnd();
  const last = walk.levels.at(-1);
  const lines = [
    `${' '.repeat(43)}VA ${hexDigits(address, 16)}`,
    row(columns.map((c) => c.where)),
    row(columns.map((c) => c.contains)),
    row(columns.map((c) => c.state)),
  ];
  if (last?.large)
    lines.push(`${' '.repeat(82)}LARGE PAGE pfn ${Math.floor((walk.physical ?? 0) / 4096).toString(16)}`);
  else if (last !== undefined && !last.valid) lines.push(`${' '.repeat(81)}${softwareText(session, address)}`);
  return lines;
}

function narrowLines(session: Session, walk: PageWalk, address: Va): string[] {
  const digits = walk.mode === 'x86' ? 8 : 16;
  const levels = walk.levels.filter((l) => l.name !== 'PPE');
  const cells = levels.map((level) => {
    const at = entryAddress(walk, level, address, null) ?? 0n;
    const contains = level.entry === null ? '?'.repeat(digits) : hexDigits(level.entry, digits).toUpperCase();
    const state =
      level.entry === null
        ? 'not in the dump'
        : level.valid
          ? `pfn ${(level.pfn ?? 0).toString(16)} ${flagLetters(level.entry, level, walk.mode)}`
          : 'not valid';
    return { where: `${level.name} at ${hexDigits(at, 8).toUpperCase()}`, contains: `contains ${contains}`, state };
  });
  const width = digits === 8 ? 23 : 31;
  const row = (pick: (c: { where: string; contains: string; state: string }) => string): string =>
    cells
      .map((c) => pick(c).padEnd(width))
      .join('')
      .trimEnd();
  const last = walk.levels.at(-1);
  const lines = [
    `${' '.repeat(15)}VA ${hexDigits(address, 8)}`,
    row((c) => c.where),
    row((c) => c.contains),
    row((c) => c.state),
  ];
  if (last?.large)
    lines.push(`${' '.repeat(width)}LARGE PAGE pfn ${Math.floor((walk.physical ?? 0) / 4096).toString(16)}`);
  else if (last !== undefined && !last.valid)
    lines.push(`${' '.repeat(width)}${softwareText(session, address).trimStart()}`);
  return lines;
}

function missing(walk: PageWalk): string[] {
  const gap = walk.levels.find((level) => level.entry === null);
  if (gap === undefined) return [];
  const page = Math.floor(gap.at / 4096).toString(16);
  return [`Page ${page} not present in the dump file. Type ".hh dbgerr004" for details`];
}

export const pteCommand: Command = defineCommand({
  names: ['!pte'],
  summary: 'show the page-table entries of a virtual address',
  usage: '!pte address',
  fidelity:
    'Columns as in WinDbg. Entry addresses come from the self-map found in the directory; without one the physical address stands there with #.',
  run(session, args) {
    const mode = pagingMode(session);
    const { address } = parseAddress(args, sessionScope(session));
    const walk = walkPages(session.target.dump, mode, currentDirectory(session), address);
    const lines =
      session.target.pointerSize === 8 ? wideLines(session, walk, address) : narrowLines(session, walk, address);
    return result([{ address, ...walk }], [...missing(walk), ...lines]);
  },
});

const NAMES = { x64: 'Amd64VtoP', x86: 'X86VtoP', arm64: 'Arm64VtoP' } as const;
const STEP = { PML5E: 'PML5E', PXE: 'PML4E', PPE: 'PDPE', PDE: 'PDE', PTE: 'PTE' } as const;

export const vtopCommand: Command = defineCommand({
  names: ['!vtop'],
  summary: 'translate a virtual address, level by level',
  usage: '!vtop directory address',
  fidelity: "WinDbg's lines for x64; those of x86 and ARM64 are in the same style.",
  run(session, args) {
    const { target } = session;
    const mode = pagingMode(session);
    const { values } = extensionArgs(session, args, 2);
    const value = values[1] ?? values[0];
    if (value === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
    const given = values[1] === undefined ? 0n : (values[0] ?? 0n);
    if (given >> 52n !== 0n && target.pointerSize === 8)
      throw new CommandError(`${given.toString(16)} is no page directory`);
    const directory = given === 0n ? currentDirectory(session) : Number(targetAddress(given, target.pointerSize));
    const address = targetAddress(value, target.pointerSize);
    const walk = walkPages(target.dump, mode, directory, address);
    const prefix = NAMES[target.arch];
    const text = target.pointerSize === 8 ? hexDigits(address, 16) : engineAddress(address, target);
    const lines = [`${prefix}: Virt ${text}, pagedir ${directory.toString(16).padStart(16, '0')}`];
    for (const level of walk.levels) {
      lines.push(`${prefix}: ${STEP[level.name]} ${level.at.toString(16).padStart(16, '0')}`);
      if (level.entry === 0n) lines.push(`${prefix}: zero ${STEP[level.name]}`);
    }
    let { physical } = walk;
    const last = walk.levels.at(-1);
    if (physical === null && last?.name === 'PTE' && last.entry !== null) {
      // A transition PTE still leads to its page.
      const transition = (last.entry & 0xc01n) === 0x800n;
      if (transition) physical = Number((last.entry >> 12n) & 0xf_ffff_ffffn) * 4096 + Number(address & 0xfffn);
    }
    if (physical !== null) {
      const large = last?.large ? 'Large page mapped phys' : 'Mapped phys';
      lines.push(`${prefix}: ${large} ${physical.toString(16).padStart(16, '0')}`);
      lines.push(`Virtual address ${address.toString(16)} translates to physical address ${physical.toString(16)}.`);
    } else {
      lines.push(...missing(walk), `Virtual address ${address.toString(16)} translation fails, error 0xD0000147.`);
    }
    return result([{ address, ...walk, physical }], lines);
  },
});
