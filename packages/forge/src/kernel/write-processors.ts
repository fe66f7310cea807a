import { buildContext, REGISTER_NAMES } from './context.ts';
import type { ForgedProcessor, Machine } from './machine.ts';
import { asciiBytes } from './struct-writer.ts';
import { applyFields } from './write-processes.ts';

/** What the forge keeps of a processor for the containers: its saved CONTEXT. */
export interface SavedProcessor {
  readonly processor: ForgedProcessor;
  readonly context: Uint8Array;
  readonly pc: bigint;
  readonly sp: bigint;
}

export function writeProcessors(m: Machine): SavedProcessor[] {
  const block = m.global('KiProcessorBlock');
  const saved = m.processors.map((processor) => writeProcessor(m, processor));
  if (block !== undefined) {
    for (const { number, prcb } of m.processors) m.write.pointer(block + BigInt(number * m.pointerSize), prcb);
  }
  writeReadyQueues(m);
  return saved;
}

function writeProcessor(m: Machine, cpu: ForgedProcessor): SavedProcessor {
  const { spec, prcb, kpcr, number } = cpu;
  const where = `processors[${number}]`;
  const w = m.write;
  const set = (path: string, value: bigint | number): boolean => w.set('_KPRCB', prcb, path, value);
  m.kernel.touch(kpcr, m.layout.size('_KPCR'));
  set('MajorVersion', 1);
  set('MinorVersion', 1);
  set('BuildType', 0);
  set('Number', number);
  set('LegacyNumber', number);
  set('GroupIndex', number);
  set('SetMember', 1n << BigInt(number));
  set('GroupSetMember', 1n << BigInt(number));
  set('CurrentThread', cpu.thread.at);
  set('NextThread', cpu.next?.at ?? 0n);
  set('IdleThread', cpu.idleThread.at);
  set('CpuType', 6);
  set('CpuStep', 0x0f06);
  set('CpuID', 1);
  set('MHz', 2400);
  set('NestingLevel', 0);
  const vendor = w.at('_KPRCB', prcb, 'VendorString');
  if (vendor !== undefined) w.bytes(vendor, asciiBytes('GenuineIntel'));
  set('IpiFrozen', spec.state === 'frozen' ? 2 : 0); // 0 on the bugchecking one of every real dump
  if (spec.debuggerSavedIrql !== undefined) set('DebuggerSavedIRQL', spec.debuggerSavedIrql);
  else if (spec.state === 'bugchecking') set('DebuggerSavedIRQL', spec.irql ?? 0);
  emptyLists(m, cpu);
  writeDpcs(m, cpu, where);
  for (const [slot, entry] of Object.entries(spec.lockQueue ?? {})) {
    w.must('_KPRCB', prcb, `LockQueue[${slot}].Next`, m.value(entry.next, `${where}.lockQueue.${slot}.next`));
    w.must('_KPRCB', prcb, `LockQueue[${slot}].Lock`, m.value(entry.lock, `${where}.lockQueue.${slot}.lock`));
  }
  writeKpcr(m, cpu, where);
  const saved = writeState(m, cpu, where);
  applyFields(m, '_KPRCB', prcb, spec.fields, `${where}.fields`);
  applyFields(m, '_KPCR', kpcr, spec.kpcrFields, `${where}.kpcrFields`);
  return saved;
}

function emptyLists(m: Machine, cpu: ForgedProcessor): void {
  const list = (path: string): void => {
    m.write.emptyListField('_KPRCB', cpu.prcb, path);
  };
  for (const path of ['WaitListHead', 'DpcListHead', 'DpcData[0].DpcListHead', 'DpcData[1].DpcListHead']) list(path);
  for (let i = 0; i < 32; i++) list(`DispatcherReadyListHead[${i}]`);
  // 8.1 and later: a singly linked list whose LastEntry points at the head while it is empty.
  for (const data of ['DpcData[0]', 'DpcData[1]']) {
    const head = m.write.at('_KPRCB', cpu.prcb, `${data}.DpcList.ListHead`);
    if (head !== undefined) m.write.set('_KPRCB', cpu.prcb, `${data}.DpcList.LastEntry`, head);
  }
}

function writeDpcs(m: Machine, cpu: ForgedProcessor, where: string): void {
  const dpc = cpu.spec.dpc;
  const { prcb } = cpu;
  const w = m.write;
  const stack = dpc?.stack;
  if (stack === undefined) {
    const size = m.regions.stackSize;
    const limit = m.system.take(size + 0x1000, 0x1000) + 0x1000n;
    w.set('_KPRCB', prcb, 'DpcStack', limit + BigInt(size));
    m.kernel.touch(limit + BigInt(size - 0x1000), 0x1000);
  } else {
    const base = m.value(stack.base, `${where}.dpc.stack.base`);
    const limit = m.value(stack.limit, `${where}.dpc.stack.limit`);
    w.set('_KPRCB', prcb, 'DpcStack', base);
    m.kernel.touch(limit, Number(base - limit));
  }
  if (cpu.spec.isrStack !== undefined) {
    const base = m.value(cpu.spec.isrStack.base, `${where}.isrStack.base`);
    const limit = m.value(cpu.spec.isrStack.limit, `${where}.isrStack.limit`);
    w.set('_KPRCB', prcb, 'IsrStack', base);
    m.kernel.touch(limit, Number(base - limit));
  }
  if (dpc?.active === true) w.set('_KPRCB', prcb, 'DpcRoutineActive', 1);
  const size = m.layout.size('_KDPC');
  const lists: bigint[][] = [[], []];
  dpc?.queue?.forEach((entry, index) => {
    const at = entry.at === undefined ? m.nonPaged.take(size) : m.value(entry.at, `${where}.dpc.queue[${index}].at`);
    const kind = entry.threaded === true ? 1 : 0;
    w.set('_KDPC', at, 'Type', entry.threaded === true ? 0x1a : 0x13);
    w.set('_KDPC', at, 'Importance', entry.importance ?? 1);
    w.set('_KDPC', at, 'Number', cpu.number);
    w.set('_KDPC', at, 'DeferredRoutine', m.value(entry.routine, `${where}.dpc.queue[${index}].routine`));
    w.set('_KDPC', at, 'DeferredContext', m.valueOr(entry.context, 0n, `${where}.dpc.queue[${index}].context`));
    const data = w.at('_KPRCB', prcb, `DpcData[${kind}]`);
    if (data !== undefined) w.set('_KDPC', at, 'DpcData', data);
    lists[kind]?.push(at + BigInt(m.layout.offset('_KDPC', 'DpcListEntry')));
  });
  lists.forEach((entries, kind) => {
    if (entries.length === 0) return;
    const head = w.at('_KPRCB', prcb, `DpcData[${kind}].DpcListHead`) ?? w.at('_KPRCB', prcb, 'DpcListHead');
    const single = w.at('_KPRCB', prcb, `DpcData[${kind}].DpcList.ListHead`);
    if (single !== undefined) {
      [single, ...entries].forEach((at, index) => {
        w.pointer(at, entries[index] ?? 0n);
      });
      w.set('_KPRCB', prcb, `DpcData[${kind}].DpcList.LastEntry`, entries.at(-1) ?? single);
    } else if (head !== undefined) w.linkList(head, entries);
    w.any('_KPRCB', prcb, [`DpcData[${kind}].DpcQueueDepth`, 'DpcQueueDepth'], entries.length);
    w.any('_KPRCB', prcb, [`DpcData[${kind}].DpcCount`, 'DpcCount'], entries.length + 0x40);
  });
}

function writeKpcr(m: Machine, cpu: ForgedProcessor, where: string): void {
  const { kpcr, prcb, number, spec } = cpu;
  const w = m.write;
  const set = (path: string, value: bigint | number): boolean => w.set('_KPCR', kpcr, path, value);
  const tables = m.system.take(0x3000, 0x1000);
  const gdt = tables;
  const idt = tables + 0x1000n;
  const tss = tables + 0x2000n;
  m.kernel.touch(tables, 0x2068);
  set('MajorVersion', 1);
  set('MinorVersion', 1);
  set('SetMember', 1n << BigInt(number));
  set('Number', number);
  set('StallScaleFactor', 2400);
  const version = m.global('KdVersionBlock');
  if (version !== undefined && number === 0) set('KdVersionBlock', version);
  if (spec.irql !== undefined) set('Irql', spec.irql);
  if (m.scenario.arch === 'x86') {
    set('NtTib.ExceptionList', 0xffffffffn);
    set('SelfPcr', kpcr);
    set('Prcb', prcb);
    set('GDT', gdt);
    set('IDT', idt);
    set('TSS', tss);
    writeGdt32(m, gdt, kpcr, tss);
    w.u32(tss + 4n, m.valueOr(cpu.thread.spec.stack?.base, 0n, `${where}.thread.stack.base`)); // Esp0
    w.u16(tss + 8n, 0x10);
  } else if (m.scenario.arch === 'x64') {
    set('Self', kpcr);
    set('CurrentPrcb', prcb);
    set('GdtBase', gdt);
    set('IdtBase', idt);
    set('TssBase', tss);
    const queue = w.at('_KPRCB', prcb, 'LockQueue');
    if (queue !== undefined) set('LockArray', queue);
    w.u64(tss + 4n, m.valueOr(cpu.thread.spec.stack?.base, 0n, `${where}.thread.stack.base`)); // Rsp0
    if (spec.nmiStack !== undefined) {
      const base = m.value(spec.nmiStack.base, `${where}.nmiStack.base`);
      const limit = m.value(spec.nmiStack.limit, `${where}.nmiStack.limit`);
      m.kernel.touch(limit, Number(base - limit));
      w.u64(tss + 0x34n, base); // Ist[3]
    }
  }
}

/** Flat segments, TSS and PCR descriptors, where Windows has them (selectors 8, 10, 18, 20, 28, 30, 38). */
function writeGdt32(m: Machine, gdt: bigint, kpcr: bigint, tss: bigint): void {
  const entry = (selector: number, base: bigint, limit: number, access: number, flags: number): void => {
    const at = gdt + BigInt(selector);
    const b = Number(base & 0xffffffffn);
    m.write.u16(at, limit & 0xffff);
    m.write.u16(at + 2n, b & 0xffff);
    const high =
      (((b >>> 16) & 0xff) | (access << 8) | (((limit >> 16) & 0xf) << 16) | (flags << 20) | (b & 0xff000000)) >>> 0;
    m.write.u32(at + 4n, high);
  };
  entry(0x08, 0n, 0xfffff, 0x9b, 0xc);
  entry(0x10, 0n, 0xfffff, 0x93, 0xc);
  entry(0x18, 0n, 0xfffff, 0xfb, 0xc);
  entry(0x20, 0n, 0xfffff, 0xf3, 0xc);
  entry(0x28, tss, 0x20ab, 0x8b, 0);
  entry(0x30, kpcr, 0x1, 0x93, 0xc);
  entry(0x38, 0n, 0xfff, 0xf3, 0x4);
}

function writeState(m: Machine, cpu: ForgedProcessor, where: string): SavedProcessor {
  const { spec, prcb } = cpu;
  const w = m.write;
  const { arch } = m.scenario;
  const registers = m.registers(spec.context, `${where}.context`);
  const context = buildContext(arch, registers);
  const frame = w.at('_KPRCB', prcb, 'ProcessorState.ContextFrame');
  const indirect = m.layout.find('_KPRCB', 'Context') !== undefined;
  // The freeze path saves through PRCB.Context; in real dumps of 9600 and 19041 the frame inside the PRCB stays zero
  // on every processor, the bugchecking one included.
  if (frame !== undefined && (!indirect || m.build < 9200)) w.bytes(frame, context);
  if (indirect && arch === 'arm64' && frame !== undefined) {
    // ARM64: the pointer leads to the frame inside the PRCB (all processors of a real 22000 dump).
    w.bytes(frame, context);
    w.set('_KPRCB', prcb, 'Context', frame);
  } else if (indirect) {
    const at = m.system.take(context.length + 0x10, 0x10);
    w.bytes(at, context);
    w.set('_KPRCB', prcb, 'Context', at);
  }
  const special = new Map<string, bigint>();
  if (arch === 'x86') {
    special.set('Cr0', 0x8001003bn);
    special.set('Cr4', m.pae ? 0x6f9n : 0x6d9n);
    special.set('Tr', 0x28n);
  } else if (arch === 'x64') {
    special.set('Cr0', 0x80050033n);
    special.set('Cr4', m.scenario.levels === 5 ? 0x1516f8n : 0x1506f8n); // bit 12: LA57
    special.set('Tr', 0x40n);
    // A frozen processor's Cr8 is the freezer's own 15; on the one that bugchecked it is the level at the bugcheck.
    special.set('Cr8', BigInt(spec.state === 'frozen' ? 15 : (spec.irql ?? 15)));
  }
  const gdt = w.at('_KPCR', cpu.kpcr, arch === 'x86' ? 'GDT' : 'GdtBase');
  const idt = w.at('_KPCR', cpu.kpcr, arch === 'x86' ? 'IDT' : 'IdtBase');
  if (gdt !== undefined && idt !== undefined) {
    special.set('Gdtr.Base', m.kernel.readInteger(gdt, m.pointerSize));
    special.set('Gdtr.Limit', arch === 'x86' ? 0x3ffn : 0x57n);
    special.set('Idtr.Base', m.kernel.readInteger(idt, m.pointerSize));
    special.set('Idtr.Limit', arch === 'x86' ? 0x7ffn : 0xfffn);
  }
  for (const [name, value] of m.registers(spec.special ?? {}, `${where}.special`)) {
    special.set(name.charAt(0).toUpperCase() + name.slice(1), value);
  }
  for (const [name, value] of special) w.set('_KPRCB', prcb, `ProcessorState.SpecialRegisters.${name}`, value);
  if (arch === 'arm64') {
    m.fixups.push((directoryOf) => {
      const base = directoryOf(cpu.thread.process);
      w.set('_KPRCB', prcb, 'ProcessorState.SpecialRegisters.Ttbr0', base);
      w.set('_KPRCB', prcb, 'ProcessorState.SpecialRegisters.Ttbr1', base + 0x800n);
    });
  } else if (!special.has('Cr3')) {
    m.fixups.push((directoryOf) => {
      w.set('_KPRCB', prcb, 'ProcessorState.SpecialRegisters.Cr3', directoryOf(cpu.thread.process));
    });
  }
  const names = REGISTER_NAMES[arch];
  return { processor: cpu, context, pc: registers.get(names.pc) ?? 0n, sp: registers.get(names.sp) ?? 0n };
}

/** READY threads on their processor's list (XP: nt's own), with the summary bit of their priority. */
function writeReadyQueues(m: Machine): void {
  const entry = m.layout.find('_ETHREAD', 'Tcb.WaitListEntry');
  if (entry === undefined) return;
  const global = m.global('KiDispatcherReadyListHead');
  const queues = new Map<bigint, bigint[]>();
  const summaries = new Map<bigint, number>();
  if (global !== undefined) for (let i = 0; i < 32; i++) m.write.emptyList(global + BigInt(i * m.pointerSize * 2));
  for (const process of m.processes) {
    for (const thread of process.threads) {
      if (thread.spec.state !== 'ready') continue;
      const priority = thread.spec.priority ?? 8;
      const cpu = m.processors.find((candidate) => candidate.number === (thread.spec.processor ?? 0));
      const own =
        cpu === undefined ? undefined : m.write.at('_KPRCB', cpu.prcb, `DispatcherReadyListHead[${priority}]`);
      const head = own ?? (global === undefined ? undefined : global + BigInt(priority * m.pointerSize * 2));
      const summary =
        own === undefined || cpu === undefined
          ? m.global('KiReadySummary')
          : m.write.at('_KPRCB', cpu.prcb, 'ReadySummary');
      if (head === undefined) continue;
      queues.set(head, [...(queues.get(head) ?? []), thread.at + BigInt(entry.offset)]);
      if (summary !== undefined) summaries.set(summary, ((summaries.get(summary) ?? 0) | (1 << priority)) >>> 0);
    }
  }
  for (const [head, entries] of queues) m.write.linkList(head, entries);
  for (const [at, mask] of summaries) m.write.u32(at, mask);
}
