import { describe, expect, it } from 'vitest';
import { bytesSource, type Dump, Memory, NotADumpError, openDump, va } from '../src/index.ts';
import { shared, sharedDump } from './shared.ts';

function open(name: string): Dump {
  return openDump(bytesSource(sharedDump(name), name));
}

/** Facts of dumps/README.md, which an independent script read. `pc` is of the header's CONTEXT: driver + offset. */
const FACTS = [
  {
    file: 'x64-19041-0x7e-amdppm',
    arch: 'x64',
    build: 19041,
    cpus: 16,
    code: 0x1000007e,
    drivers: 151,
    nt: 0xfffff8047ba00000n,
    uptime: 4,
    blocks: 1831,
    blobs: 14,
    pc: 0x334c,
  },
  {
    file: 'arm64-22000-0x1c8',
    arch: 'arm64',
    build: 22000,
    cpus: 8,
    code: 0x1c8,
    drivers: 245,
    nt: 0xfffff803f2e00000n,
    uptime: 797,
    blocks: 679,
    blobs: 38,
    pc: null,
  },
  {
    file: 'x64-19041-0x133-cumulative-24cpu',
    arch: 'x64',
    build: 19041,
    cpus: 24,
    code: 0x133,
    drivers: 197,
    nt: 0xfffff80056a00000n,
    uptime: 2587,
    blocks: 2667,
    blobs: 37,
    pc: null,
  },
  {
    file: 'x64-19041-0x1c7-no-prcbs',
    arch: 'x64',
    build: 19041,
    cpus: 24,
    code: 0x1c7,
    drivers: 205,
    nt: 0xfffff80079a00000n,
    uptime: 23830,
    blocks: 27,
    blobs: 37,
    pc: null,
  },
  {
    file: 'x64-19041-0x3b-ntfs',
    arch: 'x64',
    build: 19041,
    cpus: 12,
    code: 0x3b,
    drivers: 182,
    nt: 0xfffff80575a00000n,
    uptime: 83,
    blocks: 2351,
    blobs: 32,
    pc: null,
  },
  {
    file: 'x64-19041-0x139-list-corruption',
    arch: 'x64',
    build: 19041,
    cpus: 12,
    code: 0x139,
    drivers: 187,
    nt: 0xfffff80770400000n,
    uptime: 217,
    blocks: 1276,
    blobs: 34,
    pc: null,
  },
  {
    file: 'x64-9600-0x7e-rtkvhd64',
    arch: 'x64',
    build: 9600,
    cpus: 4,
    code: 0x1000007e,
    drivers: 179,
    nt: 0xfffff8037fc8a000n,
    uptime: 93,
    blocks: 41,
    blobs: 11,
    pc: 0x5d28,
  },
  {
    file: 'x64-9600-0xea-stuck-driver',
    arch: 'x64',
    build: 9600,
    cpus: 4,
    code: 0x100000ea,
    drivers: 179,
    nt: 0xfffff80251611000n,
    uptime: 702,
    blocks: 37,
    blobs: 12,
    pc: null,
  },
] as const;

describe.skipIf(shared === null)('real dumps', () => {
  it.each(FACTS)('$file', (fact) => {
    const dump = open(`kernel/${fact.file}.dmp`);
    const { header, triage } = dump;
    expect(dump.problems).toEqual([]);
    expect(dump.complete).toBe(true);
    expect(dump.kind).toBe('triage');
    expect(dump.arch).toBe(fact.arch);
    expect(header.minorVersion).toBe(fact.build);
    expect(header.numberProcessors).toBe(fact.cpus);
    expect(header.bugCheckCode).toBe(fact.code);
    expect(Math.round(Number(header.systemUpTime) / 1e7)).toBe(fact.uptime);
    expect(triage?.drivers.length).toBe(fact.drivers);
    expect(triage?.drivers[0]?.base).toBe(fact.nt);
    expect(triage?.drivers[0]?.name.toLowerCase()).toMatch(/(^|\\)ntoskrnl\.exe$/);
    expect(triage?.drivers.every((driver) => /^[\x20-\x7e]{4,}$/.test(driver.name))).toBe(true);
    expect(triage?.drivers.every((driver) => driver.size > 0 && driver.size < 0x8000000)).toBe(true);
    // Up to ten image headers were paged out.
    expect(triage?.drivers.filter((driver) => driver.timeDateStamp === null).length).toBeLessThan(11);
    expect(triage?.unloaded.every((driver) => driver.start < driver.end && driver.name !== '')).toBe(true);
    expect(triage?.unloaded.length).toBeGreaterThan(0);
    expect(triage?.blocks.length).toBe(fact.blocks);
    expect(dump.blobs.length).toBe(fact.blobs);
    expect(dump.blobs[0]?.offset).toBeGreaterThan(triage?.sizeOfDump ?? 0);
    expect(dump.paging).toBe(null);

    const memory = new Memory(dump.memory());
    const kdbg = header.kdDebuggerDataBlock ?? 0n;
    expect(memory.u32(kdbg + 0x10n)).toBe(0x4742444b);
    expect(memory.u64(kdbg + 0x18n)).toBe(fact.nt);
    expect(memory.u32(kdbg + 0x14n)).toBe(triage?.kdbgSize);
    const stack = memory.prefix(triage?.topOfStack ?? 0n, triage?.callStackSize ?? 0);
    expect(stack.length).toBe(triage?.callStackSize);
    expect(header.context).not.toBe(null);
    const pcOffset = fact.arch === 'arm64' ? 0x108 : 0xf8;
    const context = header.context ?? new Uint8Array(0);
    const pc = new DataView(context.buffer, context.byteOffset).getBigUint64(pcOffset, true);
    const driver = triage?.drivers.find((d) => pc >= d.base && pc < d.base + BigInt(d.size));
    expect(driver).not.toBe(undefined);
    if (fact.pc !== null) expect(pc - (driver?.base ?? 0n)).toBe(BigInt(fact.pc));
  });

  it('ignores garbage in the upper halves of stamps (seen on 9600)', () => {
    const drivers = open('kernel/x64-9600-0xea-stuck-driver.dmp').triage?.drivers ?? [];
    expect(drivers[10]?.timeDateStamp).toBe(0x548276b0);
    expect(drivers[11]).toMatchObject({ timeDateStamp: null, checkSum: null });
  });

  it('nt of the three 19041 kernels has the stamp and size of its image', () => {
    const nt = open('kernel/x64-19041-0x133-cumulative-24cpu.dmp').triage?.drivers[0];
    expect([nt?.timeDateStamp, nt?.size]).toEqual([0x3e4ef1d4, 0x1046000]);
  });

  it('follows KiProcessorBlock to every PRCB of the 0x133 dump, across blocks', () => {
    const dump = open('kernel/x64-19041-0x133-cumulative-24cpu.dmp');
    const memory = new Memory(dump.memory());
    const table = memory.u64((dump.header.kdDebuggerDataBlock ?? 0n) + 0x218n) ?? 0n;
    const bytes = memory.bytes(table, 24 * 8);
    expect(bytes).not.toBe(undefined);
    for (let i = 0; i < 24; i++) {
      const prcb = memory.u64(table + BigInt(8 * i)) ?? 0n;
      // KPRCB.Number stands at 0x24 on x64.
      expect(memory.u32(prcb + 0x24n)).toBe(i);
      expect(memory.prefix(prcb, 0x8000).length).toBe(0x8000);
    }
  });

  it('refuses the one without signature in one line', () => {
    expect(() => open('broken/no-signature.dmp')).toThrow(NotADumpError);
    expect(() => open('broken/no-signature.dmp')).toThrow(/nothing but zeros \(286808 bytes\)/);
  });

  it('opens the one that is hardly more than its header', () => {
    const dump = open('broken/x64-19045-header-only.dmp');
    expect(dump.kind).toBe('full');
    expect(dump.complete).toBe(false);
    expect(dump.problems.map((p) => p.id)).toEqual(['truncated-file', 'directory-table-missing']);
    expect(dump.physical?.pageCount).toBe(0x7fe86);
    expect([2, 3, 4, 0xa0].map((pfn) => dump.physical?.pageOffset(pfn))).toEqual([0x2000, 0x3000, -2, -1]);
    expect(dump.memory().gapAt(va(0xfffff80000000000n))?.reason).toEqual({
      kind: 'table-missing',
      level: 'PXE',
      pa: 0x1ad000,
      truncated: true,
    });
  });
});
