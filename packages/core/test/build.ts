/**
 * Small dump writers for these tests, written from the format notes and apart from the readers. Offsets are spelled
 * out on purpose.
 */
import { bytesSource, type Dump, type OpenOptions, openDump } from '../src/index.ts';

export const PAGE = 0x1000;

/** Bytes that grow as they are written. */
export class Image {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  constructor(size = 0, fill: 'zero' | 'page' = 'zero') {
    this.size(size);
    if (fill === 'page') for (let i = 0; i < size; i++) this.bytes[i] = 'PAGE'.charCodeAt(i & 3);
  }

  size(length: number): void {
    if (length <= this.bytes.length) return;
    const larger = new Uint8Array(length);
    larger.set(this.bytes);
    this.bytes = larger;
  }

  get view(): DataView {
    return new DataView(this.bytes.buffer);
  }

  u8(at: number, value: number): this {
    this.size(at + 1);
    this.bytes[at] = value;
    return this;
  }

  u32(at: number, value: number): this {
    this.size(at + 4);
    this.view.setUint32(at, value, true);
    return this;
  }

  u64(at: number, value: bigint | number): this {
    this.size(at + 8);
    this.view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    return this;
  }

  text(at: number, text: string): this {
    this.size(at + text.length);
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
    return this;
  }

  put(at: number, bytes: Uint8Array): this {
    this.size(at + bytes.length);
    this.bytes.set(bytes, at);
    return this;
  }
}

export interface HeaderFields {
  readonly type: number;
  readonly dtb?: number;
  readonly build?: number;
  readonly machine?: number;
  readonly pae?: number;
  readonly kdbg?: bigint;
  readonly modules?: bigint;
  readonly processes?: bigint;
  readonly runs?: readonly (readonly [number, number])[];
  readonly required?: number;
}

export function header64(f: HeaderFields): Image {
  const h = new Image(0x2000, 'page')
    .text(0, 'PAGEDU64')
    .u32(0x08, 15)
    .u32(0x0c, f.build ?? 19041);
  h.u64(0x10, f.dtb ?? 0x1000).u64(0x18, 0xfffffa8000000000n);
  h.u64(0x20, f.modules ?? 0xfffff80000001000n).u64(0x28, f.processes ?? 0xfffff80000002000n);
  h.u32(0x30, f.machine ?? 0x8664)
    .u32(0x34, 2)
    .u32(0x38, 0xe2);
  for (let i = 0; i < 4; i++) h.u64(0x40 + 8 * i, 0x1111n * BigInt(i));
  h.u64(0x80, f.kdbg ?? 0xfffff80000003000n);
  if (f.runs) {
    h.u32(0x88, f.runs.length).u64(
      0x90,
      f.runs.reduce((sum, [, count]) => sum + count, 0),
    );
    for (const [i, [base, count]] of f.runs.entries()) h.u64(0x98 + 16 * i, base).u64(0xa0 + 16 * i, count);
  }
  h.u32(0xf98, f.type).u64(0xfa8, 132500000000000000n).u64(0x1030, 600000000n);
  if (f.required !== undefined) h.u64(0xfa0, f.required);
  return h;
}

export function header32(f: HeaderFields): Image {
  const h = new Image(0x1000, 'page')
    .text(0, 'PAGEDUMP')
    .u32(0x08, 15)
    .u32(0x0c, f.build ?? 2600);
  h.u32(0x10, f.dtb ?? 0x1000).u32(0x14, 0x81000000);
  h.u32(0x18, Number(f.modules ?? 0x80001000n)).u32(0x1c, Number(f.processes ?? 0x80002000n));
  h.u32(0x20, f.machine ?? 0x14c)
    .u32(0x24, 1)
    .u32(0x28, 0xd1);
  for (let i = 0; i < 4; i++) h.u32(0x2c + 4 * i, 0x1111 * i);
  h.u8(0x5c, f.pae ?? 0).u32(0x60, Number(f.kdbg ?? 0x80003000n));
  if (f.runs) {
    h.u32(0x64, f.runs.length).u32(
      0x68,
      f.runs.reduce((sum, [, count]) => sum + count, 0),
    );
    for (const [i, [base, count]] of f.runs.entries()) h.u32(0x6c + 8 * i, base).u32(0x70 + 8 * i, count);
  }
  h.u32(0xf88, f.type).u64(0xfb8, 600000000n).u64(0xfc0, 132500000000000000n);
  if (f.required !== undefined) h.u64(0xfa0, f.required);
  return h;
}

/** Physical memory under construction: pages by number. */
export class Ram {
  readonly pages: Map<number, Image> = new Map();

  page(pfn: number): Image {
    let page = this.pages.get(pfn);
    if (page === undefined) {
      page = new Image(PAGE);
      this.pages.set(pfn, page);
    }
    return page;
  }

  u32(pa: number, value: number): this {
    this.page(Math.floor(pa / PAGE)).u32(pa % PAGE, value);
    return this;
  }

  u64(pa: number, value: bigint): this {
    this.page(Math.floor(pa / PAGE)).u64(pa % PAGE, value);
    return this;
  }

  /** A page whose bytes tell its number. */
  marked(pfn: number): this {
    const page = this.page(pfn);
    for (let i = 0; i < PAGE; i += 8) page.u64(i, BigInt(pfn) * 0x1000n + BigInt(i));
    return this;
  }

  get numbers(): number[] {
    return [...this.pages.keys()].sort((a, b) => a - b);
  }

  runs(): [number, number][] {
    const runs: [number, number][] = [];
    for (const pfn of this.numbers) {
      const last = runs[runs.length - 1];
      if (last && last[0] + last[1] === pfn) last[1]++;
      else runs.push([pfn, 1]);
    }
    return runs;
  }
}

function append(image: Image, ram: Ram, order: readonly number[], first: number): Image {
  for (const [i, pfn] of order.entries()) image.put(first + i * PAGE, ram.page(pfn).bytes);
  return image;
}

export function fullDump(ram: Ram, fields: Omit<HeaderFields, 'type'>, wide = true): Image {
  const runs = fields.runs ?? ram.runs();
  const header = (wide ? header64 : header32)({ ...fields, type: 1, runs });
  const order = runs.flatMap(([base, count]) => Array.from({ length: count }, (_, i) => base + i));
  return append(header, ram, order, wide ? 0x2000 : 0x1000);
}

function bitmapOf(ram: Ram, bits: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits / 8));
  for (const pfn of ram.numbers) bytes[pfn >> 3] = (bytes[pfn >> 3] ?? 0) | (1 << (pfn & 7));
  return bytes;
}

export function bitmapDump(ram: Ram, fields: HeaderFields, wide = true, signature = 'SDMP'): Image {
  const image = (wide ? header64 : header32)(fields);
  const base = wide ? 0x2000 : 0x1000;
  const bits = Math.max(...ram.numbers) + 1;
  const first = base + Math.ceil((0x38 + bits / 8) / PAGE) * PAGE;
  image
    .text(base, `${signature}DUMP`)
    .u32(base + 8, 0)
    .u64(base + 0x20, first);
  image.u64(base + 0x28, ram.pages.size).u64(base + 0x30, bits);
  image.put(base + 0x38, bitmapOf(ram, bits));
  return append(image, ram, ram.numbers, first);
}

export function summaryDump(ram: Ram, fields: HeaderFields, wide: boolean, pagesFirst = false): Image {
  const image = (wide ? header64 : header32)(fields);
  const base = wide ? 0x2000 : 0x1000;
  const bits = Math.max(...ram.numbers) + 1;
  const first = base + Math.ceil((0x28 + bits / 8) / PAGE) * PAGE;
  image.text(base, 'SDMPDUMP').u32(base + 0xc, first);
  image.u32(base + (pagesFirst ? 0x14 : 0x10), bits).u32(base + (pagesFirst ? 0x10 : 0x14), ram.pages.size);
  image.u32(base + 0x18, bits).put(base + (wide ? 0x28 : 0x20), bitmapOf(ram, bits));
  return append(image, ram, ram.numbers, first);
}

export function rangeDump(ram: Ram, fields: HeaderFields, ranges: readonly (readonly [number, number])[]): Image {
  const image = header64(fields);
  const metadata = 0x10 + Math.ceil((ranges.length + 1) / 16) * 256;
  const first = 0x2020 + metadata;
  image.u32(0x2000, 0x40).text(0x2004, 'RDMPDUMP').u64(0x2010, metadata).u64(0x2018, first);
  if (fields.type === 0xa) {
    image.u32(0x2020, ranges.length).u64(
      0x2028,
      ranges.reduce((sum, [, count]) => sum + count, 0),
    );
  } else {
    image.u64(0x2020, 0x1234n).u64(0x2028, 0x5678n);
  }
  for (const [i, [base, count]] of ranges.entries()) image.u64(0x2030 + 16 * i, base).u64(0x2038 + 16 * i, count);
  image.size(first);
  const order = ranges.flatMap(([base, count]) => Array.from({ length: count }, (_, i) => base + i));
  return append(image, ram, order, first);
}

export interface TriageParts {
  readonly stack?: { readonly address: bigint; readonly bytes: Uint8Array };
  readonly dataPage?: { readonly address: bigint; readonly bytes: Uint8Array };
  readonly blocks?: readonly { readonly address: bigint; readonly bytes: Uint8Array }[];
  readonly drivers?: readonly { readonly name: string; readonly base: bigint; readonly size: number }[];
  readonly unloaded?: readonly { readonly name: string; readonly start: bigint; readonly end: bigint }[];
  readonly kdbg?: Uint8Array;
  readonly context?: Uint8Array;
  readonly driverStride?: number;
  readonly blockStride?: 12 | 16;
  readonly blobs?: readonly { readonly tag: Uint8Array; readonly bytes: Uint8Array }[];
}

export function triageDump(parts: TriageParts, fields: Partial<HeaderFields> = {}, wide = true): Image {
  const image = (wide ? header64 : header32)({ ...fields, type: 4 });
  const base = wide ? 0x2000 : 0x1000;
  const tail = base + (wide ? 0x68 : 0x50);
  const pointer = (at: number, value: bigint): void => {
    if (wide) image.u64(at, value);
    else image.u32(at, Number(value));
  };
  image.size(base + 0x80);
  image.bytes.fill(0, base);
  let end = base + 0x80;
  const place = (bytes: Uint8Array): number => {
    const at = end;
    image.put(at, bytes);
    end = Math.ceil((at + bytes.length) / 8) * 8;
    return at;
  };
  image.u32(base + 0x0c, parts.context ? place(parts.context) : wide ? 0x348 : 0x320);
  image.u32(base + 0x10, wide ? 0xf00 : 0x7d0).u32(base + 0x44, 0xffffffff);
  if (parts.stack) {
    image.u32(base + 0x28, place(parts.stack.bytes)).u32(base + 0x2c, parts.stack.bytes.length);
    pointer(base + 0x48, parts.stack.address);
  }
  if (parts.dataPage) {
    pointer(base + (wide ? 0x60 : 0x4c), parts.dataPage.address);
    image.u32(tail, place(parts.dataPage.bytes)).u32(tail + 4, parts.dataPage.bytes.length);
  }
  if (parts.kdbg) image.u32(tail + 8, place(parts.kdbg)).u32(tail + 12, parts.kdbg.length);
  if (parts.unloaded) {
    const stride = wide ? 0x38 : 0x28;
    const list = place(new Uint8Array((wide ? 8 : 4) + stride * parts.unloaded.length));
    image.u32(base + 0x18, list).u32(list, parts.unloaded.length);
    for (const [i, driver] of parts.unloaded.entries()) {
      const at = list + (wide ? 8 : 4) + i * stride;
      image.u32(at, driver.name.length * 0x20002);
      const name = at + (wide ? 16 : 8);
      for (let c = 0; c < 12; c++) image.u8(name + 2 * c, driver.name.charCodeAt(c) || 0);
      pointer(name + 24, driver.start);
      pointer(name + 24 + (wide ? 8 : 4), driver.end);
    }
  }
  if (parts.drivers) {
    const stride = parts.driverStride ?? (wide ? 0x90 : 0x4c);
    const list = place(new Uint8Array(stride * parts.drivers.length));
    image.u32(base + 0x30, list).u32(base + 0x34, parts.drivers.length);
    const pool = end;
    for (const [i, driver] of parts.drivers.entries()) {
      const string = new Image(4 + 2 * driver.name.length + 2).u32(0, driver.name.length);
      for (let c = 0; c < driver.name.length; c++) string.u8(4 + 2 * c, driver.name.charCodeAt(c));
      const at = list + i * stride;
      image.u32(at, place(string.bytes));
      pointer(at + (wide ? 0x38 : 0x1c), driver.base);
      image.u32(at + (wide ? 0x48 : 0x24), driver.size).u32(at + (wide ? 0x80 : 0x44), 0xc0ffee);
      image.u32(at + (wide ? 0x88 : 0x48), 0x5a5a0000 + i);
    }
    image.u32(base + 0x38, pool).u32(base + 0x3c, end - pool);
  }
  if (parts.blocks) {
    const stride = parts.blockStride ?? 16;
    const table = place(new Uint8Array(stride * parts.blocks.length));
    image.u32(tail + 16, table).u32(tail + 20, parts.blocks.length);
    for (const [i, block] of parts.blocks.entries()) {
      const at = table + i * stride;
      if (stride === 16) image.u64(at, block.address);
      else image.u32(at, Number(block.address));
      image.u32(at + stride - 8, place(block.bytes)).u32(at + stride - 4, block.bytes.length);
    }
  }
  image
    .text(end, 'TRGD')
    .u32(base + 0x08, end)
    .u32(base + 0x04, end + 4);
  if (parts.blobs) {
    let at = end + 4;
    image
      .text(at, 'DumpBlob')
      .u32(at + 8, 16)
      .u32(at + 12, 0xf0004a61);
    at += 16;
    for (const blob of parts.blobs) {
      const post = (8 - (blob.bytes.length % 8)) % 8;
      image
        .u32(at, 32)
        .put(at + 4, blob.tag)
        .u32(at + 20, blob.bytes.length)
        .u32(at + 24, 0)
        .u32(at + 28, post);
      image.put(at + 32, blob.bytes);
      at += 32 + blob.bytes.length + post;
      image.size(at);
    }
  }
  return image;
}

export function open(image: Image | Uint8Array, options?: OpenOptions): Dump {
  return openDump(bytesSource(image instanceof Image ? image.bytes : image, 'test.dmp'), options);
}

/** Deterministic pseudo-random numbers (mulberry32), each in [0, 2^32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}
