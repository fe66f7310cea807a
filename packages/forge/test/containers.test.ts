import { bytesSource, type Dump, type DumpKind, Memory, openDump, pa, va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { builtinKernelLayout, forge, loadScenario, type Scenario } from '../src/index.ts';
import { Layout } from '../src/kernel/layout.ts';
import { type ReadDump, type ReadTriage, readDump, readTriage, walkList } from './reader.ts';
import { images, scenarios } from './shipped.ts';

const KINDS: readonly DumpKind[] = [
  'full',
  'kernel-summary',
  'bitmap-full',
  'bitmap-kernel',
  'automatic',
  'range-kernel',
  'range-kernel-user',
  'range-full',
];

function kindsOf(scenario: Scenario): readonly DumpKind[] {
  return scenario.arch === 'x86' ? KINDS.filter((kind) => !kind.startsWith('range')) : KINDS;
}

function layoutOf(scenario: Scenario): Layout {
  return new Layout(builtinKernelLayout(scenario.arch, scenario.build, scenario.pae !== false));
}

/** Links written by hand: lists that are broken on purpose. */
function breaksLists(scenario: Scenario): boolean {
  return Object.keys(scenario.memory ?? {}).some((at) => /(Links|ListEntry|ListHead)/.test(at));
}

/** Processes or threads of which pages are left out. */
function lacksObjects(scenario: Scenario): boolean {
  return (scenario.drop ?? []).some((d) => /^(process|thread)\(/.test(String(typeof d === 'object' ? d.at : d)));
}

/** The machine behind KDBG, by the offsets of the build's layout. */
function checkMachine(dump: ReadDump, scenario: Scenario): void {
  const layout = layoutOf(scenario);
  const off = (type: string, path: string): bigint => BigInt(layout.offset(type, path));
  const view = new DataView(dump.bytes.buffer, dump.bytes.byteOffset);
  const header = (at32: number, at64: number): bigint =>
    dump.wide ? view.getBigUint64(at64, true) : BigInt(view.getUint32(at32, true));
  const narrow = (value: bigint): bigint => (dump.wide ? value : value & 0xffffffffn);
  const kdbgAt = header(0x60, 0x80);
  const kdbg = dump.virtual(kdbgAt, 0x290);
  if (kdbg === null) throw new Error('KDBG cannot be read');
  const k = new DataView(kdbg.buffer);
  expect(String.fromCharCode(...kdbg.subarray(0x10, 0x14))).toBe('KDBG');
  const kernelBase = narrow(k.getBigUint64(0x18, true));
  expect(dump.u32(kernelBase) & 0xffff).toBe(0x5a4d);
  expect(narrow(k.getBigUint64(0x48, true))).toBe(header(0x18, 0x20));
  expect(narrow(k.getBigUint64(0x50, true))).toBe(header(0x1c, 0x28));
  // Modules: each entry's base has an MZ header (those that are resident) and its name is there.
  const p = dump.wide ? 8n : 4n;
  const modules = walkList(dump, header(0x18, 0x20));
  expect(modules.length).toBeGreaterThanOrEqual(1);
  expect(dump.pointer((modules[0] ?? 0n) + (dump.wide ? 0x30n : 0x18n))).toBe(kernelBase);
  // Processors: number, current thread, its process, and the directory that the process says.
  const block = narrow(k.getBigUint64(0x218, true));
  const count = view.getUint32(dump.wide ? 0x34 : 0x24, true);
  const seen = new Set<bigint>();
  for (let i = 0; i < count; i++) {
    const prcb = dump.pointer(block + BigInt(i) * p);
    const thread = dump.pointer(prcb + off('_KPRCB', 'CurrentThread'));
    expect(dump.u32(thread) & 0x7f).toBe(6);
    const process = dump.pointer(thread + off('_ETHREAD', 'Tcb.ApcState.Process'));
    expect(dump.u32(process) & 0x7f).toBe(3);
    const dtb = dump.pointer(process + off('_EPROCESS', 'Pcb.DirectoryTableBase'));
    // The kernel half reads the same through every process.
    expect(dump.pointer(prcb + off('_KPRCB', 'CurrentThread'), dtb)).toBe(thread);
    seen.add(prcb);
  }
  expect(seen.size).toBe(count);
  if (breaksLists(scenario)) return;
  // Processes and their threads, both lists; every thread leads back to its process.
  const links = off('_EPROCESS', 'ActiveProcessLinks');
  const processes = walkList(dump, header(0x1c, 0x28)).map((at) => at - links);
  expect(processes.length).toBe(Object.keys({ System: 0, ...scenario.processes }).length);
  for (const process of processes) {
    const entry = off('_ETHREAD', 'ThreadListEntry');
    for (const at of walkList(dump, process + off('_EPROCESS', 'ThreadListHead'))) {
      expect(dump.pointer(at - entry + off('_ETHREAD', 'Tcb.ApcState.Process'))).toBe(process);
    }
    walkList(dump, process + off('_EPROCESS', 'Pcb.ThreadListHead'));
  }
}

/** Every part of a triage dump against the memory of the full dump of the same machine. */
function checkTriage(triage: ReadTriage, base: Scenario, opened: Dump): void {
  const { bytes: full, layoutMap } = forge({ ...base, dump: 'full' }, images);
  if (full === null) throw new Error('no bytes');
  const memory = readDump(full, base.levels);
  const same = (what: string, at: bigint, own: Uint8Array): void => {
    const expected = memory.virtual(at, own.length);
    if (expected === null || Buffer.compare(expected, own) !== 0)
      throw new Error(`${what} at ${at.toString(16)} differs`);
  };
  const layout = layoutOf(base);
  const part = (offset: number, type: string): Uint8Array => opened.fileBytes(offset, layout.size(type));
  const order = base.processorOrder ?? base.processors.map((_, index) => index);
  const own = order.findIndex((old) => base.processors[old]?.state === 'bugchecking');
  const number = Math.max(own, 0);
  const prcb = layoutMap.get(`prcb(${number})`) ?? 0n;
  const gone = base.drop !== undefined; // a full dump that ends early, or a stack with holes
  if (!gone) {
    same('KPRCB', prcb, part(triage.prcb, '_KPRCB'));
    const thread = memory.pointer(prcb + BigInt(layout.offset('_KPRCB', 'CurrentThread')));
    same('ETHREAD', thread, part(triage.thread, '_ETHREAD'));
    const process = memory.pointer(thread + BigInt(layout.offset('_ETHREAD', 'Tcb.ApcState.Process')));
    same('EPROCESS', process, part(triage.process, '_EPROCESS'));
    // A double fault is reported from a stack that is no thread's.
    const bound = (field: string): bigint => memory.pointer(thread + BigInt(layout.offset('_ETHREAD', field)));
    const onThread = triage.topOfStack >= bound('Tcb.StackLimit') && triage.topOfStack < bound('Tcb.StackBase');
    if (onThread) expect(triage.stack.length).toBeGreaterThan(0);
    same('stack', triage.topOfStack, triage.stack);
  }
  expect(String.fromCharCode(...triage.kdbg.subarray(0x10, 0x14))).toBe('KDBG');
  expect(new DataView(triage.kdbg.buffer, triage.kdbg.byteOffset).getUint32(0x14, true)).toBe(triage.kdbg.length);
  for (const block of triage.blocks)
    if (!gone || memory.virtual(block.at, 1) !== null) same('block', block.at, block.bytes);
  // Drivers in load order: base, size and time stamp of their own headers.
  const listed = Object.values(base.modules).filter((m) => m.process === undefined && m.listed !== false);
  expect(triage.drivers.length).toBe(listed.length);
  for (const driver of triage.drivers) {
    expect(driver.name).toMatch(/^\\/);
    const header = memory.virtual(driver.base, 0x1000);
    if (header === null) continue;
    const view = new DataView(header.buffer);
    const pe = view.getUint32(0x3c, true);
    expect([view.getUint32(pe + 8, true), view.getUint32(pe + 0x50, true)]).toEqual([driver.stamp, driver.size]);
  }
  expect(triage.unloaded.map((driver) => driver.name)).toEqual(
    (base.unloaded ?? []).map((driver) => driver.name.slice(0, 12)),
  );
  // A second opinion.
  expect(opened.triage?.drivers.length).toBe(listed.length);
  expect(opened.triage?.blocks.length).toBe(triage.blocks.length);
  const joined = new Memory(opened.memory());
  for (const block of triage.blocks) {
    const found = joined.bytes(va(block.at), block.bytes.length);
    if (found === undefined || Buffer.compare(found, block.bytes) !== 0)
      throw new Error(`block ${block.at.toString(16)}`);
  }
}

describe.each(scenarios.names().map((name) => ({ name })))('$name', ({ name }) => {
  const base = loadScenario(name, scenarios);

  it('holds the same machine in every container', { timeout: 60_000 }, () => {
    const pages = new Map<number, Uint8Array>();
    for (const kind of kindsOf(base)) {
      const scenario: Scenario = { ...base, dump: kind };
      const { bytes } = forge(scenario, images);
      if (bytes === null) throw new Error('no bytes');
      const dump = readDump(bytes, base.levels);
      expect(dump.end).toBe(bytes.length);
      // Page for page what the full dump holds.
      for (const [pfn, at] of dump.pages) {
        const page = bytes.subarray(at, at + 4096);
        const known = pages.get(pfn);
        if (kind === 'full') pages.set(pfn, page);
        else if (known === undefined) throw new Error(`${kind}: frame ${pfn} is not in the full dump`);
        else if (Buffer.compare(known, page) !== 0) throw new Error(`${kind}: frame ${pfn} differs`);
      }
      if ((base.kdbg?.mode ?? 'plain') === 'plain' && !lacksObjects(base)) checkMachine(dump, scenario);
      // A second opinion.
      const opened = openDump(bytesSource(bytes));
      // An absent page can only be missing from a full dump because the file ends before it.
      const cut =
        kind === 'full' &&
        (base.drop ?? []).some((d) => typeof d !== 'object' || d.as === undefined || d.as === 'absent');
      expect(opened.problems.map((problem) => problem.id)).toEqual(cut ? ['truncated-file'] : []);
      expect([opened.kind, opened.arch, opened.complete]).toEqual([kind, base.arch, !cut]);
      if (!cut) expect(opened.physical?.pageCount).toBe(dump.pages.size);
      for (const [pfn, at] of [...dump.pages].slice(0, 64)) {
        const raw = new Uint8Array(16);
        expect(opened.physical?.readInto(pa(pfn * 4096), raw)).toBe(16);
        expect(raw).toEqual(new Uint8Array(bytes.subarray(at, at + 16)));
      }
    }
  });

  it('is the same every time, and a triage dump of it opens', () => {
    const triage: Scenario = { ...base, dump: 'triage' };
    const first = forge(triage, images).bytes;
    const again = forge(triage, images).bytes;
    if (first === null || again === null) throw new Error('no bytes');
    expect(Buffer.compare(first, again)).toBe(0);
    const opened = openDump(bytesSource(first));
    expect(opened.problems).toEqual([]);
    expect(opened.complete).toBe(true);
    checkTriage(readTriage(first), base, opened);
  });
});
