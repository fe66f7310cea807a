import { type Dump, type Memory, type Va, va } from '@dumpscope/core';
import type { LimitList } from './limits.ts';
import type { Kdbg } from './model.ts';

/** Where the processors' blocks are, before any layout is known. */
export interface ProcessorBlocks {
  /** KPRCB of each processor; null where it is not known or not in the dump. */
  readonly blocks: readonly (Va | null)[];
  /** Number of the processor whose raw KPRCB a triage dump holds; null elsewhere. */
  readonly triageNumber: number | null;
  /** Why some are missing. */
  readonly note: string | null;
}

/** 20 groups of 64 are supported at most; a P4 kernel has 32. */
const MAX_PROCESSORS = { 4: 32, 8: 2048 } as const;

/**
 * Address of a raw structure image by its own list heads: an empty LIST_ENTRY points at itself, twice, so that each one
 * votes for `value - offset`. A KPRCB has dozens of them (113 to 577 votes in the real dumps, the next candidate 1). On XP
 * the only one is DpcListHead; there the KPRCB lies 0x120 into a page, as in every x86 KPCR, and that decides.
 */
export function addressByVotes(bytes: Uint8Array, pointerSize: 4 | 8): { address: Va; votes: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const votes = new Map<bigint, number>();
  for (let at = 0; at + 2 * pointerSize <= bytes.length; at += pointerSize) {
    if (pointerSize === 8) {
      if (view.getUint32(at + 4, true) < 0xffff0000 || view.getUint32(at, true) !== view.getUint32(at + 8, true))
        continue;
      if (view.getUint32(at + 4, true) !== view.getUint32(at + 12, true)) continue;
    } else {
      const low = view.getUint32(at, true);
      if (low < 0x80000000 || low !== view.getUint32(at + 4, true)) continue;
    }
    const value = pointerSize === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
    const base = value - BigInt(at);
    votes.set(base, (votes.get(base) ?? 0) + 1);
  }
  let best: { address: Va; votes: number } | null = null;
  let second = 0;
  for (const [base, count] of votes) {
    if (best === null || count > best.votes) {
      second = best?.votes ?? 0;
      best = { address: va(base), votes: count };
    } else if (count > second) second = count;
  }
  if (best !== null && best.votes >= 3 && best.votes > second * 2) return best;
  if (pointerSize === 8) return null;
  const inPcr = [...votes].filter(([base]) => (base & 0xfffn) === 0x120n);
  const [only] = inPcr;
  return only === undefined || inPcr.length > 1 ? null : { address: va(only[0]), votes: only[1] };
}

/** Bytes of a raw image in the triage file: up to the next structure. */
function rawSize(dump: Dump, offset: number, claimed: number | null, usual: number): number {
  const triage = dump.triage;
  if (triage === null || offset === 0) return 0;
  const marks = [
    triage.prcbOffset,
    triage.processOffset,
    triage.threadOffset,
    triage.callStackOffset,
    triage.kdbgOffset,
  ];
  let next = dump.fileSize;
  for (const mark of marks) if (mark > offset && mark < next) next = mark;
  return Math.max(0, Math.min(claimed ?? usual, next - offset, dump.fileSize - offset));
}

/**
 * Puts a triage dump's raw KPRCB, ETHREAD and EPROCESS where they were in memory: the KPRCB by its list heads (or the
 * KiProcessorBlock entry whose CurrentThread it has), the thread by KPRCB.CurrentThread, the process by the thread.
 */
export function overlayTriage(dump: Dump, kdbg: Kdbg | null, limits: LimitList): Va | null {
  const triage = dump.triage;
  if (triage === null) return null;
  const pointer = (bytes: Uint8Array, at: number | null): bigint | null => {
    if (at === null || at + dump.pointerSize > bytes.length) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return dump.pointerSize === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  };
  const isKernel = (address: bigint | null): address is bigint =>
    address !== null && (dump.pointerSize === 8 ? address >= 0xffff000000000000n : address >= 0x80000000n);
  const prcbSize = rawSize(dump, triage.prcbOffset, kdbg?.offset('SizePrcb') ?? null, 0xc000);
  const prcb = dump.fileBytes(triage.prcbOffset, prcbSize);
  let prcbAddress: Va | null = null;
  if (triage.prcbOffset !== 0 && prcb.length >= 0x400) {
    const voted = addressByVotes(prcb, dump.pointerSize);
    if (voted !== null) {
      prcbAddress = voted.address;
      dump.overlay(voted.address, triage.prcbOffset, prcb.length);
    } else
      limits.add(
        'processor block of the triage dump',
        `the ${prcb.length} bytes at file offset 0x${triage.prcbOffset.toString(16)} do not tell their address`,
        null,
        'processors',
      );
  }
  const current = pointer(prcb, kdbg?.offset('OffsetPrcbCurrentThread') ?? (dump.pointerSize === 8 ? 8 : 4));
  const threadSize = rawSize(dump, triage.threadOffset, kdbg?.offset('SizeEThread') ?? null, 0x1000);
  const thread = dump.fileBytes(triage.threadOffset, threadSize);
  if (triage.threadOffset === 0 || thread.length < 0x100) return prcbAddress;
  const isThread = ((thread[0] ?? 0) & 0x7f) === 6;
  // Header.WaitListHead of a running thread is empty: it points at itself, 8 (P4 too) bytes into the object.
  const self = pointer(thread, 8);
  const threadAddress = isKernel(current) ? current : isKernel(self) ? self - 8n : null;
  if (!isThread || threadAddress === null) {
    limits.add('thread of the triage dump', 'its raw image does not tell its address', null);
    return prcbAddress;
  }
  dump.overlay(va(threadAddress), triage.threadOffset, thread.length);
  const process = pointer(thread, kdbg?.offset('OffsetKThreadApcProcess') ?? null);
  const processSize = rawSize(dump, triage.processOffset, kdbg?.offset('SizeEProcess') ?? null, 0x1000);
  const raw = dump.fileBytes(triage.processOffset, processSize);
  if (triage.processOffset !== 0 && isKernel(process) && ((raw[0] ?? 0) & 0x7f) === 3)
    dump.overlay(va(process), triage.processOffset, raw.length);
  return prcbAddress;
}

/** KPRCBs by KiProcessorBlock (KDBG, symbol, `search`), the raw triage block, or the old x86 KPCR at FFDFF000. */
export function locateProcessorBlocks(
  dump: Dump,
  memory: Memory,
  kdbg: Kdbg | null,
  symbol: Va | null,
  triagePrcb: Va | null,
  search: () => Va | null = () => null,
): ProcessorBlocks {
  const declared = dump.header.numberProcessors;
  const most = MAX_PROCESSORS[dump.pointerSize];
  const count = declared >= 1 && declared <= most ? declared : most;
  const exact = count === declared;
  const array = kdbg?.pointer('KiProcessorBlock') ?? symbol ?? search();
  const blocks: (Va | null)[] = [];
  const named: bigint[] = [];
  const numberAt = kdbg?.offset('OffsetPrcbNumber') ?? null;
  if (array !== null) {
    const bytes = memory.prefix(array, count * dump.pointerSize);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; (i + 1) * dump.pointerSize <= bytes.length; i++) {
      const value = dump.pointerSize === 8 ? view.getBigUint64(i * 8, true) : BigInt(view.getUint32(i * 4, true));
      if (value === 0n) {
        if (!exact) break;
        blocks.push(null);
        named.push(0n);
        continue;
      }
      named.push(value);
      const current = memory.pointer(value + BigInt(dump.pointerSize === 8 ? 8 : 4));
      blocks.push(current === undefined ? null : va(value));
    }
  }
  let triageNumber: number | null = null;
  if (triagePrcb !== null) {
    // The array names it even where its own first bytes are missing.
    const known = named.indexOf(triagePrcb);
    // XP's KDBG ends before the offset; there Number is the byte at 10.
    const byte = dump.arch === 'x86' ? (memory.u8(triagePrcb + 0x10n) ?? null) : null;
    const stored = numberAt === null ? byte : (memory.u32(triagePrcb + BigInt(numberAt)) ?? null);
    triageNumber = known >= 0 ? known : stored !== null && stored < most ? stored : 0;
    if (blocks[triageNumber] !== triagePrcb) {
      while (blocks.length <= triageNumber) blocks.push(null);
      blocks[triageNumber] = triagePrcb;
    }
  }
  if (blocks.every((block) => block === null) && dump.arch === 'x86') {
    // Before Windows Vista the boot processor's KPCR is always here; SelfPcr confirms.
    if (memory.u32(0xffdff01cn) === 0xffdff000) {
      const prcb = memory.pointer(0xffdff020n);
      // Number is the byte at 10 of an XP KPRCB.
      const number = prcb === undefined || prcb === 0n ? undefined : memory.u8(prcb + 0x10n);
      if (prcb !== undefined && number !== undefined && number < most)
        return {
          blocks: Array.from({ length: exact ? Math.max(count, number + 1) : number + 1 }, (_, i) =>
            i === number ? prcb : null,
          ),
          triageNumber,
          note: `processor ${number} only, by its KPCR at ffdff000: KiProcessorBlock ${array === null ? 'is not known' : 'cannot be read'}`,
        };
    }
  }
  const found = blocks.filter((block) => block !== null).length;
  if (exact) while (blocks.length < count) blocks.push(null);
  let note: string | null = null;
  const absent = blocks.length - found;
  if (found === 0)
    note =
      array === null
        ? 'no processor block: neither KDBG nor symbols name KiProcessorBlock, and nt as far as it is here holds none'
        : `no processor block: KiProcessorBlock at ${array.toString(16)} or what it points at is not in the dump`;
  else if (absent > 0)
    note =
      triagePrcb !== null && found === 1
        ? `only processor ${triageNumber}, which wrote this triage dump, was captured; the other ${absent} are not in it`
        : `the blocks of ${absent} of ${blocks.length} processors are not in the dump`;
  return { blocks, triageNumber, note };
}
