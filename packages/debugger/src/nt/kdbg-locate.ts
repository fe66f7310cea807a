import { type Dump, type Memory, type Va, va } from '@dumpscope/core';
import type { Kdbg } from '../target/model.ts';
import { KDBG_MAX_SIZE, KDBG_TAG, kdbgSizeOf, parseKdbg } from './kdbg.ts';
import { decodeKdbg, findEncodedKdbg, findKdbgKey } from './kdbg-decode.ts';

export interface KdbgLocation {
  readonly kdbg: Kdbg | null;
  /** One line: where it was found, or why there is none. */
  readonly how: string;
}

export interface KdbgHints {
  /** Base and size of nt by its loader entry, where that could be read. */
  readonly kernel: { readonly base: Va; readonly size: number } | null;
  /** KdDebuggerDataBlock by symbols. */
  readonly symbol: Va | null;
}

/** Largest part of nt that is searched. */
const MAX_SEARCH = 0x2000000;

/** A 32-bit kernel stores pointers sign-extended in the block. */
function signExtended(dump: Dump, base: bigint): bigint {
  return dump.pointerSize === 4 && base >= 0x80000000n ? base | 0xffffffff00000000n : base;
}

function agrees(dump: Dump, kdbg: Kdbg, hints: KdbgHints): boolean {
  if (hints.kernel !== null && kdbg.kernBase !== hints.kernel.base) return false;
  const list = kdbg.pointer('PsLoadedModuleList');
  return dump.header.psLoadedModuleList === null || list === null || list === dump.header.psLoadedModuleList;
}

function readAt(dump: Dump, memory: Memory, address: Va, hints: KdbgHints): Kdbg | null {
  const head = memory.bytes(address, 0x20);
  if (head === undefined) return null;
  const plain = kdbgSizeOf(head);
  if (plain !== null) return parseKdbg(memory.prefix(address, plain), address, 'dump', dump.pointerSize);
  if (hints.kernel === null) return null;
  const key = findKdbgKey(head, signExtended(dump, hints.kernel.base));
  if (key === null) return null;
  const first = decodeKdbg(head, key);
  const size = kdbgSizeOf(first);
  if (size === null) return null;
  const decoded = decodeKdbg(memory.prefix(address, Math.min(size, KDBG_MAX_SIZE)), key);
  return parseKdbg(decoded, address, 'decoded', dump.pointerSize);
}

function fromBlobs(dump: Dump): Kdbg | null {
  for (const blob of dump.blobs) {
    if (blob.size < 0x208) continue;
    const bytes = dump.fileBytes(blob.offset, Math.min(blob.size, KDBG_MAX_SIZE));
    const kdbg = parseKdbg(bytes, null, 'blob', dump.pointerSize);
    if (kdbg !== null) return kdbg;
  }
  return null;
}

/** A search of nt's pages for the block, plain first, then encoded. */
function search(dump: Dump, memory: Memory, hints: KdbgHints): Kdbg | null {
  const kernel = hints.kernel;
  if (kernel === null) return null;
  const chunk = 0x40000;
  const overlap = 0x400;
  const buffer = new Uint8Array(chunk + overlap);
  const words = new Uint32Array(buffer.buffer);
  const base = signExtended(dump, kernel.base);
  const low = Number(base & 0xffffffffn);
  const end = Math.min(kernel.size, MAX_SEARCH);
  for (const encoded of [false, true]) {
    for (let at = 0; at < end; at += chunk) {
      for (let page = 0; page < buffer.length; page += 0x1000) {
        const part = buffer.subarray(page, Math.min(page + 0x1000, buffer.length));
        const got = memory.readInto(va(kernel.base + BigInt(at + page)), part);
        part.fill(0, got);
      }
      const hits = encoded ? findEncodedKdbg(buffer, base) : plainHits(words, low);
      for (const hit of hits) {
        const kdbg = readAt(dump, memory, va(kernel.base + BigInt(at + hit)), hints);
        if (kdbg !== null && agrees(dump, kdbg, hints)) return kdbg;
      }
    }
  }
  return null;
}

function plainHits(words: Uint32Array, kernBaseLow: number): number[] {
  const out: number[] = [];
  for (let i = 4; i + 3 < words.length; i++)
    if (words[i] === KDBG_TAG && words[i + 2] === kernBaseLow) out.push(i * 4 - 0x10);
  return out;
}

/** Finds KDDEBUGGER_DATA64: triage copy, header address (plain or encoded), symbol, blob, search of nt. */
export function locateKdbg(dump: Dump, memory: Memory, hints: KdbgHints): KdbgLocation {
  const triage = dump.triage;
  if (triage !== null && triage.kdbgOffset !== 0 && triage.kdbgSize >= 0x208) {
    const bytes = dump.fileBytes(triage.kdbgOffset, Math.min(triage.kdbgSize, KDBG_MAX_SIZE));
    const kdbg = parseKdbg(bytes, dump.header.kdDebuggerDataBlock, 'triage', dump.pointerSize);
    if (kdbg !== null)
      return { kdbg, how: `copy in the triage dump at file offset 0x${triage.kdbgOffset.toString(16)}` };
  }
  const tried: string[] = [];
  for (const [address, from] of [
    [dump.header.kdDebuggerDataBlock, 'the header'],
    [hints.symbol, 'the symbol KdDebuggerDataBlock'],
  ] as const) {
    if (address === null || address === 0n) continue;
    const kdbg = readAt(dump, memory, address, hints);
    if (kdbg !== null && agrees(dump, kdbg, hints))
      return {
        kdbg,
        how: `at ${address.toString(16)}, named by ${from}${kdbg.source === 'decoded' ? ', decoded' : ''}`,
      };
    tried.push(
      `${address.toString(16)} (from ${from}) ${memory.bytes(address, 0x20) === undefined ? 'cannot be read' : 'holds no block of this kernel'}`,
    );
  }
  const blob = fromBlobs(dump);
  if (blob !== null) return { kdbg: blob, how: 'secondary data' };
  const found = dump.physical === null && dump.triage === null ? null : search(dump, memory, hints);
  if (found !== null) return { kdbg: found, how: `found at ${found.address?.toString(16) ?? '?'} by a search of nt` };
  return {
    kdbg: null,
    how:
      tried.length > 0 ? `${tried.join('; ')}; a search of nt found none` : 'the header names none, and none was found',
  };
}
