import { describe, expect, it } from 'vitest';
import { bytesSource, type Dump, Memory, NotADumpError, openDump, pa, va } from '../src/index.ts';
import { bitmapDump, fullDump, PAGE, Ram, random, rangeDump, summaryDump, triageDump } from './build.ts';
import { shared, sharedDump } from './shared.ts';

const STATES = [0x63n, 0x880n, 0x480n, 0x84n];

/** x64 tables with small, large, transition and prototype entries, all over a few pages. */
function machine(): Ram {
  const ram = new Ram();
  for (let pfn = 0x10; pfn < 0x20; pfn++) ram.marked(pfn);
  ram.page(0x100).u64(0xf80, 0x101063n).u64(0x18, 0x101067n);
  ram.page(0x101).u64(0x0, 0x102063n).u64(0x8, 0x1e3n);
  ram.page(0x102).u64(0x0, 0x103063n).u64(0x8, 0x2001e3n).u64(0x10, 0x103880n);
  for (let i = 0; i < 512; i++)
    ram.page(0x103).u64(8 * i, BigInt((0x10 + (i % 24)) * PAGE) | (STATES[i % STATES.length] ?? 0n));
  return ram;
}

function machine32(): Ram {
  const ram = machine();
  for (let i = 0; i < 1024; i++) ram.page(0x104).u32(4 * i, ((0x100 + (i % 8)) << 12) | (i % 3 === 0 ? 0x1e3 : 0x63));
  return ram;
}

const seeds: [string, Uint8Array][] = [
  ['full64', fullDump(machine(), { dtb: 0x100000 }).bytes],
  ['arm64', fullDump(machine(), { dtb: 0x100000, machine: 0xaa64 }).bytes],
  ['full32', fullDump(machine32(), { dtb: 0x104000 }, false).bytes],
  ['pae', fullDump(machine32(), { dtb: 0x101000, pae: 1 }, false).bytes],
  ['bitmap', bitmapDump(machine(), { type: 6, dtb: 0x100000 }).bytes],
  ['summary', summaryDump(machine32(), { type: 2, dtb: 0x104000 }, false).bytes],
  ['range', rangeDump(machine(), { type: 0xa, dtb: 0x100000 }, machine().runs()).bytes],
  ['range-k', rangeDump(machine(), { type: 8, dtb: 0x100000 }, machine().runs()).bytes],
  ['triage64', triage(true)],
  ['triage32', triage(false)],
];

function triage(wide: boolean): Uint8Array {
  const high = wide ? 0xfffff80000000000n : 0x80000000n;
  return triageDump(
    {
      stack: { address: high + 0x5000n, bytes: new Uint8Array(0x200).fill(7) },
      dataPage: { address: high + 0x9000n, bytes: new Uint8Array(0x1000).fill(9) },
      kdbg: new Uint8Array(0x340).fill(3),
      blocks: Array.from({ length: 40 }, (_, i) => ({
        address: high + BigInt(i * 0x38),
        bytes: new Uint8Array(0x40).fill(i),
      })),
      drivers: Array.from({ length: 9 }, (_, i) => ({ name: `drv${i}.sys`, base: high + BigInt(i << 16), size: 4096 })),
      unloaded: [{ name: 'old.sys', start: high, end: high + 0x1000n }],
      blobs: [{ tag: new Uint8Array(16).fill(5), bytes: new Uint8Array(50) }],
    },
    {},
    wide,
  ).bytes;
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];
const WORDS = [0, 1, 0xffffffff, 0x7fffffff, 0x80000000, 0x45474150, 0x1000, 0xfffff000];

function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
  let copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const flips = 1 + (next() % 24);
  const hot = [0x400, 0x1100, 0x2100, 0x3000, copy.length][next() % 5] ?? copy.length;
  for (let i = 0; i < flips; i++) {
    // The signature stays: what comes without it is refused at once.
    const at = 8 + (next() % Math.max(1, Math.min(hot, copy.length) - 12));
    switch (next() % 3) {
      case 0:
        copy[at] = (copy[at] ?? 0) ^ (1 << (next() % 8));
        break;
      case 1:
        copy[at] = INTERESTING[next() % INTERESTING.length] ?? 0;
        break;
      default:
        view.setUint32(at & ~3, WORDS[next() % WORDS.length] ?? 0, true);
    }
  }
  if (next() % 3 === 0) copy = copy.subarray(0, next() % copy.length);
  return copy;
}

/** Opens and reads all over the place. Returns how many bytes came back. */
function exercise(bytes: Uint8Array, next: () => number): number {
  let dump: Dump;
  try {
    dump = openDump(bytesSource(bytes, 'mutant.dmp'), { cacheBytes: 256 * 1024 });
  } catch (error) {
    if (error instanceof NotADumpError) return 0;
    throw error;
  }
  let total = 0;
  const interesting: bigint[] = [
    dump.header.psLoadedModuleList ?? 0n,
    dump.header.kdDebuggerDataBlock ?? 0n,
    dump.triage?.topOfStack ?? 0n,
    0xfffff80000000000n,
    0xffffffffffffff00n,
    0x80000000n,
    0xffffff00n,
    0n,
    ...(dump.triage?.blocks.slice(0, 20).map((block) => block.address) ?? []),
  ];
  const readers = [dump.memory(), dump.memory(pa((next() % 0x200) * PAGE)), dump.memory(pa(2 ** 51))];
  for (let i = 0; i < 100; i++) {
    const address = va((interesting[next() % interesting.length] ?? 0n) + BigInt(next() % 0x8000));
    const into = new Uint8Array(next() % 0x3000);
    const reader = readers[next() % readers.length] ?? dump.memory();
    const got = reader.readInto(address, into);
    if (got < 0 || got > into.length) throw new Error(`${got} of ${into.length} bytes`);
    total += got;
    const gap = new Memory(reader).gap(address, into.length || 1);
    if (into.length > 0 && (gap === null) !== (got === into.length)) throw new Error('gap and read disagree');
    if (gap !== null && reader.gapAt(gap.address) === null) throw new Error('no reason for a gap');
  }
  for (let i = 0; i < 100; i++) {
    const pfn = next() % 0x400;
    const into = new Uint8Array(next() % 0x2800);
    const got = dump.physical?.readInto(pa(pfn * PAGE + (next() % PAGE)), into) ?? 0;
    if (got < 0 || got > into.length) throw new Error(`${got} of ${into.length} physical bytes`);
    dump.physical?.pageOffset(next() * next());
  }
  for (const blob of dump.blobs)
    if (dump.fileBytes(blob.offset, blob.size).length !== blob.size) throw new Error('blob');
  for (const problem of dump.problems) if (problem.message.includes('\n')) throw new Error('problem of two lines');
  dump.fileBytes(bytes.length - 3, 100);
  return total;
}

function campaign(name: string, bytes: Uint8Array, rounds: number): void {
  const whole = exercise(bytes, random(1));
  expect(whole).toBeGreaterThan(0);
  for (let seed = 1; seed <= rounds; seed++) {
    const next = random(seed * 7919);
    try {
      exercise(mutate(bytes, next), next);
    } catch (error) {
      throw new Error(`${name}, seed ${seed}`, { cause: error });
    }
  }
}

describe('mutants never throw and never return more than was asked for', () => {
  it.each(seeds)('%s', (name, bytes) => {
    campaign(name, bytes, 150);
  });

  it.skipIf(shared === null)('real dumps', () => {
    for (const file of [
      'kernel/x64-9600-0xea-stuck-driver.dmp',
      'kernel/arm64-22000-0x1c8.dmp',
      'kernel/x64-19041-0x3b-ntfs.dmp',
    ]) {
      campaign(file, sharedDump(file), 25);
    }
  });
});
