import { type Arch, Memory, type Va, va } from '@dumpscope/core';
import type { SymbolAnswers } from './answers.ts';
import type { LimitList } from './limits.ts';
import { type LoadedModule, makeModules } from './module.ts';
import { type ListedModule, unicodeStringAt } from './module-list.ts';
import { baseName } from './module-names.ts';
import { ModuleMap } from './naming.ts';

/** The user part of a process: its modules by the loader's list. */
export interface UserSpace {
  readonly process: Va;
  readonly memory: Memory;
  readonly modules: readonly LoadedModule[];
  readonly map: ModuleMap;
  /** The memory as 32-bit code sees it; null where the process has no WOW64 half. */
  readonly memory32: Memory | null;
}

const MAX_MODULES = 1024;

/** PEB.Ldr, PEB_LDR_DATA.InLoadOrderModuleList, LDR_DATA_TABLE_ENTRY: the same since NT 4 (x86) and XP (x64). */
const places = {
  4: { ldr: 0x0c, list: 0x0c, dllBase: 0x18, size: 0x20, fullName: 0x24, baseName: 0x2c, bytes: 0x48 },
  8: { ldr: 0x18, list: 0x10, dllBase: 0x30, size: 0x40, fullName: 0x48, baseName: 0x58, bytes: 0x80 },
} as const;

/** Highest address that is user space in any configuration (x86 with /3GB; 47 bits on x64). */
export function isUserAddress(pointerSize: 4 | 8, address: bigint): boolean {
  return address < (pointerSize === 4 ? 0xc0000000n : 0x0000800000000000n);
}

/** The list of the loader below a PEB; of a WOW64 process there are two, in memory of both widths. */
function listUserModules(memory: Memory, peb: Va): ListedModule[] {
  const at = places[memory.pointerSize];
  const ldr = memory.pointer(peb + BigInt(at.ldr));
  if (ldr === undefined || ldr === 0n) return [];
  const head = ldr + BigInt(at.list);
  const out: ListedModule[] = [];
  const seen = new Set<bigint>([head]);
  let entry = memory.pointer(head);
  while (entry !== undefined && entry !== 0n && !seen.has(entry) && out.length < MAX_MODULES) {
    seen.add(entry);
    const bytes = memory.bytes(entry, at.bytes);
    if (bytes === undefined) break;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const pointer = (offset: number): Va =>
      memory.pointerSize === 8 ? (view.getBigUint64(offset, true) as Va) : va(view.getUint32(offset, true));
    const base = pointer(at.dllBase);
    const size = view.getUint32(at.size, true);
    if ((base & 0xfffn) !== 0n || size === 0 || !isUserAddress(memory.pointerSize, base)) break;
    const path = unicodeStringAt(memory, bytes, at.fullName) ?? '';
    const name = unicodeStringAt(memory, bytes, at.baseName) ?? baseName(path);
    out.push({
      imageName: name === '' ? `image_${base.toString(16)}` : name,
      imagePath: path,
      base,
      size,
      timeDateStamp: null,
      checkSum: null,
      exceptionTable: null,
    });
    entry = pointer(0);
  }
  return out;
}

export interface UserSpaceInput {
  readonly arch: Arch;
  readonly process: Va;
  readonly peb: Va | null;
  /** Of the WOW64 half. */
  readonly peb32: Va | null;
  readonly memory: Memory;
  readonly answers: SymbolAnswers;
  readonly limits: LimitList;
}

/** Reads the loader's lists of a process; no modules where their pages are not in the dump. */
export function readUserSpace(input: UserSpaceInput): UserSpace {
  const { process, memory, peb32 } = input;
  const memory32 = peb32 === null || memory.pointerSize === 4 ? null : narrowed(memory);
  const listed = input.peb === null ? [] : listUserModules(memory, input.peb);
  // The program itself stands on both lists; its code is 32-bit.
  const listed32 = memory32 === null || peb32 === null ? [] : listUserModules(memory32, peb32);
  const context = { answers: input.answers, limits: input.limits, kernelSymbols: () => null };
  const narrow = new Set<bigint>(listed32.map((entry) => entry.base));
  const wide = listed.filter((entry) => !narrow.has(entry.base));
  const used = new Set<string>();
  const modules = [
    ...makeModules({ ...context, arch: input.arch, memory }, wide, false, used),
    ...makeModules({ ...context, arch: 'x86', memory }, listed32, false, used),
  ];
  return { process, memory, modules, map: new ModuleMap(modules), memory32 };
}

/** The same bytes with pointers of four bytes. */
function narrowed(memory: Memory): Memory {
  return new Memory({
    pointerSize: 4,
    readInto: (address, into) => memory.readInto(address, into),
    gapAt: (address) => memory.gapAt(address),
    sourceOf: (address) => memory.sourceOf(address),
  });
}
