/** What an address is: range, canonical form, owner, and whether the page tables map it. "Not captured" is never "not mapped". */
import { describeGap } from '@dumpscope/core';
import {
  type Module,
  type PageWalk,
  type StackRange,
  type Target,
  type UnloadedModule,
  walkPages,
} from '@dumpscope/debugger';
import { member } from './kernel-struct.ts';

export type AddressKind = 'null-page' | 'user' | 'kernel' | 'non-canonical';

/** `not-resident`: a software PTE (paged out, demand zero, transition, prototype): valid below DISPATCH_LEVEL only. */
export type Presence = 'present' | 'not-present' | 'not-resident' | 'unknown';

export interface Place {
  readonly kind: 'module' | 'unloaded' | 'stack';
  /** `Ntfs+0x1234`, `unloaded foo.sys+0x10`, `the thread stack a..b`. */
  readonly text: string;
  readonly module: Module | null;
  readonly unloaded: UnloadedModule | null;
  readonly stack: StackRange | null;
}

export interface Protection {
  readonly writable: boolean;
  readonly executable: boolean;
  readonly user: boolean;
}

export interface AddressView {
  readonly address: bigint;
  readonly kind: AddressKind;
  readonly place: Place | null;
  readonly presence: Presence;
  readonly presenceText: string;
  /** Of all levels together; null where the tables are not in the dump. */
  readonly protection: Protection | null;
}

/** Windows maps nothing below 64 KB. */
export const NULL_PAGE_END = 0x10000n;

/** Bits of a linear address: 57 with five paging levels (dump's own tables, or CR4.LA57 of a processor), else 48; x86 32. */
export function linearBits(target: Target): 32 | 48 | 57 {
  if (target.pointerSize === 4) return 32;
  if (target.dump.paging?.mode === 'x64-5-level') return 57;
  if (target.arch !== 'x64' || target.dump.paging !== null) return 48;
  for (const processor of target.processors.slice(0, 4)) {
    const cr4 = member(target, '_KPRCB', processor.prcb, 'ProcessorState.SpecialRegisters.Cr4')?.value ?? null;
    if (cr4 !== null && cr4 !== 0n) return (cr4 & 0x1000n) === 0n ? 48 : 57;
  }
  return 48;
}

export function isCanonical(target: Target, address: bigint): boolean {
  const bits = linearBits(target);
  if (bits === 32) return address <= 0xffffffffn;
  const top = address >> BigInt(bits - 1);
  return top === 0n || top === (1n << BigInt(65 - bits)) - 1n;
}

/** First address of the kernel's part: MmHighestUserAddress rounded up (x86 with /3GB: c0000000). */
export function kernelStart(target: Target): bigint {
  if (target.pointerSize === 8) return 1n << 63n;
  const at = target.kdbg?.pointer('MmHighestUserAddress') ?? null;
  const highest = at === null ? undefined : target.memory.pointer(at);
  return highest !== undefined && highest >= 0x7fff0000n && highest < 0xffff0000n
    ? (highest + 0x1ffffn) & ~0xffffn
    : 0x80000000n;
}

export function kindOf(target: Target, address: bigint): AddressKind {
  if (!isCanonical(target, address)) return 'non-canonical';
  if (address < NULL_PAGE_END) return 'null-page';
  return address >= kernelStart(target) ? 'kernel' : 'user';
}

/** The unloaded module whose last known range holds the address. */
export function unloadedAt(target: Target, address: bigint): UnloadedModule | null {
  return target.unloadedModules.find((module) => address >= module.start && address < module.end) ?? null;
}

export function placeOf(target: Target, address: bigint): Place | null {
  const none = { module: null, unloaded: null, stack: null };
  const module = target.moduleAt(address);
  if (module !== undefined) return { ...none, kind: 'module', text: target.nameOf(address).text, module };
  const unloaded = unloadedAt(target, address);
  if (unloaded !== null)
    return {
      ...none,
      kind: 'unloaded',
      text: `unloaded ${unloaded.name}+0x${(address - unloaded.start).toString(16)}`,
      unloaded,
    };
  const stack = address >= kernelStart(target) ? target.stackAt(address) : null;
  if (stack !== null)
    return {
      ...none,
      kind: 'stack',
      text: `the ${stack.kind} stack ${stack.limit.toString(16)}..${stack.base.toString(16)}`,
      stack,
    };
  return null;
}

/** Translation of an address by the dump's page tables; null where the dump holds none. */
export function translate(target: Target, address: bigint, process: bigint | null): PageWalk | null {
  const { dump } = target;
  if (dump.physical === null || dump.paging === null) return null;
  const own = process === null ? undefined : target.process(process)?.directoryTableBase;
  const directory = own ?? dump.header.directoryTableBase;
  return directory === null ? null : walkPages(dump, dump.paging.mode, directory, address);
}

const EXECUTE_DISABLE = 1n << 63n;

function protectionOf(target: Target, walk: PageWalk): Protection | null {
  if (target.arch === 'arm64' || walk.physical === null) return null;
  // The four PDPTEs of PAE have no protection bits.
  const levels = walk.levels.filter((level) => !(walk.mode === 'x86-pae' && level.name === 'PPE'));
  const all = (bit: bigint): boolean => levels.every((level) => ((level.entry ?? 0n) & bit) !== 0n);
  return {
    writable: all(2n),
    user: all(4n),
    executable: levels.every((level) => ((level.entry ?? 0n) & EXECUTE_DISABLE) === 0n),
  };
}

function presenceOf(
  target: Target,
  address: bigint,
  process: bigint | null,
): Pick<AddressView, 'presence' | 'presenceText' | 'protection'> {
  const memory = process !== null && address < kernelStart(target) ? target.memoryOf(process as never) : target.memory;
  const walk = translate(target, address, process);
  const gap = memory.gap(address, 1);
  if (walk === null) {
    // A triage dump captures what was valid when it was written; what it lacks it does not deny.
    if (gap !== null) return { presence: 'unknown', presenceText: 'not captured in this dump', protection: null };
    const source = memory.sourceOf(address as never);
    return source === 'dump'
      ? { presence: 'present', presenceText: 'its bytes were captured', protection: null }
      : { presence: 'unknown', presenceText: `not captured; its bytes come from ${source}`, protection: null };
  }
  const last = walk.levels.at(-1);
  if (walk.physical !== null) {
    const protection = protectionOf(target, walk);
    const bits =
      protection === null
        ? ''
        : `, ${protection.writable ? 'writable' : 'read-only'}${protection.executable ? '' : ', no execute'}${protection.user ? ', user' : ''}`;
    return {
      presence: 'present',
      presenceText: `the page tables map it to physical ${walk.physical.toString(16)}${bits}`,
      protection,
    };
  }
  if (last === undefined || last.entry === null)
    return {
      presence: 'unknown',
      presenceText: `the page table of its ${last?.name ?? 'PTE'} is not in the dump`,
      protection: null,
    };
  if (last.entry === 0n)
    return {
      presence: 'not-present',
      presenceText: `its ${last.name} is 0: nothing is mapped there`,
      protection: null,
    };
  const entry = `its ${last.name} is ${last.entry.toString(16)}`;
  if (gap === null)
    return {
      presence: 'not-resident',
      presenceText: `${entry}: not valid for the processor, the page is in transition or behind a prototype PTE`,
      protection: null,
    };
  // A software PTE that leads to a table or page that the dump lacks: what it says of the page is not known, or is that the
  // page is in transition.
  if (gap.reason.kind === 'table-missing')
    return { presence: 'unknown', presenceText: `${entry}: ${describeGap(gap)}`, protection: null };
  const resident =
    gap.reason.kind === 'paged-out' ||
    gap.reason.kind === 'demand-zero' ||
    gap.reason.kind === 'prototype' ||
    gap.reason.kind === 'not-in-dump' ||
    gap.reason.kind === 'truncated';
  return {
    presence: resident ? 'not-resident' : 'not-present',
    presenceText: `${entry}: ${describeGap(gap)}`,
    protection: null,
  };
}

/** `process`: whose user space a user address belongs to. */
export function viewAddress(target: Target, address: bigint, process: bigint | null): AddressView {
  const kind = kindOf(target, address);
  if (kind === 'non-canonical')
    return {
      address,
      kind,
      place: null,
      presence: 'not-present',
      presenceText: `not canonical with ${linearBits(target)}-bit addresses: bits ${linearBits(target) - 1} to 63 are not all equal`,
      protection: null,
    };
  return { address, kind, place: placeOf(target, address), ...presenceOf(target, address, process) };
}

const fills: readonly (readonly [byte: number, what: string])[] = [
  [0xcc, 'the fill of uninitialised stack variables in instrumented builds (cc)'],
  [0xcd, 'a fill of fresh heap memory (cd)'],
  [0xdd, 'a fill of freed heap memory (dd)'],
  [0xfd, 'a guard fill around heap blocks (fd)'],
  [0xab, 'a fill behind heap blocks (ab)'],
  [0xff, 'all ones'],
];

/** What a pointer value looks like when it is none; null for nothing in particular. Never quotes the bytes as text. */
export function oddValue(target: Target, value: bigint): string | null {
  const bytes: number[] = [];
  for (let i = 0; i < target.pointerSize; i++) bytes.push(Number((value >> BigInt(i * 8)) & 0xffn));
  const [first] = bytes;
  const same = bytes.every((byte) => byte === first);
  if (same) {
    const fill = fills.find(([byte]) => byte === first);
    if (fill !== undefined) return fill[1];
  }
  if (value === 0xfeeefeeefeeefeeen || value === 0xfeeefeeen) return 'a fill of freed heap memory (feee)';
  if (value === 0xbaadf00dbaadf00dn || value === 0xbaadf00dn) return 'a fill of fresh heap memory (baadf00d)';
  const printable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;
  if (bytes.every(printable)) return 'printable text: memory that holds characters was used as a pointer';
  if (target.pointerSize === 8 && bytes.every((byte, i) => (i % 2 === 0 ? printable(byte) : byte === 0)))
    return 'UTF-16 text: memory that holds characters was used as a pointer';
  return null;
}
