import { type PeImage, tryParsePe, type VersionInfo } from '@dumpscope/symbols';
import type { Module } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { hexDigits } from '../format/address.ts';
import { stampTime } from '../format/time.ts';
import { sessionMemory } from '../session/session.ts';

/** What `lmv` says below a module's row. */

/** IMAGE_DEBUG_TYPE_REPRO: the linker put a hash where the time would be. */
const TYPE_REPRO = 16;

/** winver.h: VS_FF_*, VOS_*, VFT_*. */
const FLAGS: readonly (readonly [number, string])[] = [
  [1, 'Debug'],
  [2, 'Prerelease'],
  [4, 'Patched'],
  [8, 'Private'],
  [0x10, 'InfoInferred'],
  [0x20, 'Special'],
];
const SYSTEMS = ['Unknown', 'DOS', 'OS/2 16-bit', 'OS/2 32-bit', 'NT', 'Windows CE'];
const SUBSYSTEMS = ['Base', 'Win16', 'PM-16', 'PM-32', 'Win32'];
const TYPES = ['Unknown', 'App', 'Dll', 'Driver', 'Font', 'VxD', 'Unknown', 'Static Library'];

/** Without a resource WinDbg shows the translations that it tried. */
const TRIED = '0000.04b0 0000.04e4 0409.04b0 0409.04e4';

const label = (name: string): string => `    ${name}`.padEnd(22);
const upper = (value: number): string => hexDigits(value >>> 0, 8).toUpperCase();
const word = (value: number): string => value.toString(16).padStart(4, '0');

/** `Wed Aug 04 05:59:03 2004 (41107B27)` */
export function stampText(module: Module): string {
  const stamp = module.timeDateStamp;
  return stamp ? `${stampTime(stamp)} (${upper(stamp)})` : 'unavailable (00000000)';
}

/** The image in memory, or its file where the pages are not in the dump. */
function imageOf(session: Session, module: Module): PeImage | null {
  const memory = sessionMemory(session);
  return tryParsePe((rva, length) =>
    rva < 0 || rva + length > module.size ? null : (memory.bytes(module.base + BigInt(rva), length) ?? null),
  );
}

/** The lines of a version resource. */
export function versionLines(version: VersionInfo): string[] {
  const lines: string[] = [];
  if (version.fileVersion !== null) {
    const flags = FLAGS.filter(([bit]) => (version.fileFlags & bit) !== 0).map(([, name]) => ` ${name}`);
    const { fileOs, fileType, fileSubtype, fileDate } = version;
    const system = SYSTEMS[fileOs >>> 16] ?? 'Unknown';
    const subsystem = SUBSYSTEMS[fileOs & 0xffff] ?? 'Unknown';
    const type = TYPES[fileType] ?? 'Unknown';
    const mask = version.fileFlagsMask.toString(16).toUpperCase();
    lines.push(
      `${label('File version:')}${version.fileVersion}`,
      `${label('Product version:')}${version.productVersion ?? ''}`,
      `${label('File flags:')}${version.fileFlags.toString(16).toUpperCase()} (Mask ${mask})${flags.join('')}`,
      `${label('File OS:')}${fileOs.toString(16).toUpperCase()} ${system} ${subsystem}`,
      `${label('File type:')}${fileType.toString(16)}.${fileSubtype.toString(16)} ${type}`,
      `${label('File date:')}${fileDate.map((part) => hexDigits(part, 8)).join('.')}`,
    );
  }
  const found = version.translations.map(([language, page]) => `${word(language)}.${word(page)}`);
  lines.push(`${label('Translations:')}${found.length === 0 ? TRIED : found.join(' ')}`);
  if (version.strings.size > 0) lines.push('    Information from resource tables:');
  for (const [name, value] of version.strings) lines.push(`        ${`${name}:`.padEnd(18)}${value}`);
  return lines;
}

export function moduleDetails(session: Session, module: Module): string[] {
  const image = imageOf(session, module);
  const lines: string[] = [];
  if (module.symbolOrigin !== null) lines.push(`    Loaded symbol image file: ${module.imageName}`);
  lines.push(`    Image path: ${module.imagePath}`, `    Image name: ${module.imageName}`);
  const isHash = module.timeDateStamp && image?.debugEntries?.some((entry) => entry.type === TYPE_REPRO);
  if (isHash) lines.push('    Image was built with /Brepro flag.');
  const stamp = isHash
    ? `${upper(module.timeDateStamp ?? 0)} (This is a reproducible build file hash, not a timestamp)`
    : stampText(module);
  lines.push(
    `${label('Timestamp:')}${stamp}`,
    `${label('CheckSum:')}${module.checkSum === null ? 'unavailable' : upper(module.checkSum)}`,
    `${label('ImageSize:')}${hexDigits(module.size, 8).toUpperCase()}`,
  );
  if (module.pdb !== null) {
    lines.push(`    PDB:              ${module.pdb.name} {${module.pdb.guid}} age ${module.pdb.age}`);
  }
  const version = image?.version ?? null;
  lines.push(...(version === null ? [`${label('Translations:')}${TRIED}`] : versionLines(version)));
  return lines;
}
