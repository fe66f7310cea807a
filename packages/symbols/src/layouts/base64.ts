const decode = new Uint8Array(128);
'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.split('').forEach((c, i) => {
  decode[c.charCodeAt(0)] = i;
});

/** Bytes of unpadded base64; the pure layers know neither Buffer nor atob. */
export function bytesOfBase64(text: string): Uint8Array {
  const length = text.length;
  const out = new Uint8Array(Math.floor((length * 3) / 4));
  let at = 0;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const bits =
      ((decode[text.charCodeAt(i)] ?? 0) << 18) |
      ((decode[text.charCodeAt(i + 1)] ?? 0) << 12) |
      ((decode[text.charCodeAt(i + 2)] ?? 0) << 6) |
      (decode[text.charCodeAt(i + 3)] ?? 0);
    out[at++] = bits >> 16;
    out[at++] = bits >> 8;
    out[at++] = bits;
  }
  if (i < length) {
    let bits = 0;
    for (let k = 0; k < 4; k++) bits = (bits << 6) | (i + k < length ? (decode[text.charCodeAt(i + k)] ?? 0) : 0);
    for (let k = 16; at < out.length; k -= 8) out[at++] = bits >> k;
  }
  return out;
}

/** A string of Latin-1 bytes. */
export function textOfLatin1(bytes: Uint8Array): string {
  let out = '';
  for (let at = 0; at < bytes.length; at += 0x2000) {
    out += String.fromCharCode.apply(null, bytes.subarray(at, at + 0x2000) as unknown as number[]);
  }
  return out;
}
