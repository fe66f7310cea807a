import { asciiAt } from '../../nt/structure.ts';
import type { Target } from '../../target/model.ts';
import { engineAddress } from '../format/address.ts';
import { sessionTime, uptimeText } from '../format/time.ts';

const SUITES: readonly [number, string][] = [
  [0x1, 'SmallBusiness'],
  [0x2, 'Enterprise'],
  [0x4, 'BackOffice'],
  [0x8, 'CommunicationServer'],
  [0x10, 'TerminalServer'],
  [0x20, 'SmallBusinessRestricted'],
  [0x40, 'EmbeddedNT'],
  [0x80, 'DataCenter'],
  [0x100, 'SingleUserTS'],
  [0x200, 'Personal'],
  [0x400, 'Blade'],
];

const PRODUCTS: Readonly<Record<number, string>> = { 1: 'WinNt', 2: 'LanManNt', 3: 'Server' };

/** The name the debugger gives to a build: 22000 and later are "Windows 10" to it too. */
export function systemName(build: number): string {
  if (build >= 10240) return 'Windows 10';
  if (build >= 9600) return 'Windows 8.1';
  if (build >= 9200) return 'Windows 8';
  if (build >= 7600) return 'Windows 7';
  if (build >= 6001) return 'Windows Server 2008/Windows Vista';
  if (build >= 6000) return 'Windows Vista';
  if (build >= 3790) return 'Windows Server 2003';
  if (build >= 2600) return 'Windows XP';
  if (build >= 2195) return 'Windows 2000';
  return 'Windows NT';
}

/** KUSER_SHARED_DATA.TimeZoneBias in minutes (UTC minus local), 0 where the page is not in the dump. */
export function zoneBias(target: Target): number {
  const shared = target.pointerSize === 4 ? 0xffdf0000n : 0xfffff78000000000n;
  const low = target.memory.u32(shared + 0x20n);
  const high = target.memory.i32(shared + 0x24n);
  if (low === undefined || high === undefined) return 0;
  const minutes = Number(((BigInt(high) << 32n) | BigInt(low)) / 600_000_000n);
  return Math.abs(minutes) <= 14 * 60 ? minutes : 0;
}

function servicePack(target: Target): string {
  const address = target.kdbg?.pointer('CmNtCSDVersion') ?? null;
  const value = address === null ? undefined : target.memory.u32(address);
  const major = value === undefined ? 0 : (value >>> 8) & 0xff;
  return major === 0 ? '' : ` (Service Pack ${major})`;
}

export function buildLab(target: Target): string | null {
  const address = target.kdbg?.pointer('NtBuildLab') ?? null;
  const text = address === null ? undefined : asciiAt(target.memory, address, 128);
  return text === undefined || text === '' ? null : text;
}

/** `Debug session time:` and `System Uptime:`; lines that the header does not hold say so. */
export function timeLines(target: Target): string[] {
  const { systemTime, uptime } = target.time;
  return [
    `Debug session time: ${systemTime === null ? 'not available' : sessionTime(systemTime, zoneBias(target))}`,
    `System Uptime: ${uptime === null ? 'not available' : uptimeText(uptime)}`,
  ];
}

/** The version block of the banner, `vertarget` and `version`. */
export function versionLines(target: Target): string[] {
  const { header } = target.dump;
  const build = header.minorVersion;
  const count = header.numberProcessors;
  const flavour = header.majorVersion === 0xc ? 'Checked' : 'Free';
  const machine = { x86: 'x86 compatible', x64: 'x64', arm64: 'ARM 64-bit (AArch64)' }[target.arch];
  const kind = count > 1 ? 'MP' : 'UP';
  const lines = [
    `${systemName(build)} Kernel Version ${build}${servicePack(target)} ${kind} (${count} procs) ${flavour} ${machine}`,
  ];
  const suites = SUITES.filter(([bit]) => ((header.suiteMask ?? 0) & bit) !== 0).map(([, name]) => name);
  const product = header.productType === null ? undefined : PRODUCTS[header.productType];
  if (product !== undefined)
    lines.push(`Product: ${product}${suites.length === 0 ? '' : `, suite: ${suites.join(' ')}`}`);
  const lab = buildLab(target);
  if (lab !== null) lines.push(`${build >= 10240 ? 'Edition build lab' : 'Built by'}: ${lab}`);
  if (build < 10240) lines.push('Machine Name:');
  const base = target.kernel?.base ?? target.kdbg?.kernBase ?? null;
  const list = target.kdbg?.pointer('PsLoadedModuleList') ?? header.psLoadedModuleList;
  const address = (value: bigint | null): string => (value === null ? '????' : `0x${engineAddress(value, target)}`);
  lines.push(`Kernel base = ${address(base)} PsLoadedModuleList = ${address(list)}`, ...timeLines(target));
  return lines;
}
