import xz from 'xz-decompress';
import { checkXz } from './xz-check.ts';

const MAXIMUM_DICTIONARY = 1 << 27;

/** The dictionary that the first block asks for, in bytes; null when the header is not understood. */
function dictionarySize(bytes: Uint8Array): number | null {
  // 12 bytes of stream header; block header: size, flags, [compressed size], [uncompressed size], filters.
  const flags = bytes[13];
  if (flags === undefined) return null;
  let at = 14;
  const skipNumber = (): void => {
    while ((bytes[at] ?? 0) >= 0x80) at++;
    at++;
  };
  if (flags & 0x40) skipNumber();
  if (flags & 0x80) skipNumber();
  for (let filters = (flags & 3) + 1; filters > 0; filters--) {
    const id = bytes[at];
    const size = bytes[at + 1];
    if (id === undefined || size === undefined || id >= 0x80 || size >= 0x80) return null;
    if (id === 0x21) {
      const bits = bytes[at + 2] ?? 0xff;
      return bits > 39 ? 0xffff_ffff : (2 | (bits & 1)) * 2 ** (Math.floor(bits / 2) + 11);
    }
    at += 2 + size;
  }
  return null;
}

export const isXz = (bytes: Uint8Array): boolean =>
  [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0].every((byte, index) => bytes[index] === byte);

/**
 * Expands an .xz file that is in memory. Rejects with one line when it is damaged, truncated, larger than `maximum` bytes
 * when expanded, or asks for a dictionary of more than 128 MiB.
 */
export async function expandXz(bytes: Uint8Array, maximum: number): Promise<Uint8Array> {
  if (!isXz(bytes)) throw new Error('no .xz file: the signature is missing');
  const dictionary = dictionarySize(bytes);
  if (dictionary !== null && dictionary > MAXIMUM_DICTIONARY) {
    throw new Error(`the .xz file asks for a dictionary of ${dictionary} bytes`);
  }
  const input = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const reader = new xz.XzReadableStream(input).getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    let step: { done: boolean; value?: Uint8Array | undefined };
    try {
      step = await reader.read();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`the .xz file is damaged or truncated after ${total} expanded bytes (${why})`);
    }
    if (step.done || !step.value) break;
    total += step.value.length;
    if (total > maximum) {
      await reader.cancel();
      throw new Error(`the .xz file expands to more than ${maximum} bytes`);
    }
    chunks.push(step.value);
  }
  const out = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  const wrong = checkXz(bytes, out);
  if (wrong !== null) throw new Error(`the .xz file is damaged: ${wrong}`);
  return out;
}
