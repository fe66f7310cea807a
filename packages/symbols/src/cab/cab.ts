import { inflateSync } from 'fflate';
import { cString } from '../pe/text.ts';
import { CabError } from './cab-error.ts';
import { expandLzx } from './lzx.ts';

export interface CabFile {
  readonly name: string;
  readonly size: number;
  /** Index into the cabinet's folders, or 0xfffd…0xffff for a file that goes on in another cabinet. */
  readonly folder: number;
  /** Where the file begins in the folder's expanded data. */
  readonly offset: number;
}

interface Folder {
  readonly dataAt: number;
  readonly blocks: number;
  readonly method: number;
}

const u16 = (b: Uint8Array, at: number): number => (b[at] ?? 0) | ((b[at + 1] ?? 0) << 8);
const u32 = (b: Uint8Array, at: number): number => (u16(b, at) | (u16(b, at + 2) << 16)) >>> 0;

export function isCab(bytes: Uint8Array): boolean {
  return u32(bytes, 0) === 0x4643534d; // MSCF
}

/** Expanded data that a caller is ready to hold; PDBs of this size do not exist. */
const DEFAULT_MAXIMUM = 0x1000_0000;
const HEADER = 36;
const FRAME = 0x8000;

/** A Microsoft cabinet: `.pd_`, `.dl_`, `.cab`. Single cabinets, stored, MSZIP and LZX. */
export class Cab {
  readonly files: readonly CabFile[];
  readonly #bytes: Uint8Array;
  readonly #folders: readonly Folder[];
  readonly #dataReserve: number;
  readonly #maximum: number;

  /** Throws CabError when the directory cannot be read. `maximum` bounds what is expanded at once. */
  constructor(bytes: Uint8Array, maximum: number = DEFAULT_MAXIMUM) {
    this.#bytes = bytes;
    this.#maximum = maximum;
    if (u32(bytes, 0) === 0x44445a53) throw new CabError('compressed by COMPRESS.EXE (SZDD), which is not supported');
    if (u32(bytes, 0) === 0x4a41574b) throw new CabError('compressed by COMPRESS.EXE (KWAJ), which is not supported');
    if (!isCab(bytes)) throw new CabError('no cabinet: the signature MSCF is missing');
    if (bytes.length < HEADER) throw new CabError(`the cabinet ends in its header (byte ${bytes.length})`);
    if (bytes[25] !== 1) throw new CabError(`cabinet version ${bytes[25]}.${bytes[24]} is unknown`);
    const folderCount = u16(bytes, 26);
    const fileCount = u16(bytes, 28);
    const flags = u16(bytes, 30);
    let at = HEADER;
    let folderReserve = 0;
    let dataReserve = 0;
    if (flags & 4) {
      folderReserve = bytes[at + 2] ?? 0;
      dataReserve = bytes[at + 3] ?? 0;
      at += 4 + u16(bytes, at);
    }
    // Names of the cabinet before and after this one, and of their disks.
    for (let strings = (flags & 1 ? 2 : 0) + (flags & 2 ? 2 : 0); strings > 0; strings--) at = this.#skipString(at);
    this.#dataReserve = dataReserve;
    const folders: Folder[] = [];
    for (let i = 0; i < folderCount; i++, at += 8 + folderReserve) {
      if (at + 8 > bytes.length) throw new CabError(`the cabinet ends in its folder table (byte ${bytes.length})`);
      folders.push({ dataAt: u32(bytes, at), blocks: u16(bytes, at + 4), method: u16(bytes, at + 6) });
    }
    this.#folders = folders;
    const files: CabFile[] = [];
    at = u32(bytes, 16);
    for (let i = 0; i < fileCount; i++) {
      if (at + 17 > bytes.length) throw new CabError(`the cabinet ends in its file table (byte ${bytes.length})`);
      const name = cString(bytes, at + 16, Math.min(bytes.length, at + 16 + 256));
      files.push({ name, size: u32(bytes, at), offset: u32(bytes, at + 4), folder: u16(bytes, at + 8) });
      at = this.#skipString(at + 16);
    }
    this.files = files;
  }

  #skipString(at: number): number {
    const end = this.#bytes.indexOf(0, at);
    if (end < 0 || end - at > 256) throw new CabError(`a name in the cabinet has no end (byte ${at})`);
    return end + 1;
  }

  /** The bytes of a file. Throws CabError when they cannot be had. */
  extract(file: CabFile): Uint8Array {
    const folder = this.#folders[file.folder];
    if (!folder) {
      if (file.folder >= 0xfffd)
        throw new CabError(`${file.name} is spread over several cabinets, which is not supported`);
      throw new CabError(`${file.name} is in folder ${file.folder}, which the cabinet does not have`);
    }
    const end = file.offset + file.size;
    if (end > this.#maximum)
      throw new CabError(`${file.name} would expand to ${end} bytes, more than ${this.#maximum}`);
    const data = this.#expand(folder, end);
    if (data.length < end)
      throw new CabError(`the cabinet holds ${data.length} of the ${end} bytes up to the end of ${file.name}`);
    return data.slice(file.offset, end);
  }

  /** At least `wanted` expanded bytes of a folder, or all that there are. */
  #expand(folder: Folder, wanted: number): Uint8Array {
    const method = folder.method & 15;
    if (method === 2) throw new CabError('the cabinet is compressed by QUANTUM, which is not supported');
    if (method > 3) throw new CabError(`the cabinet is compressed by the unknown method ${method}`);
    const blocks = this.#blocks(folder, wanted);
    const total = blocks.reduce((sum, block) => sum + block.size, 0);
    if (total > this.#maximum + FRAME) throw new CabError(`the folder expands to more than ${this.#maximum} bytes`);
    if (method === 3) {
      const joined = new Uint8Array(blocks.reduce((sum, block) => sum + block.data.length, 0));
      let at = 0;
      for (const { data } of blocks) {
        joined.set(data, at);
        at += data.length;
      }
      return expandLzx(joined, (folder.method >> 8) & 31, total);
    }
    const out = new Uint8Array(total);
    let at = 0;
    blocks.forEach(({ data, size }, index) => {
      const plain = method === 0 ? data : expandMszip(data, size, out.subarray(Math.max(0, at - FRAME), at), index);
      if (plain.length !== size) throw new CabError(`block ${index} holds ${plain.length} bytes instead of ${size}`);
      out.set(plain, at);
      at += size;
    });
    return out;
  }

  #blocks(folder: Folder, wanted: number): { data: Uint8Array; size: number }[] {
    const bytes = this.#bytes;
    const out: { data: Uint8Array; size: number }[] = [];
    let at = folder.dataAt;
    let total = 0;
    for (let i = 0; i < folder.blocks && total < wanted; i++) {
      const packed = u16(bytes, at + 4);
      const size = u16(bytes, at + 6);
      const dataAt = at + 8 + this.#dataReserve;
      if (dataAt + packed > bytes.length) {
        throw new CabError(`block ${i} of ${folder.blocks} ends beyond the end of the cabinet (byte ${bytes.length})`);
      }
      if (size > FRAME) throw new CabError(`block ${i} claims ${size} bytes, more than 32768`);
      if (size === 0) throw new CabError(`block ${i} goes on in another cabinet, which is not supported`);
      const sum = u32(bytes, at);
      const headers = this.#dataReserve > 0 ? [4, 4 + this.#dataReserve] : [4];
      if (sum !== 0 && !headers.some((length) => checksum(bytes, at + 4, length, dataAt, packed) === sum)) {
        throw new CabError(`block ${i} of ${folder.blocks} is damaged: its checksum is wrong (byte ${at})`);
      }
      out.push({ data: bytes.subarray(dataAt, dataAt + packed), size });
      total += size;
      at = dataAt + packed;
    }
    return out;
  }
}

function expandMszip(data: Uint8Array, size: number, history: Uint8Array, index: number): Uint8Array {
  if (data[0] !== 0x43 || data[1] !== 0x4b) throw new CabError(`block ${index} does not begin with CK`);
  try {
    // One byte more than the block may hold shows a block that is too long.
    const options = { out: new Uint8Array(size + 1), ...(history.length > 0 ? { dictionary: history } : {}) };
    return inflateSync(data.subarray(2), options);
  } catch (error) {
    throw new CabError(`block ${index} is damaged: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * XOR of the little-endian words of the data, of its odd bytes (big-endian), and of the sizes before it. Readers differ in
 * whether the reserved bytes between the two belong to it.
 */
function checksum(bytes: Uint8Array, sizesAt: number, sizesLength: number, dataAt: number, length: number): number {
  return (xorWords(bytes, dataAt, length) ^ xorWords(bytes, sizesAt, sizesLength)) >>> 0;
}

function xorWords(bytes: Uint8Array, start: number, length: number): number {
  let sum = 0;
  const end = start + (length & ~3);
  let at = start;
  for (; at < end; at += 4) {
    sum ^= (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
  }
  let rest = 0;
  for (let k = 0; k < (length & 3); k++) rest = (rest << 8) | (bytes[at + k] ?? 0);
  return sum ^ rest;
}

/** The only (else the largest) file of a cabinet, as `.pd_` and `.dl_` have it. Throws CabError. */
export function expandCab(bytes: Uint8Array, maximum?: number): { readonly name: string; readonly bytes: Uint8Array } {
  const cab = new Cab(bytes, maximum);
  let best: CabFile | undefined;
  for (const file of cab.files) if (!best || file.size > best.size) best = file;
  if (!best) throw new CabError('the cabinet holds no file');
  return { name: best.name, bytes: cab.extract(best) };
}
