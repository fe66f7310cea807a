import type { ByteSource } from './byte-source.ts';
import { latin1, u16, u32 } from './bytes.ts';
import { NotADumpError } from './problems.ts';

const PAGE = 0x45474150;
const DUMP = 0x504d5544;
const DU64 = 0x34365544;

/** Prefix of a file, and what such a file is. */
const SIGNATURES: readonly (readonly [string, string])[] = [
  ['MDMP', 'a user-mode minidump (MDMP) of one process'],
  ['UserDump', 'a user-mode full dump of one process'],
  ['USERDUMP', 'a user-mode full dump of one process'],
  ['USERDU64', 'a user-mode full dump of one process'],
  ['PK\x03\x04', 'a ZIP archive: unpack it first'],
  ['PK\x05\x06', 'an empty ZIP archive'],
  ['7z\xbc\xaf\x27\x1c', 'a 7z archive: unpack it first'],
  ['MSCF', 'a CAB archive: unpack it first'],
  ['Rar!\x1a\x07', 'a RAR archive: unpack it first'],
  ['\x1f\x8b', 'gzip-compressed: unpack it first'],
  ['\xfd7zXZ\0', 'xz-compressed: unpack it first'],
  ['\x28\xb5\x2f\xfd', 'zstd-compressed: unpack it first'],
  ['\x04\x22\x4d\x18', 'LZ4-compressed: unpack it first'],
  ['BZh', 'bzip2-compressed: unpack it first'],
  ['Microsoft C/C++ MSF 7.00', 'a PDB symbol file'],
  ['Microsoft C/C++ program database', 'an old PDB symbol file'],
  ['EMiL', 'a LiME memory image of a Linux machine'],
  ['KDUMP   ', 'a Linux kdump file'],
  ['DISKDUMP', 'a Linux diskdump file'],
  ['EVF\x09', 'an EnCase image'],
  ['hibr', 'a Windows hibernation file'],
  ['HIBR', 'a Windows hibernation file'],
  ['wake', 'a Windows hibernation file that was resumed'],
  ['WAKE', 'a Windows hibernation file that was resumed'],
  ['RSTR', 'a Windows hibernation file that was resumed'],
  ['rstr', 'a Windows hibernation file that was resumed'],
  ['\xd0\xbe\xd2\xbe', 'a VMware suspended state (vmss, vmsn)'],
  ['\xd1\xba\xd1\xba', 'a VMware suspended state (vmss, vmsn)'],
  ['\xd2\xbe\xd2\xbe', 'a VMware suspended state (vmss, vmsn)'],
  ['\xd3\xbe\xd3\xbe', 'a VMware suspended state (vmss, vmsn)'],
  ['KDMV', 'a VMware disk'],
  ['vhdxfile', 'a Hyper-V disk'],
  ['QFI\xfb', 'a QEMU disk'],
  ['QEVM', 'a QEMU saved state'],
  ['SQLite format 3', 'an SQLite database'],
  ['regf', 'a registry hive'],
  ['ElfFile\0', 'a Windows event log'],
  ['%PDF', 'a PDF document'],
  ['\x89PNG', 'a PNG picture'],
  ['\xff\xd8\xff', 'a JPEG picture'],
  ['\xcf\xfa\xed\xfe', 'a Mach-O file'],
  ['\xce\xfa\xed\xfe', 'a Mach-O file'],
  ['\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1', 'an OLE compound file'],
];

const ZERO_SCAN = 1024 * 1024;

/** Header width of a kernel dump. Throws {@link NotADumpError} with one line that says what the input is instead. */
export function identify(source: ByteSource): { readonly pointerSize: 4 | 8; readonly headerSize: 0x1000 | 0x2000 } {
  const size = source.size;
  const start = new Uint8Array(Math.max(0, Math.min(4096, size)));
  const head = start.subarray(0, source.read(0, start, 0, start.length));
  if (head.length === 0) throw new NotADumpError('not a kernel dump: the file is empty (0 bytes)');
  const bytes = `${size} ${size === 1 ? 'byte' : 'bytes'}`;
  const first = u32(head, 0);
  const second = u32(head, 4);
  if (head.length >= 8 && first === PAGE && (second === DUMP || second === DU64)) {
    const pointerSize = second === DU64 ? 8 : 4;
    const headerSize = pointerSize === 8 ? 0x2000 : 0x1000;
    if (size >= headerSize) return { pointerSize, headerSize };
    throw new NotADumpError(
      `not a readable kernel dump: it has the signature ${latin1(head.subarray(0, 8))}, but its ${bytes} are less than the header of ${headerSize}`,
    );
  }
  throw new NotADumpError(`not a kernel dump: ${describe(source, head)} (${bytes})`);
}

function describe(source: ByteSource, head: Uint8Array): string {
  const text = characters(head.subarray(0, 64));
  for (const [signature, what] of SIGNATURES) if (text.startsWith(signature)) return what;
  if (text.startsWith('\x7fELF')) return elf(head);
  if (text.startsWith('MZ')) return pe(head);
  if (head.length < 8) return 'too short for the signature';
  if (u32(head, 0) === PAGE) return 'it begins with PAGE, but neither DUMP nor DU64 follows: the header is damaged';
  if (head.every((byte) => byte === 0)) return zeros(source);
  const kind = textKind(head);
  if (kind !== null) return kind;
  const large = source.size >= 16 * 1024 * 1024 && source.size % 4096 === 0;
  const raw = large ? '; perhaps a raw memory image, which has no header' : '';
  return `it begins with ${hexBytes(head.subarray(0, 8))}, neither PAGEDUMP nor PAGEDU64${raw}`;
}

function elf(head: Uint8Array): string {
  const type = u16(head, 16);
  if (type === 4) return 'an ELF core dump (Linux, or a virtual machine: convert it with elf2dmp or vmss2core)';
  return type === 2 || type === 3 ? 'an ELF program or library' : 'an ELF file';
}

function pe(head: Uint8Array): string {
  const at = u32(head, 0x3c);
  const isPe = at + 4 <= head.length && u32(head, at) === 0x4550;
  if (!isPe) return 'a DOS or Windows program (MZ)';
  return (u16(head, at + 22) & 0x2000) !== 0 ? 'a Windows library (PE)' : 'a Windows program or driver (PE)';
}

function zeros(source: ByteSource): string {
  const chunk = new Uint8Array(64 * 1024);
  const end = Math.min(source.size, ZERO_SCAN);
  for (let at = 0; at < end; ) {
    const got = source.read(at, chunk, 0, Math.min(chunk.length, end - at));
    if (got <= 0) break;
    for (let i = 0; i < got; i++) {
      if (chunk[i] !== 0) return `no signature, it begins with ${at + i} zero bytes`;
    }
    at += got;
  }
  return end === source.size ? 'nothing but zeros' : `no signature, at least the first ${end} bytes are zeros`;
}

function textKind(head: Uint8Array): string | null {
  if (head[0] === 0xff && head[1] === 0xfe) return 'UTF-16 text';
  if (head[0] === 0xfe && head[1] === 0xff) return 'UTF-16 text';
  const start = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
  for (let i = start; i < head.length; i++) {
    const byte = head[i] as number;
    if (byte === 0x7f || (byte < 0x20 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 12 && byte !== 27))
      return null;
  }
  const text = characters(head.subarray(start, start + 256))
    .trimStart()
    .toLowerCase();
  if (text.startsWith('<!doctype html') || text.startsWith('<html'))
    return 'a web page (HTML): perhaps a failed download';
  return 'text';
}

function characters(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
