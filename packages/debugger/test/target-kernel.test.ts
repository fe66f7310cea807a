import { type DumpHeader, va } from '@dumpscope/core';
import { kdbgOffsets, kdbgPointers, loadBuiltin, offsetOrSize } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { encodeKdbg } from '../src/nt/kdbg-decode.ts';
import { FieldFinder } from '../src/target/fields.ts';
import { openTarget } from '../src/target/open.ts';
import { fakeDump, putModuleList, SparseMemory } from './target-support.ts';

/** A small 19041 kernel made of the built-in layout: processors, contexts, KDBG in every form, lists. */

const NT = 0xfffff80010000000n;
const ID = 'x64-10.0.19041-89284d0c';
const builtin = loadBuiltin(ID);
if (builtin === undefined) throw new Error(ID);
const { table, info } = builtin;
const fields = new FieldFinder(table, null);
const rva = (name: string): bigint => NT + BigInt(info.symbolRva(name) ?? builtin.symbols.byName(name)?.rva ?? 0);

const PRCB = (i: number): bigint => 0xffff900000010180n + BigInt(i) * 0x20000n;
const THREAD = (i: number): bigint => 0xffffb00000001000n + BigInt(i) * 0x1000n;
const IDLE = (i: number): bigint => 0xffffb00000101000n + BigInt(i) * 0x1000n;
const STACK = (i: number): bigint => 0xffffa00000010000n + BigInt(i) * 0x10000n;
const SYSTEM = 0xffffb00000201000n;

interface Cpu {
  readonly thread: bigint;
  readonly ipiFrozen: number;
  readonly pc: bigint;
  readonly sp: bigint;
  readonly dpc?: boolean;
}

class Kernel {
  readonly memory = new SparseMemory(8);

  set(struct: string, at: bigint, path: string, value: bigint | number): void {
    const place = fields.find(struct, path);
    if (place === null) throw new Error(`${struct}.${path}`);
    const bytes: number[] = [];
    for (let i = 0, v = BigInt.asUintN(64, BigInt(value)); i < place.size; i++, v >>= 8n) bytes.push(Number(v & 255n));
    this.memory.put(at + BigInt(place.offset), bytes);
  }

  constructor(cpus: readonly Cpu[]) {
    const m = this.memory;
    putModuleList(m, rva('PsLoadedModuleList'), 0xffffb00000301000n, [
      { name: 'ntoskrnl.exe', base: NT, size: 0x1046000 },
      { name: 'drv.sys', base: 0xfffff80020000000n, size: 0x10000 },
    ]);
    const array = rva('KiProcessorBlock');
    m.u64(array, ...cpus.map((_, i) => PRCB(i)), 0n);
    m.put(SYSTEM, new Uint8Array(0xa40));
    m.put(SYSTEM, [3]);
    this.set('_EPROCESS', SYSTEM, 'UniqueProcessId', 4);
    const name = SYSTEM + BigInt(fields.find('_EPROCESS', 'ImageFileName')?.offset ?? 0);
    m.put(
      name,
      [...'System\0'].map((c) => c.charCodeAt(0)),
    );
    const head = rva('PsActiveProcessHead');
    const links = SYSTEM + BigInt(fields.find('_EPROCESS', 'ActiveProcessLinks')?.offset ?? 0);
    m.u64(head, links, links).u64(links, head, head);
    const threadHead = SYSTEM + BigInt(fields.find('_EPROCESS', 'ThreadListHead')?.offset ?? 0);
    const entry = BigInt(fields.find('_ETHREAD', 'ThreadListEntry')?.offset ?? 0);
    const all = cpus.flatMap((_, i) => [THREAD(i), IDLE(i)]);
    const ring = [threadHead, ...all.map((thread) => thread + entry)];
    for (const thread of all) m.put(thread, new Uint8Array(0x898)).put(thread, [6]);
    for (const [i, link] of ring.entries())
      m.u64(link, ring[(i + 1) % ring.length] ?? 0n, ring[(i + ring.length - 1) % ring.length] ?? 0n);
    for (const [i, thread] of all.entries()) {
      const base = STACK(i) + 0x6000n;
      this.set('_ETHREAD', thread, 'Tcb.StackBase', base);
      this.set('_ETHREAD', thread, 'Tcb.StackLimit', base - 0x6000n);
      this.set('_ETHREAD', thread, 'Tcb.InitialStack', base - 0x50n);
      this.set('_ETHREAD', thread, 'Tcb.ApcState.Process', SYSTEM);
      this.set('_ETHREAD', thread, 'Tcb.Process', SYSTEM);
      this.set('_ETHREAD', thread, 'Tcb.State', 2);
      this.set('_ETHREAD', thread, 'Cid.UniqueProcess', 4);
      this.set('_ETHREAD', thread, 'Cid.UniqueThread', 0x100 + i * 4);
      m.put(base - 0x6000n, new Uint8Array(0x6000));
    }
    for (const [i, cpu] of cpus.entries()) {
      const prcb = PRCB(i);
      m.put(prcb - 0x180n, new Uint8Array(0xb080));
      this.set('_KPRCB', prcb, 'Number', i);
      this.set('_KPRCB', prcb, 'CurrentThread', cpu.thread);
      this.set('_KPRCB', prcb, 'IdleThread', IDLE(i));
      this.set('_KPRCB', prcb, 'IpiFrozen', cpu.ipiFrozen);
      this.set('_KPRCB', prcb, 'DpcRoutineActive', cpu.dpc ? 1 : 0);
      this.set('_KPRCB', prcb, 'ProcessorState.SpecialRegisters.Cr8', 15);
      this.set('_KPRCB', prcb, 'DpcStack', 0xffffa00000800fb0n + BigInt(i) * 0x10000n);
      const context = prcb + 0xb000n;
      m.put(context, context64(cpu.pc, cpu.sp));
      this.set('_KPRCB', prcb, 'Context', context);
    }
  }

  kdbg(): Uint8Array {
    const bytes = new Uint8Array(0x380);
    const view = new DataView(bytes.buffer);
    view.setUint32(0x10, 0x4742444b, true);
    view.setUint32(0x14, bytes.length, true);
    view.setBigUint64(0x18, NT, true);
    for (const pointer of kdbgPointers) {
      const at = pointer.symbols.map((name) => info.symbolRva(name)).find((value) => value !== undefined);
      if (at !== undefined) view.setBigUint64(pointer.offset, NT + BigInt(at), true);
    }
    for (const field of kdbgOffsets) {
      const value = field.paths.map((path) => offsetOrSize(table, path)).find((known) => known !== undefined);
      if (value === undefined) continue;
      if (field.width === 2) view.setUint16(field.offset, value, true);
      else view.setUint32(field.offset, value, true);
    }
    const list = rva('KdDebuggerDataBlock');
    view.setBigUint64(0, list, true);
    view.setBigUint64(8, list, true);
    return bytes;
  }

  open(header: Partial<DumpHeader>, processors: number) {
    return openTarget(
      fakeDump('x64', this.memory, {
        psLoadedModuleList: va(rva('PsLoadedModuleList')),
        psActiveProcessHead: va(rva('PsActiveProcessHead')),
        numberProcessors: processors,
        ...header,
      }),
    );
  }
}

function context64(pc: bigint, sp: bigint): Uint8Array {
  const bytes = new Uint8Array(0x4d0);
  const view = new DataView(bytes.buffer);
  view.setUint16(0x38, 0x10, true);
  view.setUint16(0x42, 0x18, true);
  view.setUint32(0x44, 0x246, true);
  view.setBigUint64(0x98, sp, true);
  view.setBigUint64(0xf8, pc, true);
  return bytes;
}

const DRV = 0xfffff80020001000n;
const cpus: readonly Cpu[] = [
  { thread: THREAD(0), ipiFrozen: 0, pc: NT + 0x3fb000n, sp: STACK(0) + 0x5000n },
  { thread: IDLE(1), ipiFrozen: 2, pc: NT + 0x40a000n, sp: STACK(3) + 0x5a00n },
  { thread: THREAD(2), ipiFrozen: 2, pc: DRV, sp: STACK(4) + 0x5000n },
  { thread: THREAD(3), ipiFrozen: 1, pc: DRV, sp: STACK(6) + 0x5000n },
];
const bugcheck = (kernel: Kernel, i = 0): Partial<DumpHeader> => {
  void kernel;
  return {
    bugCheckCode: 0xe2,
    context: context64(cpus[i]?.pc ?? 0n, cpus[i]?.sp ?? 0n),
  };
};

describe('a kernel by its own structures', () => {
  it('reads processors, their trust, threads and processes', () => {
    const kernel = new Kernel(cpus);
    kernel.memory.put(rva('KdDebuggerDataBlock'), kernel.kdbg());
    const target = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(rva('KdDebuggerDataBlock')) }, 4);
    expect(target.layouts).toMatchObject({ trust: 'exact' });
    expect(target.kdbg?.source).toBe('dump');
    expect(target.processors.map((p) => p.contextTrust)).toEqual(['bugchecking', 'frozen', 'frozen', 'stale']);
    expect(target.processors.map((p) => p.idle)).toEqual([false, true, false, false]);
    expect(target.processors[3]?.contextReason).toContain('never stopped');
    expect(target.processors[2]?.irql).toBeNull(); // Cr8 15 is the freezer's
    expect(target.processes().map((process) => process.pid)).toEqual([4]);
    expect(target.processes()[0]?.image).toBe('System');
    expect(target.threads().length).toBe(8);
    expect(target.stackAt(STACK(4) + 0x100n)).toMatchObject({ kind: 'thread', thread: THREAD(2), processor: 2 });
  });

  it.each([
    ['plain, not named by the header', false, null],
    ['encoded', true, 'named'],
    ['encoded, not named by the header', true, null],
  ] as const)('finds KDBG: %s', (_, encoded, named) => {
    const kernel = new Kernel(cpus);
    const plain = kernel.kdbg();
    const at = rva('KdDebuggerDataBlock');
    const block = encoded ? encodeKdbg(plain, 0x00a1b2c3d4e5f617n, 0x5544332211ffee0dn, NT + 0xc12345n) : plain;
    // the search reads pages: the one that holds the block is whole
    kernel.memory.put(at & ~0xfffn, new Uint8Array(0x2000)).put(at, block);
    const target = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: named === null ? null : va(at) }, 4);
    expect(target.kdbg?.source).toBe(encoded ? 'decoded' : 'dump');
    expect(target.kdbg?.address).toBe(at);
    expect(target.kdbg?.pointer('KiProcessorBlock')).toBe(rva('KiProcessorBlock'));
    expect(target.layouts.trust).toBe('exact');
    expect(target.processors.length).toBe(4);
  });

  it('says so where there is no KDBG, and reads on what needs none', () => {
    const kernel = new Kernel(cpus);
    const target = kernel.open(bugcheck(kernel), 4);
    expect(target.kdbg).toBeNull();
    expect(target.processors).toEqual([]);
    expect(target.processorNote).toContain('KiProcessorBlock');
    expect(target.modules.length).toBe(2);
    expect(target.limits.map((limit) => limit.what)).toContain('KDDEBUGGER_DATA64');
  });

  it('a block of another kernel is not taken', () => {
    const kernel = new Kernel(cpus);
    const bytes = kernel.kdbg();
    new DataView(bytes.buffer).setBigUint64(0x18, NT + 0x200000n, true);
    const at = rva('KdDebuggerDataBlock');
    kernel.memory.put(at, bytes);
    expect(kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(at) }, 4).kdbg).toBeNull();
  });

  it('an acquisition tool froze nobody and bugchecked nobody', () => {
    const running = cpus.map((cpu) => ({ ...cpu, ipiFrozen: 0 }));
    const kernel = new Kernel(running);
    const at = rva('KdDebuggerDataBlock');
    kernel.memory.put(at, kernel.kdbg());
    const mark = (text: string) => BigInt([...text].reduceRight((sum, c) => sum * 256 + c.charCodeAt(0), 0));
    const target = kernel.open(
      {
        bugCheckCode: Number(mark('MATT')),
        bugCheckParameters: [mark('MOON'), mark('SOLS'), 0n, 0n],
        kdDebuggerDataBlock: va(at),
      },
      4,
    );
    expect(target.bugcheck).toBeNull();
    expect(target.bugcheckNote).toContain('MATT');
    expect(target.processors.map((p) => p.contextTrust)).toEqual(['stale', 'stale', 'stale', 'stale']);
    expect(target.processors[1]?.idle).toBeNull();
    expect(target.currentProcessor).toBe(0);
  });

  it('a DPC over the idle thread is no idle processor', () => {
    const kernel = new Kernel(cpus.map((cpu, i) => (i === 1 ? { ...cpu, dpc: true, sp: 0xffffa00000810f00n } : cpu)));
    const at = rva('KdDebuggerDataBlock');
    kernel.memory.put(at, kernel.kdbg());
    const target = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(at) }, 4);
    expect(target.processors[1]).toMatchObject({ idleThread: true, idle: false });
    expect(target.processors[1]?.irql).toMatchObject({ level: 2, kind: 'minimum' });
  });

  it('peels an NMI frame: the interrupted state is below it', () => {
    const kernel = new Kernel(cpus);
    const m = kernel.memory;
    m.put(rva('KdDebuggerDataBlock'), kernel.kdbg());
    // TSS with IST 3 for NMI, IDT gate 2 naming it; the NMI's machine frame at the top of that stack
    const tss = 0xffffa00000900000n;
    const idt = 0xffffa00000901000n;
    const nmi = 0xffffa00000a06000n;
    kernel.set('_KPRCB', PRCB(2), 'Number', 2);
    m.u64(PRCB(2) - 0x180n + 8n, tss).u64(PRCB(2) - 0x180n + 0x38n, idt);
    m.put(tss, new Uint8Array(0x68)).u64(tss + 0x24n + 16n, nmi);
    m.put(idt, new Uint8Array(0x130)).put(idt + 0x20n + 4n, [3]);
    m.put(nmi - 0x1000n, new Uint8Array(0x1000));
    const tf = nmi - 0x1a0n;
    m.u64(tf + 0x168n, DRV + 0x123n, 0x10n, 0x40202n, STACK(4) + 0x5000n, 0x18n);
    m.put(PRCB(2) + 0xb000n, context64(NT + 0x3ff000n, nmi - 0x800n));
    const target = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(rva('KdDebuggerDataBlock')) }, 4);
    const two = target.processors[2];
    expect(two?.stacks.some((range) => range.kind === 'nmi' && range.base === nmi)).toBe(true);
    expect(two?.registers?.pc).toBe(NT + 0x3ff000n);
    expect(two?.interrupted?.pc).toBe(DRV + 0x123n);
    expect(two?.interruptedFrom).toContain('below the NMI');
  });

  it('takes the level of a frozen processor from the frame that froze it, and from nothing else', () => {
    const kernel = new Kernel(cpus);
    const m = kernel.memory;
    m.put(rva('KdDebuggerDataBlock'), kernel.kdbg());
    const sp = STACK(4) + 0x5000n;
    const tf = sp - 0x28n - 0x168n;
    m.u64(tf + 0x168n, DRV, 0x10n, 0x246n, sp, 0x18n).put(tf + 0x29n, [2, 0, 0]);
    const open = () => kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(rva('KdDebuggerDataBlock')) }, 4);
    expect(open().processors[2]?.irql).toMatchObject({ level: 2, kind: 'exact', address: tf + 0x29n });
    m.u64(tf + 0x168n, DRV + 4n); // the frame of another moment
    expect(open().processors[2]?.irql).toBeNull();
  });

  it('lists that run in circles or lead astray end with a reason', () => {
    const kernel = new Kernel(cpus);
    const at = rva('KdDebuggerDataBlock');
    kernel.memory.put(at, kernel.kdbg());
    const links = SYSTEM + BigInt(fields.find('_EPROCESS', 'ActiveProcessLinks')?.offset ?? 0);
    kernel.memory.u64(links, links, links);
    const entry = BigInt(fields.find('_ETHREAD', 'ThreadListEntry')?.offset ?? 0);
    kernel.memory.u64(THREAD(1) + entry, THREAD(0) + entry);
    const target = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(at) }, 4);
    expect(target.processes().length).toBe(1);
    expect(target.threads().length).toBe(8);
    expect(target.limits.some((limit) => limit.why.includes('circle'))).toBe(true);
  });

  it('a neighbour’s layout is checked against the dump and marked', () => {
    const kernel = new Kernel(cpus);
    const bytes = kernel.kdbg();
    const view = new DataView(bytes.buffer);
    // other symbols than any built-in table's
    for (const name of ['KeTimeIncrement', 'MmSystemCacheStart', 'PspCidTable', 'ExpSystemResourcesList']) {
      const offset = kdbgPointers.find((pointer) => pointer.name === name)?.offset ?? 0;
      view.setBigUint64(offset, view.getBigUint64(offset, true) + 0x40n, true);
    }
    const at = rva('KdDebuggerDataBlock');
    kernel.memory.put(at, bytes);
    const target = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(at) }, 4);
    expect(target.layouts.trust).toBe('approximate');
    expect(target.layouts.how).toMatch(/\d+ KDBG offsets and \d+ checks/);
    expect(target.limits.some((limit) => limit.why.startsWith('approximate'))).toBe(true);
    expect(target.processors.length).toBe(4);
    // Offsets that contradict every table leave none, and KDBG's own still work.
    for (let offset = 0x298; offset < 0x2c2; offset += 2)
      if (offset !== 0x2b4 && offset !== 0x2bc) view.setUint16(offset, view.getUint16(offset, true) + 8, true);
    kernel.memory.put(at, bytes);
    const none = kernel.open({ ...bugcheck(kernel), kdDebuggerDataBlock: va(at) }, 4);
    expect(none.layouts.trust).toBe('none');
    expect(none.processors.map((p) => p.currentThread)).toEqual([THREAD(0), IDLE(1), THREAD(2), THREAD(3)]);
    expect(none.processors[1]?.idleThread).toBe(true);
    expect(none.processors[2]?.registers?.pc).toBe(DRV);
  });
});
