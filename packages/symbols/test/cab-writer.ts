/** A cabinet writer for tests: one folder, blocks already compressed. */
export interface CabInput {
  readonly files: readonly {
    readonly name: string;
    readonly size: number;
    readonly offset: number;
    readonly folder?: number;
  }[];
  readonly method: number;
  readonly blocks: readonly { readonly data: Uint8Array; readonly size: number }[];
  /** Bytes of reserved space in the header, a folder, a block. */
  readonly reserve?: readonly [number, number, number];
  /** Write 0, which means that there is none, instead of the checksums. */
  readonly noChecksum?: boolean;
  /** Whether checksums cover the reserved bytes of a block: 7-Zip says that they do, cabextract that they do not. */
  readonly sumReserve?: boolean;
}

function checksum(bytes: Uint8Array, seed: number): number {
  let sum = seed;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    sum ^= new DataView(bytes.buffer, bytes.byteOffset + at, 4).getInt32(0, true);
  }
  let rest = 0;
  for (; at < bytes.length; at++) rest = rest * 256 + (bytes[at] ?? 0);
  return (sum ^ rest) >>> 0;
}

export function writeCab(input: CabInput): Uint8Array {
  const out: number[] = [];
  const u16 = (n: number): number => out.push(n & 255, (n >>> 8) & 255);
  const u32 = (n: number): void => {
    u16(n & 0xffff);
    u16(n >>> 16);
  };
  const patch = (at: number, n: number): void => {
    for (let i = 0; i < 4; i++) out[at + i] = (n >>> (8 * i)) & 255;
  };
  const [headerReserve, folderReserve, dataReserve] = input.reserve ?? [0, 0, 0];
  u32(0x4643534d);
  u32(0);
  u32(0); // 8: size
  u32(0);
  u32(0); // 16: files
  u32(0);
  out.push(3, 1);
  u16(1);
  u16(input.files.length);
  u16(input.reserve ? 4 : 0);
  u16(0x1234);
  u16(0);
  if (input.reserve) {
    u16(headerReserve);
    out.push(folderReserve, dataReserve);
    for (let i = 0; i < headerReserve; i++) out.push(0xaa);
  }
  const folderAt = out.length;
  u32(0);
  u16(input.blocks.length);
  u16(input.method);
  for (let i = 0; i < folderReserve; i++) out.push(0xbb);
  patch(16, out.length);
  for (const file of input.files) {
    u32(file.size);
    u32(file.offset);
    u16(file.folder ?? 0);
    u16(0x5a21);
    u16(0x6000);
    u16(0x20);
    for (const c of file.name) out.push(c.charCodeAt(0));
    out.push(0);
  }
  patch(folderAt, out.length);
  for (const { data, size } of input.blocks) {
    const head = new Uint8Array(4 + dataReserve).fill(0xcc);
    new DataView(head.buffer).setUint16(0, data.length, true);
    new DataView(head.buffer).setUint16(2, size, true);
    u32(input.noChecksum ? 0 : checksum(input.sumReserve ? head : head.subarray(0, 4), checksum(data, 0)));
    for (const b of head) out.push(b);
    for (const b of data) out.push(b);
  }
  patch(8, out.length);
  return Uint8Array.from(out);
}
