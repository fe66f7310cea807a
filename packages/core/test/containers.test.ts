import { describe, expect, it } from 'vitest';
import { type Dump, pa } from '../src/index.ts';
import { bitmapDump, fullDump, header32, header64, Image, open, PAGE, Ram, rangeDump, summaryDump } from './build.ts';

const PFNS = [1, 2, 3, 7, 8, 40, 41, 300];

function ram(): Ram {
  const memory = new Ram();
  for (const pfn of PFNS) memory.marked(pfn);
  return memory;
}

/** Every page is where it belongs, every other one is absent. */
function expectPages(dump: Dump, pfns: readonly number[] = PFNS, last = 320): void {
  const physical = dump.physical;
  if (physical === null) throw new Error('no physical memory');
  expect(physical.pageCount).toBe(pfns.length);
  const found: number[] = [];
  for (let pfn = 0; pfn < last; pfn++) {
    const offset = physical.pageOffset(pfn);
    const page = new Uint8Array(PAGE);
    const got = physical.readInto(pa(pfn * PAGE), page);
    expect(got).toBe(offset < 0 ? 0 : PAGE);
    if (offset === -1) continue;
    found.push(pfn);
    const view = new DataView(page.buffer);
    expect(view.getBigUint64(0, true)).toBe(BigInt(pfn) * 0x1000n);
    expect(view.getBigUint64(0xff8, true)).toBe(BigInt(pfn) * 0x1000n + 0xff8n);
    expect(dump.fileBytes(offset, PAGE)).toEqual(page);
  }
  expect(found).toEqual([...pfns]);
}

function ids(dump: Dump): string[] {
  return dump.problems.map((problem) => problem.id).filter((id) => id !== 'header-field-missing');
}

describe('containers', () => {
  it.each([
    ['full, 64-bit', fullDump(ram(), {}), 'full'],
    ['full, 32-bit', fullDump(ram(), {}, false), 'full'],
    [
      'full, runs in no order',
      fullDump(ram(), {
        runs: [
          [300, 1],
          [7, 2],
          [1, 3],
          [40, 2],
        ],
      }),
      'full',
    ],
    ['bitmap full', bitmapDump(ram(), { type: 5 }, true, 'FDMP'), 'bitmap-full'],
    ['bitmap kernel', bitmapDump(ram(), { type: 6 }), 'bitmap-kernel'],
    ['automatic', bitmapDump(ram(), { type: 7 }), 'automatic'],
    ['bitmap behind a 32-bit header', bitmapDump(ram(), { type: 5 }, false, 'FDMP'), 'bitmap-full'],
    ['summary, 32-bit', summaryDump(ram(), { type: 2 }, false), 'kernel-summary'],
    ['summary, 64-bit', summaryDump(ram(), { type: 2 }, true), 'kernel-summary'],
    ['summary with Pages before BitmapSize', summaryDump(ram(), { type: 2 }, false, true), 'kernel-summary'],
    [
      'range /k',
      rangeDump(ram(), { type: 8 }, [
        [40, 2],
        [1, 3],
        [7, 2],
        [300, 1],
      ]),
      'range-kernel',
    ],
    [
      'range /ka',
      rangeDump(ram(), { type: 9 }, [
        [1, 3],
        [7, 2],
        [40, 2],
        [300, 1],
      ]),
      'range-kernel-user',
    ],
    [
      'range /f',
      rangeDump(ram(), { type: 0xa }, [
        [1, 3],
        [7, 2],
        [40, 2],
        [300, 1],
      ]),
      'range-full',
    ],
  ])('reads %s page for page', (_, image, kind) => {
    const dump = open(image);
    expect(dump.kind).toBe(kind);
    expect(ids(dump)).toEqual([]);
    expect(dump.complete).toBe(true);
    expectPages(dump);
  });

  it('reads across pages and stops at the first that is absent', () => {
    const physical = open(fullDump(ram(), {})).physical;
    const into = new Uint8Array(5 * PAGE);
    expect(physical?.readInto(pa(PAGE + 0x10), into)).toBe(3 * PAGE - 0x10);
    expect(new DataView(into.buffer).getBigUint64(PAGE - 0x10, true)).toBe(0x2000n);
  });

  it('tells absent pages from pages behind a truncated end, in every container', () => {
    for (const image of [fullDump(ram(), {}), bitmapDump(ram(), { type: 6 }), summaryDump(ram(), { type: 2 }, true)]) {
      const dump = open(image.bytes.subarray(0, image.bytes.length - 2 * PAGE - 0x800));
      expect(dump.complete).toBe(false);
      const problem = dump.problems.find((p) => p.id === 'truncated-file');
      expect(problem?.message).toContain(`0x${image.bytes.length.toString(16)}`);
      expect(problem?.message).toContain('3 pages are missing');
      const offsets = [...PFNS, 99].map((pfn) => dump.physical?.pageOffset(pfn) ?? 0);
      expect(offsets.slice(0, 6).every((offset) => offset > 0)).toBe(true);
      expect(offsets.slice(6)).toEqual([-2, -2, -1]);
      expect(dump.physical?.readInto(pa(40 * PAGE), new Uint8Array(PAGE))).toBe(0x800);
    }
  });

  it('keeps the runs that fit when NumberOfRuns is absurd', () => {
    const image = fullDump(ram(), {}).u32(0x88, 1_000_000);
    const dump = open(image);
    expect(ids(dump)).toContain('runs-exceed-count');
    expect(dump.problems.find((p) => p.id === 'runs-exceed-count')?.offset).toBe(0x88);
    expect(dump.complete).toBe(false);
    expect(dump.physical?.pageOffset(41)).toBe(0x2000 + 6 * PAGE);
  });

  it('reads the 43rd run of a 64-bit header, whose end lies in unwritten padding', () => {
    const runs = Array.from({ length: 43 }, (_, i): [number, number] => [10 * (i + 1), 1]);
    const memory = new Ram();
    for (const [pfn] of runs) memory.marked(pfn);
    const image = fullDump(memory, { runs, dtb: 10 * PAGE });
    image.text(0x344, 'PAGE');
    const dump = open(image);
    expect(ids(dump)).toEqual([]);
    expectPages(
      dump,
      runs.map(([pfn]) => pfn),
      440,
    );
  });

  it('takes the first of overlapping runs and says so', () => {
    const memory = ram();
    const image = fullDump(memory, {
      runs: [
        [1, 3],
        [2, 1],
        [7, 2],
      ],
    });
    const dump = open(image);
    expect(ids(dump)).toEqual(['runs-overlap']);
    expect(dump.physical?.pageOffset(2)).toBe(0x3000);
    expect(dump.physical?.pageOffset(7)).toBe(0x6000);
  });

  it('stops at a run beyond 52 bits', () => {
    const image = fullDump(ram(), {}).u64(0xa8, 2n ** 60n);
    const dump = open(image);
    expect(ids(dump)).toContain('run-absurd');
    expect(dump.physical?.pageOffset(3)).toBe(0x4000);
    expect(dump.physical?.pageOffset(7)).toBe(-1);
  });

  it('bounds a bitmap by its first page and by the file', () => {
    const absurd = bitmapDump(ram(), { type: 6 }).u64(0x2030, 2n ** 39n);
    const dump = open(absurd);
    expect(ids(dump)).toContain('bitmap-size-mismatch');
    expectPages(dump);
    const cut = open(bitmapDump(ram(), { type: 6 }).bytes.subarray(0, 0x2040));
    expect(ids(cut)).toEqual(expect.arrayContaining(['bitmap-size-mismatch', 'truncated-file']));
    expect(cut.complete).toBe(false);
    expect(cut.physical?.pageOffset(1)).toBe(-2);
  });

  it('reports a page count that the bitmap does not have', () => {
    const dump = open(bitmapDump(ram(), { type: 6 }).u64(0x2028, 7n));
    expect(ids(dump)).toEqual(['page-count-mismatch']);
    expectPages(dump);
  });

  it('follows the signature at the header end where DumpType says otherwise', () => {
    const unknown = open(bitmapDump(ram(), { type: 0xb }));
    expect(unknown.kind).toBe('bitmap-kernel');
    expect(ids(unknown)).toEqual(['dump-type-mismatch']);
    expectPages(unknown);
    const range = open(rangeDump(ram(), { type: 6 }, [[1, 3]]));
    expect(range.kind).toBe('range-kernel');
    expectPages(range, [1, 2, 3]);
    const summary = open(summaryDump(ram(), { type: 6 }, true));
    expect(ids(summary)).toEqual(['dump-type-mismatch']);
    expectPages(summary);
    const bitmap = open(bitmapDump(ram(), { type: 2 }));
    expect(ids(bitmap)).toEqual(['dump-type-mismatch']);
    expectPages(bitmap);
  });

  it('reads a bitmap whose signature was overwritten', () => {
    const dump = open(bitmapDump(ram(), { type: 6 }).text(0x2000, 'XXXXYYYY'));
    expect(ids(dump)).toEqual(['signature-missing']);
    expectPages(dump);
  });

  it('opens a dump of which no page can be located', () => {
    for (const type of [1, 2, 3, 5, 8, 0xa, 0x77, 0x45474150]) {
      for (const header of [header64({ type }), header32({ type })]) {
        const dump = open(header);
        expect(dump.physical?.pageCount ?? 0).toBe(0);
        expect(dump.memory().readInto(dump.header.psLoadedModuleList ?? (0n as never), new Uint8Array(8))).toBe(0);
        expect(dump.memory().gapAt(dump.header.psLoadedModuleList ?? (0n as never))).not.toBe(null);
        if (type === 3) expect(dump.kind).toBe('header-only');
        else expect(dump.problems.length).toBeGreaterThan(0);
      }
    }
  });

  it('reads an NT 4 dump, which has no DumpType, as a full one', () => {
    const dump = open(fullDump(ram(), {}, false).text(0xf88, 'PAGE'));
    expect(dump.kind).toBe('full');
    expect(ids(dump)).toEqual([]);
    expectPages(dump);
  });

  it('indexes a sparse dump of a 64 GiB machine by its bitmap', () => {
    const bits = 16 * 1024 * 1024;
    const first = 0x2000 + Math.ceil((0x38 + bits / 8) / PAGE) * PAGE;
    const image = header64({ type: 6, dtb: 4 * PAGE });
    image.text(0x2000, 'SDMPDUMP').u64(0x2020, first).u64(0x2028, 1025).u64(0x2030, bits);
    image.size(first);
    for (let i = 0; i < 1024; i++) image.u8(0x2038 + i * 2048, 0x10);
    image.u8(0x2038 + bits / 8 - 1, 0x80);
    const dump = open(image);
    expect(ids(dump)).toEqual(['truncated-file', 'directory-table-missing']);
    expect(dump.physical?.pageCount).toBe(1025);
    expect(dump.physical?.pageOffset(bits - 1)).toBe(-2);
    expect(dump.physical?.pageOffset(bits - 2)).toBe(-1);
    expect(dump.physical?.pageOffset(bits)).toBe(-1);
  });
});

describe('headers', () => {
  it('reads every field of a 64-bit header', () => {
    const image = fullDump(ram(), { dtb: 0x1ad002 });
    image.text(0x60, 'x'.repeat(32)).text(0xfb0, 'a comment\0rest');
    image.u32(0x1038, 0xcff).u32(0x103c, 3).u32(0x1040, 1).u32(0x1044, 0x110).u32(0x1048, 0).u32(0x1050, 0x800);
    image.u32(0x104c, 0x0100).u32(0x1054, 5).u64(0xfa0, 0x12345678);
    image.u32(0xf00, 0xc0000005).u32(0xf04, 1).u64(0xf08, 0).u64(0xf10, 0xfffff80012345678n).u32(0xf18, 2);
    image
      .u64(0xf20, 1)
      .u64(0xf28, 0xdeadbeefn)
      .u64(0x348 + 0xf8, 0xfffff80012345678n);
    const { header } = open(image);
    expect(header).toMatchObject({
      size: 0x2000,
      majorVersion: 15,
      minorVersion: 19041,
      directoryTableBase: 0x1ad002,
      pfnDatabase: 0xfffffa8000000000n,
      machineImageType: 0x8664,
      numberProcessors: 2,
      bugCheckCode: 0xe2,
      bugCheckParameters: [0n, 0x1111n, 0x2222n, 0x3333n],
      versionUser: 'x'.repeat(32),
      comment: 'a comment',
      paeEnabled: null,
      miniDumpFields: 0xcff,
      secondaryDataState: 3,
      productType: 1,
      suiteMask: 0x110,
      writerStatus: 0,
      attributes: 0x800,
      bootId: 5,
      kdSecondaryVersion: 1,
      requiredDumpSpace: 0x12345678,
      systemTime: 132500000000000000n,
      systemUpTime: 600000000n,
      exception: { code: 0xc0000005, flags: 1, address: 0xfffff80012345678n, parameters: [1n, 0xdeadbeefn] },
    });
    expect(header.context?.length).toBe(0x4d0);
    expect(header.contextOffset).toBe(0x348);
    expect(header.physicalMemoryBlock?.runs.length).toBe(4);
  });

  it('reads every field of a 32-bit header', () => {
    const image = fullDump(ram(), { pae: 1 }, false);
    image.text(0x3c, 'v1\0').u32(0x7d0, 0x80000003).u32(0x7d4, 0).u32(0x7d8, 0).u32(0x7dc, 0x804e1234).u32(0x7e0, 1);
    image
      .u32(0x7e4, 7)
      .u32(0x320 + 0xb8, 0x804e1234)
      .u64(0xfa0, 0x9000);
    const dump = open(image);
    expect(dump.pointerSize).toBe(4);
    expect(dump.arch).toBe('x86');
    expect(dump.header).toMatchObject({
      size: 0x1000,
      minorVersion: 2600,
      paeEnabled: true,
      psLoadedModuleList: 0x80001000n,
      kdDebuggerDataBlock: 0x80003000n,
      versionUser: 'v1',
      comment: '',
      attributes: null,
      requiredDumpSpace: 0x9000,
      exception: { code: 0x80000003, address: 0x804e1234n, parameters: [7n] },
    });
    expect(dump.header.context?.length).toBe(0x2cc);
  });

  it('gives null for fields that still hold the fill pattern', () => {
    const dump = open(new Image(0x2000, 'page').text(0, 'PAGEDU64'));
    expect(dump.header).toMatchObject({
      directoryTableBase: null,
      psLoadedModuleList: null,
      kdDebuggerDataBlock: null,
      requiredDumpSpace: null,
      systemTime: null,
      systemUpTime: null,
      attributes: null,
      exception: null,
      context: null,
      physicalMemoryBlock: null,
      versionUser: '',
      comment: '',
    });
    expect(dump.problems.map((p) => p.id)).toEqual(
      expect.arrayContaining(['machine-unknown', 'processors-absurd', 'header-field-missing', 'dump-type-unknown']),
    );
  });

  it('calls a dump truncated when RequiredDumpSpace is larger than the file', () => {
    const dump = open(fullDump(ram(), { required: 0x100000 }));
    expect(ids(dump)).toEqual(['truncated-file']);
    expect(dump.complete).toBe(false);
  });

  it('says what a bad page directory costs; physical memory stays readable', () => {
    const missing = open(fullDump(ram(), { dtb: 0x99000 }));
    expect(ids(missing)).toEqual(['directory-table-missing']);
    expectPages(missing);
    const image = fullDump(ram(), {}).u64(0x10, 2n ** 60n);
    const absurd = open(image);
    expect(ids(absurd)).toEqual(['directory-table-base-absurd']);
    expect(absurd.memory().gapAt(0xfffff80000000000n as never)?.reason).toEqual({ kind: 'no-page-directory' });
  });

  it('names a machine whose memory it cannot translate', () => {
    const dump = open(fullDump(ram(), { machine: 0x200 }));
    expect(dump.problems.find((p) => p.id === 'machine-unsupported')?.message).toContain('IA64');
    expect(dump.paging).toBe(null);
    expect(dump.memory().gapAt(0xfffff80000000000n as never)?.reason).toEqual({ kind: 'no-page-directory' });
  });

  it('finds secondary data at RequiredDumpSpace', () => {
    const image = fullDump(ram(), {});
    const at = image.bytes.length;
    image
      .text(at, 'DumpBlob')
      .u32(at + 8, 16)
      .u32(at + 12, 1);
    image
      .u32(at + 16, 32)
      .u32(at + 20, 0x33221100)
      .u32(at + 24, 0x77665544)
      .u32(at + 28, 0xbbaa9988);
    image
      .u32(at + 32, 0xffeeddcc)
      .u32(at + 36, 5)
      .u32(at + 40, 3)
      .u32(at + 44, 0)
      .text(at + 51, 'hello');
    image.u64(0xfa0, at);
    const dump = open(image);
    expect(dump.blobs).toEqual([{ tag: '33221100-5544-7766-8899-aabbccddeeff', offset: at + 51, size: 5 }]);
    expect(String.fromCharCode(...dump.fileBytes(at + 51, 5))).toBe('hello');
  });
});
