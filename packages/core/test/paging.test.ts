import { describe, expect, it } from 'vitest';
import { type Dump, describeGap, Memory, type PageLevel, pa, type Va, va } from '../src/index.ts';
import { fullDump, open, PAGE, Ram } from './build.ts';

const PS = 0x80n;

/** Page tables of 512 eight-byte entries, any number of levels; written apart from the walkers. */
class Tables {
  readonly ram = new Ram();
  readonly root: number;
  readonly #levels: number;
  readonly #tableBits: bigint;
  #next: number;

  constructor(levels: number, tableBits: bigint, root = 0x100) {
    this.#levels = levels;
    this.#tableBits = tableBits;
    this.root = root;
    this.#next = root + 1;
    this.ram.page(root);
  }

  /** Physical address of the entry at `level` (0 = PTE), making the tables above it. */
  slot(address: bigint, level: number): number {
    let table = this.root * PAGE;
    for (let at = this.#levels - 1; ; at--) {
      const index = Number((address >> BigInt(12 + 9 * at)) & 0x1ffn);
      const slot = table + index * 8;
      if (at === level) return slot;
      const page = this.ram.page(Math.floor(slot / PAGE));
      let entry = page.view.getBigUint64(slot % PAGE, true);
      if (entry === 0n) {
        const pfn = this.#next++;
        this.ram.page(pfn);
        entry = (BigInt(pfn) << 12n) | this.#tableBits;
        this.ram.u64(slot, entry);
      }
      table = Number((entry >> 12n) & 0xff_ffff_ffffn) * PAGE;
    }
  }

  set(address: bigint, level: number, entry: bigint): this {
    this.ram.u64(this.slot(address, level), entry);
    return this;
  }
}

function reason(dump: Dump, address: bigint, dtb?: number): unknown {
  return dump.memory(dtb === undefined ? undefined : pa(dtb)).gapAt(va(address))?.reason ?? null;
}

function read64(dump: Dump, address: bigint): bigint | undefined {
  return new Memory(dump.memory()).u64(address);
}

const K = 0xfffff800_12345000n;

describe.each([
  ['x64, 4 levels', 4, undefined],
  ['x64, 5 levels', 5, 5],
] as const)('%s', (_, levels, forced) => {
  const dumpOf = (tables: Tables): Dump =>
    open(fullDump(tables.ram, { dtb: tables.root * PAGE + 2 }), forced === undefined ? {} : { levels: forced });

  it('walks to small and large pages', () => {
    const t = new Tables(levels, 0x63n);
    t.ram.marked(5).marked(0x4567).marked(0x81234).marked(6);
    t.set(K, 0, 0x8000000000005863n | (5n << 12n));
    t.set(0xfffff801_00000000n, 1, (0x4400n << 12n) | 0x1e3n | PS | 0x1000n); // PAT is bit 12 of a large page
    t.set(0xfffff802_00000000n, 2, (0x80000n << 12n) | 0x1e3n | PS);
    const dump = dumpOf(t);
    expect(read64(dump, K + 8n)).toBe(0x5008n);
    expect(read64(dump, 0xfffff801_00167010n)).toBe(0x4567010n);
    expect(read64(dump, 0xfffff802_01234018n)).toBe(0x81234018n);
  });

  it('gives the reason of each failure', () => {
    const t = new Tables(levels, 0x63n);
    t.ram.marked(5).marked(6).marked(7);
    t.set(K, 0, (5n << 12n) | 0x63n);
    t.set(K + 0x1000n, 0, 0n);
    t.set(K + 0x2000n, 0, (6n << 12n) | 0x880n); // transition
    t.set(K + 0x3000n, 0, (0x2000n << 32n) | (6n << 12n) | 0x880n); // transition under the L1TF mask
    t.set(K + 0x4000n, 0, (0x1a34n << 32n) | (2n << 12n) | 0x90n); // page file 2
    t.set(K + 0x5000n, 0, (0x3a34n << 32n) | 0x80n); // offset under the L1TF mask
    t.set(K + 0x6000n, 0, 0x80n); // protection only
    t.set(K + 0x7000n, 0, (0x9999n << 12n) | 0x63n); // page not in the dump
    t.set(K + 0x8000n, 0, (0xf80012349000n << 16n) | 0x480n); // prototype at K + 0x4000 + ...
    t.set(0x7ff6_0000_0000n, 0, 0n);
    t.set(0xfffff803_00000000n, 1, (0x9998n << 12n) | 0x63n); // page table not in the dump
    t.set(0xfffff804_00000000n, 2, 0n);
    const dump = dumpOf(t);
    expect(reason(dump, K)).toBe(null);
    expect(reason(dump, K + 0x1010n)).toEqual({ kind: 'not-present', level: 'PTE', entry: 0n });
    expect(read64(dump, K + 0x2008n)).toBe(0x6008n);
    expect(read64(dump, K + 0x3008n)).toBe(0x6008n);
    expect(reason(dump, K + 0x4000n)).toEqual({ kind: 'paged-out', pageFile: 2, offset: 0x1a34 });
    expect(reason(dump, K + 0x5000n)).toEqual({ kind: 'paged-out', pageFile: 0, offset: 0x1a34 });
    expect(reason(dump, K + 0x6000n)).toEqual({ kind: 'demand-zero' });
    expect(reason(dump, 0x7ff6_0000_0000n)).toEqual({ kind: 'demand-zero' });
    expect(reason(dump, K + 0x7010n)).toEqual({ kind: 'not-in-dump', pa: 0x9999010 });
    expect(reason(dump, K + 0x8000n)).toEqual({ kind: 'prototype', address: 0xfffff80012349000n });
    expect(reason(dump, 0xfffff803_00000000n)).toEqual({
      kind: 'table-missing',
      level: 'PTE',
      pa: 0x9998000,
      truncated: false,
    });
    expect(reason(dump, 0xfffff804_00000000n)).toEqual({ kind: 'not-present', level: 'PPE', entry: 0n });
    const top: PageLevel = levels === 5 ? 'PML5E' : 'PXE';
    expect(reason(dump, 0xffff_8000_0000_0000n)).toMatchObject({ kind: 'not-present' });
    expect(reason(dump, 0x0000_7fff_ffff_0000n)).toMatchObject({ kind: 'not-present' });
    expect(reason(dump, levels === 5 ? 0x0100_0000_0000_0000n : 0x0000_8000_0000_0000n)).toEqual({
      kind: 'non-canonical',
    });
    if (levels === 5) expect(reason(dump, 0x00ab_0000_0000_0000n)).toMatchObject({ kind: 'not-present', level: top });
  });

  it('follows a prototype PTE once', () => {
    const t = new Tables(levels, 0x63n);
    const protos = 0xffff_f900_0000_0000n;
    t.ram.marked(6).marked(7);
    t.ram.page(5).u64(0x10, (6n << 12n) | 0x63n); // valid
    t.ram.page(5).u64(0x18, (7n << 12n) | 0x880n); // transition
    t.ram.page(5).u64(0x20, 0x480n | (0xf900_0000_0010n << 16n)); // prototype again: its file
    t.ram.page(5).u64(0x28, 0x77_0000_1080n | 0x10n); // page file 1
    t.ram.page(5).u64(0x30, 0n);
    t.set(protos, 0, (5n << 12n) | 0x63n);
    for (let i = 2n; i <= 6n; i++) t.set(K + i * 0x1000n, 0, (BigInt.asUintN(48, protos + i * 8n) << 16n) | 0x480n);
    // a prototype PTE that stands in a page which itself is mapped by a prototype PTE
    t.set(K + 0x7000n, 0, (BigInt.asUintN(48, K + 0x2000n) << 16n) | 0x480n);
    const dump = dumpOf(t);
    expect(read64(dump, K + 0x2008n)).toBe(0x6008n);
    expect(read64(dump, K + 0x3008n)).toBe(0x7008n);
    expect(reason(dump, K + 0x4000n)).toEqual({ kind: 'prototype', address: protos + 0x20n });
    expect(reason(dump, K + 0x5000n)).toEqual({ kind: 'paged-out', pageFile: 1, offset: 0x77 });
    expect(reason(dump, K + 0x6000n)).toEqual({ kind: 'prototype', address: protos + 0x30n });
    expect(reason(dump, K + 0x7000n)).toEqual({ kind: 'prototype', address: K + 0x2000n });
  });

  it('follows a page table in transition', () => {
    const t = new Tables(levels, 0x63n);
    t.ram.marked(6);
    t.set(K, 0, (6n << 12n) | 0x63n);
    const slot = t.slot(K, 1);
    const page = t.ram.page(Math.floor(slot / PAGE));
    const entry = page.view.getBigUint64(slot % PAGE, true);
    t.ram.u64(slot, (entry & ~0xfffn) | 0x880n);
    expect(read64(dumpOf(t), K)).toBe(0x6000n);
  });

  it('reads over page borders and says where a page table lies behind a truncated end', () => {
    const t = new Tables(levels, 0x63n);
    t.ram.marked(5).marked(6);
    t.set(K, 0, (5n << 12n) | 0x63n);
    t.set(K + 0x1000n, 0, (6n << 12n) | 0x63n);
    const image = fullDump(t.ram, { dtb: t.root * PAGE });
    const dump = open(image, forced === undefined ? {} : { levels: forced });
    const into = new Uint8Array(0x3000);
    expect(dump.memory().readInto(va(K + 0xff8n), into)).toBe(0x1008);
    expect(new DataView(into.buffer).getBigUint64(8, true)).toBe(0x6000n);
    const cut = open(
      image.bytes.subarray(0, image.bytes.length - PAGE),
      forced === undefined ? {} : { levels: forced },
    );
    expect(reason(cut, K)).toMatchObject({ kind: 'table-missing', level: 'PTE', truncated: true });
    expect(describeGap({ address: va(K), reason: reason(cut, K) as never })).toContain('truncated end');
  });

  it('keeps address spaces apart', () => {
    const a = new Tables(levels, 0x67n, 0x100);
    const b = new Tables(levels, 0x67n, 0x200);
    a.ram.marked(5);
    b.ram.marked(6);
    a.set(0x10000n, 0, (5n << 12n) | 0x67n);
    b.set(0x10000n, 0, (6n << 12n) | 0x67n);
    for (const [pfn, page] of b.ram.pages) a.ram.pages.set(pfn, page);
    const dump = dumpOf(a);
    for (let i = 0; i < 3; i++) {
      expect(new Memory(dump.memory()).u64(0x10000n)).toBe(0x5000n);
      expect(new Memory(dump.memory(pa(0x200000))).u64(0x10000n)).toBe(0x6000n);
    }
  });
});

it('reads up to the last byte of the 64-bit address space and not around it', () => {
  const t = new Tables(4, 0x63n);
  t.ram.marked(5).marked(6);
  t.set(0xffff_ffff_ffff_f000n, 0, (5n << 12n) | 0x63n);
  t.set(0n, 0, (6n << 12n) | 0x63n);
  const dump = open(fullDump(t.ram, { dtb: t.root * PAGE }));
  expect(dump.memory().readInto(va(0xffff_ffff_ffff_fff0n), new Uint8Array(64))).toBe(16);
});

describe('choice of the table format', () => {
  const list = 0xfffff800_00001000n as Va;

  it.each([4, 5] as const)('finds out that an x64 dump has %i levels', (levels) => {
    const t = new Tables(levels, 0x63n);
    t.ram
      .page(5)
      .u64(0x10, list + 0x100n)
      .u64(0x18, list + 0x100n);
    t.ram
      .page(5)
      .u64(0x100, list + 0x10n)
      .u64(0x108, list + 0x10n);
    t.set(list, 0, (5n << 12n) | 0x63n);
    const dump = open(fullDump(t.ram, { dtb: t.root * PAGE, modules: list + 0x10n }));
    expect(dump.paging?.mode).toBe(`x64-${levels}-level`);
    expect(dump.paging?.how).toContain('1 structures agree');
    expect(new Memory(dump.memory()).u64(list + 0x10n)).toBe(list + 0x100n);
  });

  it('takes four levels where nothing tells', () => {
    expect(open(fullDump(new Ram().marked(1), {})).paging?.mode).toBe('x64-4-level');
  });
});

describe('x86', () => {
  const L = 0x80001000n;

  function nonPae(): Ram {
    const ram = new Ram();
    ram.page(0x100);
    ram
      .marked(5)
      .marked(6)
      .marked(0x400 + 0x123);
    ram.u32(0x100000 + 0x200 * 4, 0x101063); // 0x80000000 -> page table 0x101
    ram
      .page(5)
      .u32(0, Number(L) + 0x100)
      .u32(4, Number(L) + 0x100);
    ram.page(5).u32(0x100, Number(L)).u32(0x104, Number(L));
    ram.u32(0x101000 + 1 * 4, 0x5063);
    ram.u32(0x101000 + 2 * 4, 0x6880); // transition
    ram.u32(0x101000 + 3 * 4, 0x1a340000 | (2 << 1)); // page file 2
    ram.u32(0x101000 + 4 * 4, 0x80);
    ram.u32(0x101000 + 5 * 4, 0);
    // prototype PTE at 80006010
    ram.u32(0x101000 + 6 * 4, 0x7063);
    ram.page(7).u32(0x10, 0x6063);
    ram.u32(0x101000 + 7 * 4, ((0x6010 & ~0x3ff) << 1) | 0x400 | ((0x6010 & 0x3ff) >> 1));
    ram.u32(0x101000 + 8 * 4, 0x99063);
    ram.u32(0x100000 + 0x201 * 4, 0x4001e3); // 4 MB at 0x80400000
    return ram;
  }

  it('walks without PAE', () => {
    const dump = open(fullDump(nonPae(), { dtb: 0x100000, pae: 0 }, false));
    const memory = new Memory(dump.memory());
    expect(dump.paging).toEqual({ mode: 'x86', how: '2 of 3 known addresses readable, 1 structures agree' });
    expect(memory.u32(L)).toBe(Number(L) + 0x100);
    expect(memory.u64(0x80002008n)).toBe(0x6008n);
    expect(memory.u64(0x80523010n)).toBe(0x523010n);
    expect(memory.u64(0x80007008n)).toBe(0x6008n);
    expect(reason(dump, 0x80003000n)).toEqual({ kind: 'paged-out', pageFile: 2, offset: 0x1a340 });
    expect(reason(dump, 0x80004000n)).toEqual({ kind: 'demand-zero' });
    expect(reason(dump, 0x80005000n)).toEqual({ kind: 'not-present', level: 'PTE', entry: 0n });
    expect(reason(dump, 0x80008000n)).toEqual({ kind: 'not-in-dump', pa: 0x99000 });
    expect(reason(dump, 0x90000000n)).toEqual({ kind: 'not-present', level: 'PDE', entry: 0n });
  });

  it('takes sign-extended addresses of KDDEBUGGER_DATA64, and no other 64-bit ones', () => {
    const dump = open(fullDump(nonPae(), { dtb: 0x100000, pae: 0 }, false));
    expect(new Memory(dump.memory()).u32(0xffffffff_80001000n)).toBe(Number(L) + 0x100);
    expect(reason(dump, 0xffffffff_00001000n)).toEqual({ kind: 'non-canonical' });
    expect(reason(dump, 0x1_80001000n)).toEqual({ kind: 'non-canonical' });
  });

  it('adds PSE-36 bits to the address of a 4 MB page', () => {
    const ram = new Ram();
    ram.page(0x100);
    ram.marked(0x1_0040_0 + 0x2); // 0x1_00402000: bits 39:32 = 1
    ram.u32(0x100000 + 0x202 * 4, 0x4001e3 | (1 << 13));
    const dump = open(fullDump(ram, { dtb: 0x100000, pae: 0 }, false));
    expect(read64(dump, 0x80802008n)).toBe(0x1_0040_2008n);
  });

  function pae(): Ram {
    const ram = new Ram();
    ram.page(0x100);
    ram.marked(5).marked(6).marked(0x455);
    ram.u64(0x100020 + 2 * 8, 0x102001n);
    ram.u64(0x102000, 0x103063n);
    ram.u64(0x102008, 0x4000001e3n & 0xffffffffn);
    ram.u64(0x102008, 0x4001e3n);
    ram
      .page(5)
      .u32(0, Number(L) + 0x100)
      .u32(4, Number(L) + 0x100);
    ram.page(5).u32(0x100, Number(L)).u32(0x104, Number(L));
    ram.u64(0x103000 + 8, 0x8000000000005063n);
    ram.u64(0x103000 + 16, 0x6880n);
    ram.u64(0x103000 + 24, (0x1a34n << 32n) | (2n << 1n));
    ram.u64(0x103000 + 32, 0x80n);
    ram.u64(0x103000 + 40, 0x1_00000063n); // above 4 GiB, not in the dump
    ram.u64(0x103000 + 48, (0x80001ff8n << 32n) | 0x400n); // prototype
    ram.page(5).u64(0xff8, 0x6063n);
    return ram;
  }

  it('walks with PAE', () => {
    const dump = open(fullDump(pae(), { dtb: 0x100020, pae: 1 }, false));
    const memory = new Memory(dump.memory());
    expect(dump.paging?.mode).toBe('x86-pae');
    expect(memory.u32(L)).toBe(Number(L) + 0x100);
    expect(memory.u64(0x80002008n)).toBe(0x6008n);
    expect(memory.u64(0x80255008n)).toBe(0x455008n);
    expect(memory.u64(0x80006008n)).toBe(0x6008n);
    expect(reason(dump, 0x80003000n)).toEqual({ kind: 'paged-out', pageFile: 2, offset: 0x1a34 });
    expect(reason(dump, 0x80004000n)).toEqual({ kind: 'demand-zero' });
    expect(reason(dump, 0x80005010n)).toEqual({ kind: 'not-in-dump', pa: 0x1_00000010 });
    expect(reason(dump, 0x10n)).toEqual({ kind: 'not-present', level: 'PPE', entry: 0n });
    expect(reason(dump, 0x80400000n)).toEqual({ kind: 'not-present', level: 'PDE', entry: 0n });
  });

  it.each([
    ['unwritten', 0x50, pae(), 0x100020, 'x86-pae', 0],
    ['unwritten', 0x50, nonPae(), 0x100000, 'x86', 0],
    ['wrong', 0, pae(), 0x100020, 'x86-pae', 1],
    ['wrong', 1, nonPae(), 0x100000, 'x86', 1],
  ] as const)('finds the format where PaeEnabled is %s (%i)', (_, value, ram, dtb, mode, problems) => {
    const dump = open(fullDump(ram, { dtb, pae: value }, false));
    expect(dump.paging?.mode).toBe(mode);
    expect(dump.problems.filter((p) => p.id === 'pae-mismatch').length).toBe(problems);
  });
});

describe('ARM64', () => {
  const A = 0xfffff803_f2e00000n;
  const dumpOf = (t: Tables): Dump => open(fullDump(t.ram, { dtb: t.root * PAGE, machine: 0xaa64, build: 22000 }));

  it('walks pages, blocks and software states', () => {
    const t = new Tables(4, 0x3n);
    t.ram.marked(5).marked(6).marked(0x4455).marked(0x80777);
    t.set(A, 0, (5n << 12n) | 0x60000000000703n);
    t.set(A + 0x1000n, 0, (6n << 12n) | 0x808n); // transition
    t.set(A + 0x2000n, 0, (0x77n << 32n) | (3n << 6n) | 0x8n); // page file 3
    t.set(A + 0x3000n, 0, 0x8n);
    t.set(A + 0x4000n, 0, (5n << 12n) | 1n); // reserved
    t.set(A + 0x5000n, 0, (BigInt.asUintN(48, A + 0x8n) << 16n) | 0x408n); // prototype in page 5
    t.ram.page(5).u64(8, (6n << 12n) | 3n);
    t.set(0xfffff804_00000000n, 1, (0x4400n << 12n) | 0x701n);
    t.set(0xfffff805_00000000n, 2, (0x80000n << 12n) | 0x701n);
    t.set(0x7ff6_00000000n, 0, (6n << 12n) | 0x703n);
    const dump = dumpOf(t);
    expect(dump.arch).toBe('arm64');
    expect(dump.paging?.mode).toBe('arm64');
    expect(read64(dump, A + 0x18n)).toBe(0x5018n);
    expect(read64(dump, A + 0x1008n)).toBe(0x6008n);
    expect(reason(dump, A + 0x2000n)).toEqual({ kind: 'paged-out', pageFile: 3, offset: 0x77 });
    expect(reason(dump, A + 0x3000n)).toEqual({ kind: 'demand-zero' });
    expect(reason(dump, A + 0x4000n)).toEqual({ kind: 'not-present', level: 'PTE', entry: 0x5001n });
    expect(read64(dump, A + 0x5008n)).toBe(0x6008n);
    expect(read64(dump, 0xfffff804_00055010n)).toBe(0x4455010n);
    expect(read64(dump, 0xfffff805_00777010n)).toBe(0x80777010n);
    expect(read64(dump, 0x7ff6_00000008n)).toBe(0x6008n);
    expect(reason(dump, 0xff00_0000_0000_0000n)).toEqual({ kind: 'non-canonical' });
  });

  it('takes no block at the top level, and a TTBR with its ASID', () => {
    const t = new Tables(4, 0x3n);
    t.ram.marked(5);
    t.set(A, 3, (5n << 12n) | 1n);
    const image = fullDump(t.ram, { machine: 0xaa64 }).u64(0x10, (0x12n << 48n) | BigInt(t.root * PAGE) | 1n);
    const dump = open(image);
    expect(dump.header.directoryTableBase).toBe(t.root * PAGE);
    expect(reason(dump, A)).toEqual({ kind: 'not-present', level: 'PXE', entry: 0x5001n });
  });
});
