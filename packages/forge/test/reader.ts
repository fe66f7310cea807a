// A second reader, written from dumpformat.md alone and sharing nothing with the writers: what it cannot follow is wrong.

export interface ReadDump {
  readonly bytes: Uint8Array;
  readonly wide: boolean;
  readonly type: number;
  readonly dtb: bigint;
  readonly machine: number;
  readonly pae: boolean;
  readonly pages: Map<number, number>; // frame number -> file offset
  readonly end: number; // where the primary data ends
  readonly levels: 2 | 3 | 4 | 5;
  physical(pa: number, length: number): Uint8Array | null;
  virtual(va: bigint, length: number, dtb?: bigint): Uint8Array | null;
  u32(va: bigint, dtb?: bigint): number;
  pointer(va: bigint, dtb?: bigint): bigint;
}

function ascii(b: Uint8Array, at: number, n: number): string {
  return String.fromCharCode(...b.subarray(at, at + n));
}

/** Frames and their places in the file, by the container's own tables. */
function pageMap(b: Uint8Array, v: DataView, wide: boolean, type: number): { pages: Map<number, number>; end: number } {
  const start = wide ? 0x2000 : 0x1000;
  const pages = new Map<number, number>();
  const u64 = (at: number): number => Number(v.getBigUint64(at, true));
  if (type === 1) {
    const count = v.getUint32(wide ? 0x88 : 0x64, true);
    let at = start;
    for (let i = 0; i < count; i++) {
      const base = wide ? u64(0x98 + i * 16) : v.getUint32(0x6c + i * 8, true);
      const n = wide ? u64(0xa0 + i * 16) : v.getUint32(0x70 + i * 8, true);
      // A file that ends too early lacks the rest.
      for (let k = 0; k < n && at < b.length; k++, at += 4096) pages.set(base + k, at);
    }
    return { pages, end: at };
  }
  const signature = ascii(b, start, 8);
  if (type === 2 || type === 5 || type === 6 || type === 7) {
    if (signature !== (type === 5 ? 'FDMPDUMP' : 'SDMPDUMP')) throw new Error(`signature ${signature}`);
    const old = type === 2;
    let at = old ? v.getUint32(start + 0xc, true) : u64(start + 0x20);
    const bits = old ? v.getUint32(start + 0x10, true) : u64(start + 0x30);
    const present = old ? v.getUint32(start + 0x14, true) : u64(start + 0x28);
    const bitmap = start + (old ? (wide ? 0x28 : 0x20) : 0x38);
    if (bitmap + bits / 8 > at) throw new Error('the bitmap runs into the pages');
    for (let i = 0; i < bits; i++) {
      if (((b[bitmap + (i >> 3)] ?? 0) >> (i & 7)) & 1) {
        pages.set(i, at);
        at += 4096;
      }
    }
    if (pages.size !== present) throw new Error(`${pages.size} bits set, ${present} declared`);
    return { pages, end: at };
  }
  if (type === 8 || type === 9 || type === 0xa) {
    if (v.getUint32(start, true) !== 0x40 || ascii(b, start + 4, 8) !== 'RDMPDUMP') throw new Error('no RDMP');
    const first = u64(start + 0x18);
    if (u64(start + 0x10) - 0x20 !== first - 0x2040) throw new Error('MetadataSize');
    let at = first;
    const ranges = type === 0xa ? v.getUint32(start + 0x20, true) : Number.POSITIVE_INFINITY;
    for (let i = 0; i < ranges; i++) {
      const pfn = u64(start + 0x30 + i * 16);
      const n = u64(start + 0x38 + i * 16);
      if (type !== 0xa && pfn === 0 && n === 0) break;
      for (let k = 0; k < n; k++, at += 4096) pages.set(pfn + k, at);
    }
    return { pages, end: at };
  }
  throw new Error(`type ${type}`);
}

const ENTRY = { 2: 4, 3: 8, 4: 8, 5: 8 } as const;
const BITS = { 2: [10, 10], 3: [2, 9, 9], 4: [9, 9, 9, 9], 5: [9, 9, 9, 9, 9] } as const;

export function readDump(b: Uint8Array, levels?: 4 | 5): ReadDump {
  const v = new DataView(b.buffer, b.byteOffset, b.byteLength);
  const wide = ascii(b, 4, 4) === 'DU64';
  if (ascii(b, 0, 4) !== 'PAGE' || (!wide && ascii(b, 4, 4) !== 'DUMP')) throw new Error('signature');
  const type = v.getUint32(wide ? 0xf98 : 0xf88, true);
  const machine = v.getUint32(wide ? 0x30 : 0x20, true);
  const pae = !wide && b[0x5c] === 1;
  const dtb = wide ? v.getBigUint64(0x10, true) : BigInt(v.getUint32(0x10, true));
  const { pages, end } = pageMap(b, v, wide, type);
  const depth = wide ? (levels ?? 4) : pae ? 3 : 2;

  const physical = (pa: number, length: number): Uint8Array | null => {
    const at = pages.get(Math.floor(pa / 4096));
    if (at === undefined || at + 4096 > b.length) return null;
    return b.subarray(at + (pa % 4096), at + (pa % 4096) + length);
  };
  const entryAt = (pa: number): bigint | null => {
    const raw = physical(pa, ENTRY[depth]);
    if (raw === null) return null;
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    return ENTRY[depth] === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  };
  const translate = (va: bigint, base: bigint): number | null => {
    let table = Number(depth === 3 ? base & 0xffffffe0n : base & 0xffffffffff000n);
    let shift = 12 + BITS[depth].reduce<number>((sum, n) => sum + n, 0);
    for (let level = 0; level < depth; level++) {
      const bits = BITS[depth][level] ?? 0;
      shift -= bits;
      const index = Number((va >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n));
      const entry = entryAt(table + index * ENTRY[depth]);
      if (entry === null) return null;
      const valid = (entry & 1n) === 1n;
      if (machine === 0xaa64) {
        if (!valid) return null;
        const frame = Number(entry & 0xfffffffff000n);
        if ((entry & 2n) === 0n || level === depth - 1) {
          return (level === depth - 1) === ((entry & 2n) !== 0n)
            ? frame + Number(va & ((1n << BigInt(shift)) - 1n))
            : null;
        }
        table = frame;
        continue;
      }
      if (!valid) {
        const soft = level === depth - 1 ? entry : 0n;
        // Transition: not valid, not prototype, bit 11 set; the page is still there.
        if ((soft & 0xc01n) === 0x800n) {
          return Number(soft & (depth === 2 ? 0xfffff000n : 0x3ffffff000n)) + Number(va & 0xfffn);
        }
        return null;
      }
      const frame = Number(entry & (depth === 2 ? 0xfffff000n : 0xffffffffff000n));
      const large = (entry & 0x80n) !== 0n && level < depth - 1 && !(depth === 3 && level === 0);
      if (large || level === depth - 1) {
        const offset = Number(va & ((1n << BigInt(shift)) - 1n));
        return Math.floor(frame / 2 ** shift) * 2 ** shift + offset;
      }
      table = frame;
    }
    return null;
  };
  const virtual = (va: bigint, length: number, base: bigint = dtb): Uint8Array | null => {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const here = va + BigInt(done);
      const count = Math.min(length - done, 4096 - Number(here & 0xfffn));
      const pa = translate(here, base);
      const part = pa === null ? null : physical(pa, count);
      if (part === null) return null;
      out.set(part, done);
      done += count;
    }
    return out;
  };
  const integer = (va: bigint, size: number, base?: bigint): bigint => {
    const raw = virtual(va, size, base);
    if (raw === null) throw new Error(`${va.toString(16)} cannot be read`);
    const view = new DataView(raw.buffer);
    return size === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  };
  return {
    bytes: b,
    wide,
    type,
    dtb,
    machine,
    pae,
    pages,
    end,
    levels: depth,
    physical,
    virtual,
    u32: (va, base) => Number(integer(va, 4, base)),
    pointer: (va, base) => integer(va, wide ? 8 : 4, base),
  };
}

/** Follows a list by Flink and back by Blink; throws when the two do not agree. */
export function walkList(dump: ReadDump, head: bigint): bigint[] {
  const size = dump.wide ? 8n : 4n;
  const out: bigint[] = [];
  let at = dump.pointer(head);
  let from = head;
  while (at !== head) {
    if (out.length > 100000) throw new Error('a list without end');
    if (dump.pointer(at + size) !== from) throw new Error(`${at.toString(16)} does not link back`);
    out.push(at);
    from = at;
    at = dump.pointer(at);
  }
  if (dump.pointer(head + size) !== from) throw new Error('the head does not link back');
  return out;
}

export interface ReadTriage {
  readonly wide: boolean;
  readonly context: Uint8Array;
  readonly kdbg: Uint8Array;
  /** Bytes of the file from a structure's offset on. */
  readonly prcb: number;
  readonly process: number;
  readonly thread: number;
  readonly topOfStack: bigint;
  readonly stack: Uint8Array;
  readonly drivers: readonly {
    readonly name: string;
    readonly base: bigint;
    readonly size: number;
    readonly stamp: number;
  }[];
  readonly unloaded: readonly { readonly name: string; readonly start: bigint; readonly end: bigint }[];
  readonly blocks: readonly { readonly at: bigint; readonly bytes: Uint8Array }[];
  readonly end: number;
}

/** A triage dump by dumpformat.md, 8: every part inside SizeOfDump, none overlapping the header, `TRGD` at its end. */
export function readTriage(b: Uint8Array): ReadTriage {
  const v = new DataView(b.buffer, b.byteOffset, b.byteLength);
  const wide = ascii(b, 4, 4) === 'DU64';
  const t = wide ? 0x2000 : 0x1000;
  const p = wide ? 8 : 4;
  const u = (at: number): number => v.getUint32(at, true);
  const ptr = (at: number): bigint => (wide ? v.getBigUint64(at, true) : BigInt(u(at)));
  if (u(wide ? 0xf98 : 0xf88) !== 4) throw new Error('not of type 4');
  const end = u(t + 4);
  if (ascii(b, u(t + 8), 4) !== 'TRGD' || u(t + 8) + 4 !== end || end > b.length) throw new Error('TRGD');
  const part = (at: number, size: number): Uint8Array => {
    if (at < t || at + size > end) throw new Error(`${at.toString(16)} + ${size.toString(16)} lies outside the dump`);
    return b.subarray(at, at + size);
  };
  const utf16 = (at: number, units: number): string =>
    String.fromCharCode(...Array.from({ length: units }, (_, i) => v.getUint16(at + i * 2, true)));
  const dumpString = (at: number): string => {
    const pool = u(t + 0x38);
    if (at < pool || at + 4 + u(at) * 2 > pool + u(t + 0x3c)) throw new Error('a name outside the string pool');
    return utf16(at + 4, u(at));
  };
  const count = u(t + 0x34);
  const stride = wide ? 0x90 : 0x4c;
  part(u(t + 0x30), count * stride);
  const drivers = Array.from({ length: count }, (_, i) => {
    const at = u(t + 0x30) + i * stride; // DUMP_DRIVER_ENTRY: name offset, then the KLDR_DATA_TABLE_ENTRY
    const kldr = at + p;
    return {
      name: dumpString(u(at)),
      base: ptr(kldr + (wide ? 0x30 : 0x18)),
      size: u(kldr + (wide ? 0x40 : 0x20)),
      stamp: u(kldr + (wide ? 0x80 : 0x44)),
    };
  });
  const list = u(t + 0x18);
  const each = wide ? 0x38 : 0x28;
  const unloaded = Array.from({ length: u(list) }, (_, i) => {
    const at = list + p + i * each;
    return {
      name: utf16(at + 2 * p, v.getUint16(at, true) / 2),
      start: ptr(at + 2 * p + 24),
      end: ptr(at + 3 * p + 24),
    };
  });
  const table = u(t + (wide ? 0x78 : 0x60));
  const blocks = Array.from({ length: u(t + (wide ? 0x7c : 0x64)) }, (_, i) => {
    const address = v.getBigUint64(table + i * 16, true);
    return {
      at: wide ? address : address & 0xffffffffn,
      bytes: part(u(table + i * 16 + 8), u(table + i * 16 + 12)),
    };
  });
  const kdbgAt = u(t + (wide ? 0x70 : 0x58));
  return {
    wide,
    context: b.subarray(u(t + 0xc), u(t + 0xc) + (wide ? 0x390 : 0x2cc)),
    kdbg: part(kdbgAt, u(t + (wide ? 0x74 : 0x5c))),
    prcb: u(t + 0x1c),
    process: u(t + 0x20),
    thread: u(t + 0x24),
    topOfStack: ptr(t + 0x48),
    stack: part(u(t + 0x28), u(t + 0x2c)),
    drivers,
    unloaded,
    blocks,
    end,
  };
}
