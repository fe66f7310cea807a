import { bytesSource, Memory, openDump, va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { openTarget } from '../../debugger/src/index.ts';
import { applyPatch, checkScenario, forge, loadScenario, type Scenario } from '../src/index.ts';
import { encodeKdbg } from '../src/kernel/kdbg.ts';
import { readDump, walkList } from './reader.ts';
import { images, scenarios } from './shipped.ts';

function variant(name: string, patch: unknown): Scenario {
  return checkScenario(applyPatch(loadScenario(name, scenarios), patch));
}

function bytesOf(scenario: Scenario): Uint8Array {
  const { bytes } = forge(scenario, images);
  if (bytes === null) throw new Error('no bytes');
  return bytes;
}

function memoryOf(scenario: Scenario): Memory {
  return new Memory(openDump(bytesSource(bytesOf(scenario))).memory());
}

describe('page tables', () => {
  it('x86 without PAE: self map at C0000000, directory at C0300000', () => {
    const scenario = variant('S01a', { pae: false, build: '5.1.2600.5512', dump: 'full' });
    const dump = readDump(bytesOf(scenario));
    expect([dump.pae, dump.levels]).toEqual([false, 2]);
    expect(dump.u32(0xa07be204n)).toBe(0x831dabf5);
    // The PTE of the page, read through the self map, leads to the same bytes.
    const pte = dump.u32(0xc0000000n + (0xa07ben << 2n));
    expect(dump.physical((pte & 0xfffff000) >>> 0, 0x300)).toEqual(dump.virtual(0xa07be000n, 0x300));
    expect(dump.u32(0xc0300c00n) & 0xfffff000).toBe(Number(dump.dtb));
  });

  it('PAE: PTEs at C0000000, four directories at C0600000, a directory base inside a page', () => {
    const dump = readDump(bytesOf(variant('S01a', { dump: 'full' })));
    expect(Number(dump.dtb) % 0x20).toBe(0);
    expect(Number(dump.dtb) % 0x1000).not.toBe(0);
    const pte = dump.u32(0xc0000000n + (0xa07ben << 3n));
    expect(dump.physical((pte & 0xfffff000) >>> 0, 16)).toEqual(dump.virtual(0xa07be000n, 16));
    const pde = dump.u32(0xc0600000n + ((0xa07be000n >> 21n) << 3n));
    expect(pde & 1).toBe(1);
  });

  it.each([4, 5] as const)('x64 with %i levels', (levels) => {
    const scenario = variant('S03', { levels, dump: 'full', physical: { upperBase: '140000' } });
    const bytes = bytesOf(scenario);
    const dump = readDump(bytes, levels);
    expect(dump.u32(0xfffff80d548a61c0n)).toBe(1);
    expect(Math.max(...dump.pages.keys())).toBeGreaterThan(0x140000);
    expect(memoryOf(scenario).u64(0xfffff80d548a61c0n)).toBe(1n);
  });

  it('large pages are one entry and contiguous frames', () => {
    const scenario = variant('S01a', { dump: 'full', physical: { largePages: ['831dabd8'] } });
    const dump = readDump(bytesOf(scenario));
    expect(dump.u32(0x831dabf4n)).toBe(0xa07be200);
    const pde = dump.u32(0xc0600000n + ((0x831da000n >> 21n) << 3n));
    expect(pde & 0x81).toBe(0x81);
    expect(memoryOf(scenario).u32(0x831dabf4n)).toBe(0xa07be200);
  });

  it('user pages belong to their process', () => {
    const dump = readDump(bytesOf(variant('S01a', { dump: 'full' })));
    const system = forge(variant('S01a', { dump: 'full' }), images).layoutMap.get('process(System)') ?? 0n;
    const base = BigInt(dump.u32(system + 0x18n));
    expect(dump.u32(0x7ffa3018n)).toBe(0x7ffa3000);
    expect(dump.virtual(0x7ffa3018n, 4, base)).toBeNull();
    expect(dump.u32(0xa07be204n, base)).toBe(0x831dabf5);
    // KUSER_SHARED_DATA at both addresses is one page.
    expect(dump.virtual(0x7ffe0000n, 64)).toEqual(dump.virtual(0xffdf0000n, 64));
  });
});

describe('pages that are not there', () => {
  const drop = (as: string, extra: object = {}): Memory =>
    memoryOf(variant('S01a', { dump: 'full', drop: [{ at: '831dabf4', as, ...extra }] }));

  it.each(['x86', 'x86 without PAE'])('%s: every state says what it is', (kind) => {
    const pae = kind === 'x86';
    const of = (as: string, extra: object = {}): Memory =>
      memoryOf(variant('S01a', { dump: 'full', pae, drop: [{ at: '831dabf4', as, ...extra }] }));
    expect(of('transition').u32(0x831dabf4n)).toBe(0xa07be200);
    expect(of('prototype').u32(0x831dabf4n)).toBe(0xa07be200);
    expect(of('paged-out', { pageFile: 1, offset: '1234' }).gapAt(va(0x831dabf4n))?.reason).toEqual({
      kind: 'paged-out',
      pageFile: 1,
      offset: 0x1234,
    });
    expect(of('demand-zero').gapAt(va(0x831dabf4n))?.reason.kind).toBe('demand-zero');
    expect(of('absent').gapAt(va(0x831dabf4n))?.reason.kind).toBe('truncated');
    const kernel = variant('S01a', { dump: 'bitmap-kernel', pae, drop: ['831dabf4'] });
    expect(memoryOf(kernel).gapAt(va(0x831dabf4n))?.reason.kind).toBe('not-in-dump');
  });

  it('unmapped has no entry', () => {
    expect(drop('unmapped').gapAt(va(0x831dabf4n))?.reason).toMatchObject({ kind: 'not-present' });
  });

  it.each(['17763', '9600'])('x64 %s: software states by build', (build) => {
    const base = build === '17763' ? 'S03' : 'S03';
    const layout = build === '17763' ? {} : { build: '6.3.9600.19913' };
    const of = (as: string, extra: object = {}): Memory =>
      memoryOf(variant(base, { ...layout, dump: 'full', drop: [{ at: 'ffffa9851c2d2f60', as, ...extra }] }));
    expect(of('transition').u64(0xffffa9851c2d2f60n)).toBe(0n);
    expect(of('prototype').u64(0xffffa9851c2e1040n)).toBe(0xffffa9851c2d2f60n);
    expect(of('paged-out', { pageFile: 2, offset: '77' }).gapAt(va(0xffffa9851c2d2f60n))?.reason).toEqual({
      kind: 'paged-out',
      pageFile: 2,
      offset: 0x77,
    });
  });

  it('device memory is mapped and in no dump', () => {
    const memory = memoryOf(
      variant('S01a', { dump: 'full', physical: { mmio: [{ at: 'fffe0000', pa: 'fee00000' }] } }),
    );
    expect(memory.gapAt(va(0xfffe0080n))?.reason).toEqual({ kind: 'not-in-dump', pa: 0xfee00080 });
  });
});

describe('relocation', () => {
  it('moves images, their relocations and every literal in them', () => {
    const scenario = variant('S01a', { dump: 'full', relocate: { hal: '10000', MyDriver: '7000' } });
    const dump = readDump(bytesOf(scenario));
    expect(dump.u32(0xa07be1e8n)).toBe(0x806f4a37); // trap frame eip
    expect(dump.u32(0xa07be1f4n)).toBe(0xa1349755);
    // mov al,[eax+HalpVectorToIRQL] and the import that MyDriver calls through.
    expect(dump.u32(0x806f49fan)).toBe(0x806ff218);
    const slot = dump.u32(0xa1349751n);
    expect(dump.u32(BigInt(slot))).toBe(0x806f49f0);
  });

  it('swaps processors', () => {
    const { layoutMap } = forge(variant('S01a', { processorOrder: [1, 0] }), images);
    expect(layoutMap.get('prcb(0)')).toBe(0xffdff120n);
    expect(layoutMap.get('prcb(1)')).not.toBe(0xffdff120n);
    const dump = readDump(bytesOf(variant('S01a', { processorOrder: [1, 0] })));
    expect(dump.u32((layoutMap.get('prcb(1)') ?? 0n) + 4n)).toBe(0x830c07c0);
  });
});

describe('KDBG', () => {
  it('is encoded as the published formula decodes it', () => {
    const plain = new Uint8Array(64).map((_, i) => (i * 37) & 0xff);
    const never = 0x123456789abcdef3n;
    const always = 0x0fedcba987654321n;
    const flag = 0xfffff80238a0cd1bn;
    const coded = encodeKdbg(plain, never, always, flag);
    const view = new DataView(coded.buffer);
    const out = new DataView(new ArrayBuffer(64));
    for (let at = 0; at < 64; at += 8) {
      const x = view.getBigUint64(at, true) ^ never;
      const n = never & 0x3fn;
      const rotated = BigInt.asUintN(64, (x << n) | (x >> (64n - n))) ^ flag;
      const swap = new DataView(new ArrayBuffer(8));
      swap.setBigUint64(0, rotated, true);
      out.setBigUint64(at, swap.getBigUint64(0, false) ^ always, true);
    }
    expect(new Uint8Array(out.buffer)).toEqual(plain);
  });

  it('is not readable in the dump when encoded, and gone when absent', () => {
    for (const [mode, address] of [
      ['encoded', true],
      ['absent', false],
    ] as const) {
      const dump = readDump(bytesOf(variant('S03', { dump: 'full', kdbg: { mode } })));
      const at = new DataView(dump.bytes.buffer).getBigUint64(0x80, true);
      expect(at !== 0n).toBe(address);
      if (address) expect(String.fromCharCode(...(dump.virtual(at + 0x10n, 4) ?? []))).not.toBe('KDBG');
    }
  });
});

describe('sparse dumps', () => {
  it('64 GiB are declared, never materialised', () => {
    let written = 0;
    let highest = 0;
    const scenario = variant('S03', {
      dump: 'bitmap-kernel',
      physical: { sparse: { base: '4000', count: 16 * 1024 * 1024 - 0x4000 } },
    });
    const { size, bytes } = forge(scenario, images, {
      sink: {
        write(offset, part) {
          written += part.length;
          highest = Math.max(highest, offset + part.length);
        },
      },
    });
    expect(bytes).toBeNull();
    expect(size).toBeGreaterThan(63 * 2 ** 30);
    expect(highest).toBeLessThanOrEqual(size);
    expect(written).toBeLessThan(8 * 2 ** 20);
  });
});

describe('threads', () => {
  it('on ready lists and wait lists are linked as the kernel links them', () => {
    const thread = (state: string, more: object): object => ({ state, priority: 9, ...more });
    const scenario = variant('x64-idle', {
      dump: 'full',
      processes: {
        System: {
          threads: {
            r1: thread('ready', { processor: 1 }),
            r2: thread('ready', { processor: 1 }),
            w1: thread('waiting', { waits: [{ object: 'object(mutex)' }], waitReason: 7 }),
            w2: thread('waiting', { waits: [{ object: 'object(mutex)' }, { object: 'thread(r1)' }] }),
          },
        },
      },
      objects: { mutex: { type: '_KMUTANT', fields: { 'Header.Type': 2, OwnerThread: 'thread(r1)' } } },
    });
    const { layoutMap } = forge(scenario, images);
    const dump = readDump(bytesOf(scenario));
    const at = (name: string): bigint => layoutMap.get(name) ?? 0n;
    const first = dump.pointer(at('thread(r1)') + 0xd8n); // KTHREAD.WaitListEntry
    expect(first).toBe(at('thread(r2)') + 0xd8n);
    const waiters = walkList(dump, at('object(mutex)') + 8n);
    expect(waiters.length).toBe(2);
    for (const [index, name] of ['thread(w1)', 'thread(w2)'].entries()) {
      expect(dump.pointer((waiters[index] ?? 0n) + 0x18n)).toBe(at(name)); // KWAIT_BLOCK.Thread
      expect(dump.pointer((waiters[index] ?? 0n) + 0x20n)).toBe(at('object(mutex)'));
    }
    expect(walkList(dump, at('thread(r1)') + 8n).length).toBe(1);
  });
});

describe('secondary data', () => {
  it.each(['full', 'bitmap-kernel', 'triage'] as const)('%s: blobs lie behind the primary data', (dump) => {
    const tag = '01234567-89ab-cdef-0123-456789abcdef';
    const bytes = bytesOf(
      variant('S03', {
        dump,
        blobs: [
          { tag, bytes: '0102030405' },
          { tag, bytes: '' },
        ],
      }),
    );
    const plain = bytesOf(variant('S03', { dump }));
    // Header, then two blobs, the first padded to 8 bytes.
    expect(bytes.length - plain.length).toBe(0x10 + 0x28 + 0x20);
    const opened = openDump(bytesSource(bytes));
    expect(opened.blobs.map((blob) => [blob.tag, blob.size])).toEqual([
      [tag, 5],
      [tag, 0],
    ]);
    expect([...opened.fileBytes(opened.blobs[0]?.offset ?? 0, 5)]).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('acquisition tools', () => {
  it.each(['S03-tool', 'x64-tool'])('%s: the tool’s mark where a bugcheck would be', (name) => {
    const { bytes } = forge(loadScenario(name, scenarios), images);
    if (bytes === null) throw new Error('no bytes');
    // As in a real header (dumps/broken): code, unwritten padding, four parameters.
    const text = String.fromCharCode(...bytes.subarray(0x38, 0x60));
    expect(text.replaceAll('\0', '.')).toBe('MATTPAGEMOON....SOLS....MOON....SOLS....');
    const target = openTarget(openDump(bytesSource(bytes)), {});
    expect(target.bugcheck).toBeNull();
    expect(target.processors.map((processor) => processor.contextTrust)).not.toContain('frozen');
    expect(target.processors.map((processor) => processor.contextTrust)).not.toContain('bugchecking');
  });
});
