// Dead-function elimination for a WebAssembly module: keeps every index, so nothing is renumbered. Functions that the kept
// exports, the start function and the element segments cannot reach get the body `unreachable`; other exports and
// custom sections go.

class Reader {
  constructor(bytes, position = 0) {
    this.bytes = bytes;
    this.position = position;
  }

  u8() {
    return this.bytes[this.position++];
  }

  /** Unsigned LEB128 of up to 32 bits. */
  u32() {
    let result = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      result += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return result;
    }
  }

  /** Skips a LEB128 of any width. */
  skipLeb() {
    while (this.u8() >= 0x80);
  }

  name() {
    const length = this.u32();
    const text = new TextDecoder().decode(this.bytes.subarray(this.position, this.position + length));
    this.position += length;
    return text;
  }
}

function leb(value) {
  const out = [];
  do {
    out.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return out;
}

/** Calls `visit(function)` for every direct call and function reference of one body. */
function scanBody(bytes, start, end, visit) {
  const r = new Reader(bytes, start);
  for (let groups = r.u32(); groups > 0; groups--) {
    r.u32();
    r.u8();
  }
  while (r.position < end) {
    const op = r.u8();
    if (op === 0x10 || op === 0xd2) visit(r.u32());
    else if (op >= 0x02 && op <= 0x04) r.skipLeb();
    else if (op === 0x0c || op === 0x0d || (op >= 0x20 && op <= 0x26)) r.u32();
    else if (op === 0x0e) for (let n = r.u32() + 1; n > 0; n--) r.u32();
    else if (op === 0x11) {
      r.u32();
      r.u32();
    } else if (op >= 0x28 && op <= 0x3e) {
      r.u32();
      r.u32();
    } else if (op === 0x3f || op === 0x40) r.u8();
    else if (op === 0x41 || op === 0x42) r.skipLeb();
    else if (op === 0x43) r.position += 4;
    else if (op === 0x44) r.position += 8;
    else if (op === 0x1c) for (let n = r.u32(); n > 0; n--) r.u8();
    else if (op === 0xd0) r.u8();
    else if (op === 0xfc) {
      const sub = r.u32();
      if (sub === 8 || sub === 10 || sub === 12 || sub === 14) {
        r.u32();
        r.u32();
      } else if (sub >= 9 && sub <= 17) r.u32();
    } else if (op === 0xfd || op === 0xfe || (op > 0xc4 && op < 0xd0))
      throw new Error(`opcode ${op.toString(16)} is not handled`);
  }
  if (r.position !== end) throw new Error('a function body was misread');
}

/**
 * @param {Uint8Array} bytes
 * @param {string[]} keepExports
 */
export function stripWasm(bytes, keepExports) {
  const keep = new Set(keepExports);
  const r = new Reader(bytes, 8);
  const sections = [];
  while (r.position < bytes.length) {
    const id = r.u8();
    const size = r.u32();
    sections.push({ id, start: r.position, end: r.position + size });
    r.position += size;
  }
  const at = (id) => sections.find((s) => s.id === id);
  let importedFunctions = 0;
  const roots = [];
  const exports = [];
  const bodies = [];

  const importSection = at(2);
  if (importSection) {
    r.position = importSection.start;
    for (let n = r.u32(); n > 0; n--) {
      r.name();
      r.name();
      const kind = r.u8();
      if (kind === 0) {
        importedFunctions++;
        r.u32();
      } else if (kind === 3) r.position += 2;
      else {
        if (kind === 1) r.u8();
        const limits = r.u8();
        r.u32();
        if (limits & 1) r.u32();
      }
    }
  }
  r.position = at(7).start;
  for (let n = r.u32(); n > 0; n--) {
    const start = r.position;
    const name = r.name();
    const kind = r.u8();
    const index = r.u32();
    if (!keep.delete(name)) continue;
    exports.push(bytes.subarray(start, r.position));
    if (kind === 0) roots.push(index);
  }
  if (keep.size) throw new Error(`no such export: ${[...keep].join(', ')}`);
  if (at(8)) {
    r.position = at(8).start;
    roots.push(r.u32());
  }
  if (at(9)) {
    r.position = at(9).start;
    for (let n = r.u32(); n > 0; n--) {
      if (r.u8() !== 0) throw new Error('only active element segments of table 0 are handled');
      r.u8();
      r.skipLeb();
      r.u8();
      for (let count = r.u32(); count > 0; count--) roots.push(r.u32());
    }
  }
  r.position = at(10).start;
  for (let n = r.u32(); n > 0; n--) {
    const size = r.u32();
    bodies.push({ start: r.position, end: r.position + size });
    r.position += size;
  }

  const live = new Set();
  const pending = [...roots];
  while (pending.length) {
    const index = pending.pop();
    if (live.has(index)) continue;
    live.add(index);
    const body = bodies[index - importedFunctions];
    if (body) scanBody(bytes, body.start, body.end, (callee) => live.has(callee) || pending.push(callee));
  }

  const out = [bytes.subarray(0, 8)];
  const push = (id, parts) => {
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    out.push([id], leb(size), ...parts);
  };
  for (const section of sections) {
    if (section.id === 0) continue;
    if (section.id === 7) push(7, [leb(exports.length), ...exports]);
    else if (section.id === 10) {
      const parts = [leb(bodies.length)];
      bodies.forEach((body, i) => {
        if (live.has(i + importedFunctions))
          parts.push(leb(body.end - body.start), bytes.subarray(body.start, body.end));
        else parts.push([3, 0, 0x00, 0x0b]);
      });
      push(10, parts);
    } else push(section.id, [bytes.subarray(section.start, section.end)]);
  }
  const total = out.reduce((sum, part) => sum + part.length, 0);
  const result = new Uint8Array(total);
  let position = 0;
  for (const part of out) {
    result.set(part, position);
    position += part.length;
  }
  return result;
}
