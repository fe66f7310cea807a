import { ForgeError } from '../memory/address-space.ts';
import type { PhysicalLayout } from '../memory/frames.ts';
import { buildKdbg, encodeKdbg, kdbgSize } from './kdbg.ts';
import { MACHINE } from './loaded-module.ts';
import { type Machine, windowsVersion } from './machine.ts';

export interface SystemTimes {
  readonly tickCount: bigint;
  readonly increment: bigint;
  /** FILETIME. */
  readonly systemTime: bigint;
  /** 100 ns. */
  readonly uptime: bigint;
}

const FILETIME_OF_1970 = 116444736000000000n;

/** Days since 1970-01-01 of a civil date (proleptic Gregorian calendar). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yoe = y - era * 400;
  const doy = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return era * 146097 + yoe * 365 + Math.floor(yoe / 4) - Math.floor(yoe / 100) + doy - 719468;
}

function fileTime(text: string): bigint | null {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?Z$/.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const days = daysFromCivil(year ?? 0, month ?? 1, day ?? 1);
  const seconds = BigInt(days) * 86400n + BigInt((hour ?? 0) * 3600 + (minute ?? 0) * 60 + (second ?? 0));
  return FILETIME_OF_1970 + seconds * 10_000_000n + BigInt((match[7] ?? '0').padEnd(7, '0'));
}

export function systemTimes(m: Machine): SystemTimes {
  const spec = m.scenario.time;
  const tickCount = m.value(spec.tickCount, 'time.tickCount');
  const increment = m.valueOr(spec.increment, 156250n, 'time.increment');
  const iso = typeof spec.systemTime === 'string' ? fileTime(spec.systemTime) : null;
  const systemTime = iso ?? m.valueOr(spec.systemTime, fileTime('2008-01-25T10:30:00Z') ?? 0n, 'time.systemTime');
  const uptime = m.valueOr(spec.uptime, tickCount * increment, 'time.uptime');
  return { tickCount, increment, systemTime, uptime };
}

/** nt's own variables, KUSER_SHARED_DATA. The list heads are written with their lists. */
export function writeSystem(m: Machine, times: SystemTimes): void {
  const w = m.write;
  const dword = (name: string, value: bigint | number): void => {
    const at = m.global(name);
    if (at !== undefined) w.u32(at, value);
  };
  const pointer = (name: string, value: bigint): void => {
    const at = m.global(name);
    if (at !== undefined) w.pointer(at, value);
  };
  const ksystemTime = (at: bigint, value: bigint): void => {
    w.u32(at, value & 0xffffffffn);
    w.u32(at + 4n, value >> 32n);
    w.u32(at + 8n, value >> 32n);
  };
  dword('KeNumberProcessors', m.processors.length);
  dword('KeNumberProcessorsGroup0', m.processors.length);
  dword('KeMaximumIncrement', times.increment);
  dword('KeMinimumIncrement', times.increment / 16n);
  dword('KeTimeIncrement', times.increment);
  dword('KeTimeAdjustment', times.increment);
  pointer('KeActiveProcessors', (1n << BigInt(m.processors.length)) - 1n);
  const tick = m.global('KeTickCount');
  if (tick !== undefined) ksystemTime(tick, times.tickCount);
  const boot = m.global('KeBootTime');
  if (boot !== undefined) w.u64(boot, times.systemTime - times.uptime);
  const system = m.processes.find((p) => p.pid === 4);
  const idle = m.processes.find((p) => p.key === 'Idle');
  if (system !== undefined) pointer('PsInitialSystemProcess', system.at);
  if (idle !== undefined) pointer('PsIdleProcess', idle.at);
  for (const name of [
    'KeBugCheckCallbackListHead',
    'KeBugCheckReasonCallbackListHead',
    'IopErrorLogListHead',
    'ExpSystemResourcesList',
  ]) {
    const at = m.global(name);
    if (at !== undefined && m.kernel.readInteger(at, m.pointerSize) === 0n) w.emptyList(at);
  }
  const highest = m.scenario.arch === 'x86' ? 0x7ffeffffn : 0x7fffffeffffn;
  pointer('MmHighestUserAddress', highest);
  pointer('MmUserProbeAddress', highest & ~0xffffn);
  pointer('MmSystemRangeStart', m.scenario.arch === 'x86' ? 0x80000000n : 0xffff800000000000n);
  const bugcheck = m.scenario.header?.bugcheck;
  const data = m.global('KiBugCheckData');
  if (bugcheck !== undefined && data !== undefined && m.scenario.header?.tool === undefined) {
    const values = [bugcheck.code, ...(bugcheck.parameters ?? [])];
    for (let i = 0; i < 5; i++) {
      const value = m.valueOr(values[i], 0n, `header.bugcheck[${i}]`);
      w.pointer(data + BigInt(i * m.pointerSize), i === 0 ? value & ~0x10000000n : value);
    }
  }
  writeStrings(m);
  writeVersionBlock(m);
  writeSharedData(m, times, ksystemTime);
}

function writeStrings(m: Machine): void {
  const [major, minor] = windowsVersion(m.scenario.build);
  const arch = { x86: 'x86', x64: 'amd64', arm64: 'arm64' }[m.scenario.arch];
  const text = m.build < 7600 ? `${m.build}.forge_sp.080413-2111` : `${m.build}.1.${arch}fre.forge.080125-1700`;
  for (const name of ['NtBuildLab', 'NtBuildLabEx']) {
    const at = m.global(name);
    if (at !== undefined && !m.nt.symbols.has(name)) m.write.ascii(at, `${text}\0`);
  }
  const number = m.global('NtBuildNumber');
  if (number !== undefined) m.write.u32(number, (0xf0000000 | m.build) >>> 0);
  const sp = m.global('CmNtCSDVersion');
  if (sp !== undefined) m.write.u32(sp, major === 5 && minor === 1 ? 0x300 : 0);
}

/** DBGKD_GET_VERSION64. */
function writeVersionBlock(m: Machine): void {
  const at = m.global('KdVersionBlock');
  if (at === undefined) return;
  const w = m.write;
  w.u16(at, 0xf);
  w.u16(at + 2n, m.build);
  w.u16(at + 4n, 6);
  w.u16(at + 6n, m.processors.length > 1 ? 3 : 2);
  w.u16(at + 8n, MACHINE[m.scenario.arch]);
  w.u64(at + 0x10n, extend(m, m.nt.base));
  w.u64(at + 0x18n, extend(m, m.global('PsLoadedModuleList') ?? 0n));
  w.u64(at + 0x20n, extend(m, m.global('KdpDebuggerDataListHead') ?? 0n));
}

/** Pointers of a 32-bit kernel are sign-extended where the format has 64 bits. */
export function extend(m: Machine, value: bigint): bigint {
  return m.pointerSize === 4 && (value & 0x80000000n) !== 0n ? value | 0xffffffff00000000n : value;
}

function writeSharedData(m: Machine, times: SystemTimes, ksystemTime: (at: bigint, value: bigint) => void): void {
  const at = m.regions.kernelShared;
  const w = m.write;
  const [major, minor] = windowsVersion(m.scenario.build);
  // KUSER_SHARED_DATA, offsets as in dumpformat.md, 14; the same in every version.
  w.u32(at, times.tickCount & 0xffffffffn);
  w.u32(at + 4n, Number((times.increment << 24n) / 10000n));
  ksystemTime(at + 0x8n, times.uptime);
  ksystemTime(at + 0x14n, times.systemTime);
  ksystemTime(at + 0x20n, BigInt.asUintN(64, BigInt(m.scenario.time.biasMinutes ?? 0) * 600_000_000n));
  const machine = MACHINE[m.scenario.arch];
  w.u16(at + 0x2cn, machine);
  w.u16(at + 0x2en, machine);
  w.space.write(at + 0x30n, Uint8Array.from([...'C:\\WINDOWS'].flatMap((c) => [c.charCodeAt(0), 0])));
  if (m.build >= 10240) w.u32(at + 0x260n, m.build);
  w.u32(at + 0x264n, 1);
  w.u32(at + 0x268n, 1);
  w.u32(at + 0x26cn, major);
  w.u32(at + 0x270n, minor);
  w.u32(at + 0x2d0n, 0x110);
  ksystemTime(at + 0x320n, times.tickCount);
  if (m.build >= 6000) w.u32(at + 0x3c0n, m.processors.length);
  const page = m.kernel.map(Number(at >> 12n)).page;
  for (const process of m.processes) process.space?.share(Number(m.regions.userShared >> 12n), page);
}

export interface KdbgPlace {
  /** Address of the block, 0 when absent. */
  readonly at: bigint;
  /** Not encoded; what a triage dump carries. */
  readonly plain: Uint8Array;
}

/** KDDEBUGGER_DATA64 in nt's data, linked to KdpDebuggerDataListHead. */
export function writeKdbg(m: Machine): KdbgPlace {
  const spec = m.scenario.kdbg ?? {};
  const mode = spec.mode ?? 'plain';
  const at = m.global('KdDebuggerDataBlock');
  if (at === undefined)
    throw new ForgeError("nt has no KdDebuggerDataBlock: neither the image nor the build's table names it");
  const listHead = m.global('KdpDebuggerDataListHead') ?? at;
  const plain = buildKdbg({
    arch: m.scenario.arch,
    build: m.build,
    size: spec.size === undefined ? kdbgSize(m.build) : m.number(spec.size, 'kdbg.size'),
    kernelBase: m.nt.base,
    paeEnabled: m.pae,
    layout: m.layout,
    listHead,
    global: (name) => m.global(name),
  });
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength);
  for (const [offset, value] of Object.entries(spec.fields ?? {})) {
    const where = Number.parseInt(offset, 16);
    const v = m.value(value, `kdbg.fields.${offset}`);
    // Offsets from 298 on are 16 bits wide, but for the pointers among them.
    if (where >= 0x298 && where < 0x2c8) view.setUint16(where, Number(v & 0xffffn), true);
    else view.setBigUint64(where, v, true);
  }
  if (mode === 'absent') return { at: 0n, plain };
  let block = plain;
  if (mode === 'encoded') {
    const never = m.valueOr(spec.waitNever, 0x00a1b2c3d4e5f617n, 'kdbg.waitNever');
    const always = m.valueOr(spec.waitAlways, 0x5544332211ffee0dn, 'kdbg.waitAlways');
    const flag = m.global('KdpDataBlockEncoded');
    const neverAt = m.global('KiWaitNever');
    const alwaysAt = m.global('KiWaitAlways');
    if (flag === undefined || neverAt === undefined || alwaysAt === undefined) {
      throw new ForgeError(
        `kdbg.mode: build ${m.scenario.build} has no KiWaitNever, KiWaitAlways and KdpDataBlockEncoded`,
      );
    }
    m.write.u64(neverAt, never);
    m.write.u64(alwaysAt, always);
    m.kernel.write(flag, Uint8Array.of(1));
    block = encodeKdbg(plain, never, always, extend(m, flag));
  }
  m.kernel.write(at, block);
  if (listHead !== at) m.write.linkList(listHead, []);
  if (listHead !== at && mode === 'plain') {
    // LIST_ENTRY64 links on both sides.
    m.write.u64(listHead, extend(m, at));
    m.write.u64(listHead + 8n, extend(m, at));
  }
  return { at, plain };
}

/** What nt knows of physical memory; frames must be assigned. */
export function writePhysicalTotals(m: Machine, physical: PhysicalLayout): void {
  const total = physical.runs.reduce((sum, run) => sum + run.count, 0);
  const put = (name: string, value: number): void => {
    const at = m.global(name);
    // The page is there already if anything else was written to it; a new one would have no frame.
    if (at !== undefined && m.kernel.mappings.has(Number(at >> 12n))) {
      m.write.pointer(at, BigInt(value));
    }
  };
  put('MmNumberOfPhysicalPages', total);
  put('MmLowestPhysicalPage', physical.runs[0]?.base ?? 0);
  put('MmHighestPhysicalPage', physical.end - 1);
  const shared = m.regions.kernelShared + 0x2e8n;
  m.write.u32(shared, total);
}
