/** Byte strings of PE and PDB files. The pure layers have no TextDecoder. */

const CHUNK = 4096;

function ascii(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= CHUNK) return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
  let out = '';
  for (let at = start; at < end; at += CHUNK) {
    out += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(end, at + CHUNK)) as unknown as number[]);
  }
  return out;
}

/** Decodes UTF-8; a byte that is no part of a valid sequence is taken as Latin-1 (old ANSI names). */
export function decodeUtf8(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let plain = true;
  for (let i = start; i < end; i++) {
    if ((bytes[i] ?? 0) >= 0x80) {
      plain = false;
      break;
    }
  }
  if (plain) return ascii(bytes, start, end);
  const out: string[] = [];
  let i = start;
  while (i < end) {
    const lead = bytes[i] ?? 0;
    const extra =
      lead >= 0xf0 && lead < 0xf5 ? 3 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xc2 && lead < 0xe0 ? 1 : 0;
    let point = extra === 3 ? lead & 7 : extra === 2 ? lead & 15 : extra === 1 ? lead & 31 : lead;
    let valid = i + extra < end;
    for (let k = 1; valid && k <= extra; k++) {
      const next = bytes[i + k] ?? 0;
      if ((next & 0xc0) !== 0x80) valid = false;
      point = (point << 6) | (next & 0x3f);
    }
    if (valid && extra > 0 && point <= 0x10ffff) {
      out.push(String.fromCodePoint(point));
      i += extra + 1;
    } else {
      out.push(String.fromCharCode(lead));
      i++;
    }
  }
  return out.join('');
}

/** Index of the first NUL at or after `start`, `limit` when there is none before it. */
export function findNul(bytes: Uint8Array, start: number, limit: number): number {
  const end = Math.min(limit, bytes.length);
  const at = bytes.indexOf(0, start);
  return at < 0 || at > end ? end : at;
}

/** A NUL-terminated name within `[start, limit)`. */
export function cString(bytes: Uint8Array, start: number, limit: number = bytes.length): string {
  return decodeUtf8(bytes, start, findNul(bytes, start, limit));
}

/** UTF-16LE up to a NUL unit or `limit`. */
export function utf16String(bytes: Uint8Array, start: number, limit: number): string {
  const units: number[] = [];
  for (let i = start; i + 1 < limit && i + 1 < bytes.length; i += 2) {
    const unit = (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8);
    if (unit === 0) break;
    units.push(unit);
  }
  let out = '';
  for (let i = 0; i < units.length; i += CHUNK) out += String.fromCharCode.apply(null, units.slice(i, i + CHUNK));
  return out;
}

const HEX = '0123456789ABCDEF';

/** The 16 bytes of a GUID as `{92146115-65FA-4C53-8FE7-24A797B860F7}` without braces. */
export function formatGuid(bytes: Uint8Array, at = 0): string {
  const order = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15];
  let out = '';
  for (const i of order) {
    if (i < 0) out += '-';
    else {
      const byte = bytes[at + i] ?? 0;
      out += HEX.charAt(byte >> 4) + HEX.charAt(byte & 15);
    }
  }
  return out;
}
