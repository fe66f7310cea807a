/** The smallest PDB and image that can be told apart: for tests of finding, not of reading. */

export function makePdb(guid: string, age: number, padding = 0): Uint8Array {
  const block = 512;
  const blocks = 7 + Math.ceil(padding / block);
  const out = new Uint8Array(blocks * block);
  const view = new DataView(out.buffer);
  const u32 = (at: number, n: number): void => view.setUint32(at, n, true);
  out.set(new TextEncoder().encode('Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0'));
  u32(32, block);
  u32(36, 1);
  u32(40, blocks);
  const streams = [0, 32, 0, 64];
  u32(44, 4 + streams.length * 4 + 8);
  u32(52, 3);
  u32(3 * block, 4); // the directory is in block 4
  u32(4 * block, streams.length);
  streams.forEach((size, index) => {
    u32(4 * block + 4 + index * 4, size);
  });
  u32(4 * block + 20, 5); // stream 1
  u32(4 * block + 24, 6); // stream 3
  u32(5 * block, 20000404);
  u32(5 * block + 4, 0x5e000000);
  u32(5 * block + 8, age);
  const hex = (from: number, to: number): number => Number.parseInt(guid.slice(from, to), 16);
  u32(5 * block + 12, hex(0, 8));
  view.setUint16(5 * block + 16, hex(8, 12), true);
  view.setUint16(5 * block + 18, hex(12, 16), true);
  for (let i = 0; i < 8; i++) out[5 * block + 20 + i] = hex(16 + i * 2, 18 + i * 2);
  u32(6 * block, 0xffff_ffff);
  u32(6 * block + 4, 19990903);
  u32(6 * block + 8, age);
  view.setUint16(6 * block + 58, 0x8664, true);
  return out;
}

export function makeImage(timeDateStamp: number, sizeOfImage: number, padding = 0): Uint8Array {
  const out = new Uint8Array(0x400 + padding);
  const view = new DataView(out.buffer);
  out[0] = 0x4d;
  out[1] = 0x5a;
  view.setUint32(0x3c, 0x80, true);
  view.setUint32(0x80, 0x4550, true);
  view.setUint16(0x84, 0x8664, true);
  view.setUint16(0x86, 1, true); // one section
  view.setUint32(0x88, timeDateStamp, true);
  view.setUint16(0x94, 240, true);
  view.setUint16(0x98, 0x20b, true);
  view.setUint32(0x98 + 32, 0x1000, true);
  view.setUint32(0x98 + 36, 0x200, true);
  view.setUint32(0x98 + 56, sizeOfImage, true);
  view.setUint32(0x98 + 60, 0x400, true);
  view.setUint32(0x98 + 108, 16, true);
  const section = 0x98 + 240;
  out.set(new TextEncoder().encode('.text'), section);
  view.setUint32(section + 8, 0x1000, true);
  view.setUint32(section + 12, 0x1000, true);
  view.setUint32(section + 16, padding, true);
  view.setUint32(section + 20, 0x400, true);
  return out;
}

/** A cabinet of one stored file. */
export function makeCab(name: string, data: Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += 0x8000) blocks.push(data.subarray(at, at + 0x8000));
  const files = 36 + 8;
  const dataAt = files + 16 + name.length + 1;
  const out = new Uint8Array(dataAt + blocks.reduce((sum, block) => sum + 8 + block.length, 0));
  const view = new DataView(out.buffer);
  out.set(new TextEncoder().encode('MSCF'));
  view.setUint32(8, out.length, true);
  view.setUint32(16, files, true);
  out[24] = 3;
  out[25] = 1;
  view.setUint16(26, 1, true);
  view.setUint16(28, 1, true);
  view.setUint32(36, dataAt, true);
  view.setUint16(40, blocks.length, true);
  view.setUint32(files, data.length, true);
  out.set(new TextEncoder().encode(name), files + 16);
  let at = dataAt;
  for (const block of blocks) {
    view.setUint16(at + 4, block.length, true);
    view.setUint16(at + 6, block.length, true);
    out.set(block, at + 8);
    at += 8 + block.length;
  }
  return out;
}
