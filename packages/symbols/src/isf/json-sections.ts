import { decodeUtf8 } from '../pe/text.ts';
import { IsfError } from './isf-error.ts';

/** A JSON object of which a member is looked at only when it is asked for. */
export interface JsonSection {
  keys(): Iterable<string>;
  has(name: string): boolean;
  /** The parsed member; undefined when there is none. Throws IsfError where the text of the member is no JSON. */
  get(name: string): unknown;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object that is already parsed. Names such as `__proto__` are names like any other. */
export class ObjectSection implements JsonSection {
  readonly #object: Readonly<Record<string, unknown>>;

  constructor(object: Readonly<Record<string, unknown>>) {
    this.#object = object;
  }

  keys(): Iterable<string> {
    return Object.keys(this.#object);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  get(name: string): unknown {
    return this.has(name) ? this.#object[name] : undefined;
  }
}

/**
 * The object at `start` in JSON bytes. Its members are found by brackets and quotes alone, which costs a fraction of
 * parsing them: a file of 6 MB has 40,000 symbols of which a run needs one structure.
 */
export class TextSection implements JsonSection {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  readonly #extents: Map<string, readonly [number, number]>;
  /** Behind the closing brace. */
  readonly end: number;

  constructor(bytes: Uint8Array, start: number, name: string) {
    this.#bytes = bytes;
    this.#name = name;
    this.#extents = new Map();
    let at = skipSpace(bytes, start);
    if (bytes[at] !== 0x7b) throw this.#error(at, 'an object should begin here');
    at = skipSpace(bytes, at + 1);
    if (bytes[at] === 0x7d) {
      this.end = at + 1;
      return;
    }
    for (;;) {
      if (bytes[at] !== QUOTE) throw this.#error(at, 'a name in quotes should stand here');
      const keyEnd = skipString(bytes, at);
      if (keyEnd < 0) throw this.#error(at, 'the text ends in a name');
      const key = this.#key(at, keyEnd);
      at = skipSpace(bytes, keyEnd);
      if (bytes[at] !== 0x3a) throw this.#error(at, `a colon should follow ${key.slice(0, 60)}`);
      at = skipSpace(bytes, at + 1);
      const end = skipValue(bytes, at);
      if (end < 0) throw this.#error(at, `the text ends in the value of ${key.slice(0, 60)}`);
      if (end === at) throw this.#error(at, `a value should follow ${key.slice(0, 60)}`);
      this.#extents.set(key, [at, end]);
      at = skipSpace(bytes, end);
      const next = bytes[at];
      if (next === 0x7d) {
        this.end = at + 1;
        return;
      }
      if (next !== 0x2c) throw this.#error(at, 'a comma or a closing brace should stand here');
      at = skipSpace(bytes, at + 1);
    }
  }

  keys(): Iterable<string> {
    return this.#extents.keys();
  }

  has(name: string): boolean {
    return this.#extents.has(name);
  }

  /** A member that is an object itself, unparsed; undefined when it is absent or something else. */
  section(name: string): TextSection | undefined {
    const extent = this.#extents.get(name);
    if (!extent || this.#bytes[extent[0]] !== 0x7b) return undefined;
    return new TextSection(this.#bytes, extent[0], `${this.#name}: ${name}`);
  }

  get(name: string): unknown {
    const extent = this.#extents.get(name);
    if (!extent) return undefined;
    try {
      return JSON.parse(decodeUtf8(this.#bytes, extent[0], extent[1]));
    } catch (error) {
      throw new IsfError(`${this.#name}: ${name.slice(0, 60)} is no JSON: ${oneLine(error)}`);
    }
  }

  #key(start: number, end: number): string {
    const text = decodeUtf8(this.#bytes, start + 1, end - 1);
    if (!text.includes('\\')) return text;
    try {
      return JSON.parse(`"${text}"`) as string;
    } catch {
      throw this.#error(start, 'a name has an escape that is not JSON');
    }
  }

  #error(at: number, what: string): IsfError {
    const where = at >= this.#bytes.length ? 'at the end of the text' : `at byte ${at}`;
    return new IsfError(`${this.#name}: no JSON: ${what} (${where})`);
  }
}

export function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 160);
}

export function skipSpace(bytes: Uint8Array, at: number): number {
  for (;;) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at++;
  }
}

/** Behind the closing quote of the string at `at`; -1 when there is none. */
function skipString(bytes: Uint8Array, at: number): number {
  for (at++; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) at++;
  }
  return -1;
}

/** Behind the value at `at`; -1 when the text ends in it, `at` when there is no value. */
function skipValue(bytes: Uint8Array, at: number): number {
  const first = bytes[at];
  if (first === QUOTE) return skipString(bytes, at);
  const length = bytes.length;
  if (first !== 0x7b && first !== 0x5b) {
    for (; at < length; at++) {
      const byte = bytes[at];
      // , } ] and white space end a number or a word
      if (byte === 0x2c || byte === 0x7d || byte === 0x5d || byte === undefined || byte <= 0x20) return at;
    }
    return -1;
  }
  let depth = 0;
  for (; at < length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      for (at++; at < length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (byte >= 0x5b) {
      // { and [ against } and ]: which of the two is a matter for the parser of this member.
      if (byte === 0x7b || byte === 0x5b) depth++;
      else if ((byte === 0x7d || byte === 0x5d) && --depth === 0) return at + 1;
    }
  }
  return -1;
}
