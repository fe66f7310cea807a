import { type CodeViewRecord, type DebugEntry, readCodeView, readDebugDirectory } from './debug-directory.ts';
import { PeError } from './errors.ts';
import { type PeExports, readExports } from './exports.ts';
import { type DataDirectory, type PeHeaders, type PeSection, readHeaders } from './headers.ts';
import { findRuntimeFunction, type RuntimeFunctionLookup } from './runtime-function.ts';
import { type ReadRva, RvaReader } from './rva-reader.ts';
import { readVersionInfo, type VersionInfo } from './version-info.ts';

/** A PE image seen through its RVAs. Parts are read when asked for; a part whose bytes are missing is null. */
export class PeImage {
  readonly headers: PeHeaders;
  readonly read: ReadRva;
  readonly #reader: RvaReader;
  #debug: DebugEntry[] | null | undefined;
  #codeView: CodeViewRecord | null | undefined;
  #exports: PeExports | null | undefined;
  #version: VersionInfo | null | undefined;

  constructor(read: ReadRva) {
    this.read = read;
    this.#reader = new RvaReader(read);
    this.headers = readHeaders(this.#reader);
  }

  get machine(): number {
    return this.headers.machine;
  }

  get sections(): readonly PeSection[] | null {
    return this.headers.sections;
  }

  directory(index: number): DataDirectory | undefined {
    const directory = this.headers.directories[index];
    return directory === undefined || directory.rva === 0 ? undefined : directory;
  }

  /** Debug directory entries; null when the directory cannot be read. */
  get debugEntries(): readonly DebugEntry[] | null {
    if (this.#debug === undefined) this.#debug = readDebugDirectory(this.#reader, this.directory(6));
    return this.#debug;
  }

  /** The RSDS or NB10 record, null when there is none or it cannot be read. */
  get codeView(): CodeViewRecord | null {
    if (this.#codeView === undefined) this.#codeView = readCodeView(this.#reader, this.debugEntries ?? []);
    return this.#codeView;
  }

  /** Null when the image exports nothing or the directory cannot be read. */
  get exports(): PeExports | null {
    if (this.#exports === undefined) this.#exports = readExports(this.#reader, this.directory(0));
    return this.#exports;
  }

  get version(): VersionInfo | null {
    if (this.#version === undefined) this.#version = readVersionInfo(this.#reader, this.directory(2));
    return this.#version;
  }

  /** The exception directory (.pdata); undefined when the image has none. */
  get pdata(): DataDirectory | undefined {
    return this.directory(3);
  }

  /** The entry of .pdata that covers `rva`, chained entries resolved. */
  runtimeFunction(rva: number): RuntimeFunctionLookup {
    const pdata = this.pdata;
    if (pdata === undefined) return { status: 'none' };
    return findRuntimeFunction(this.read, pdata.rva, pdata.size, rva, this.machine);
  }

  /** The section that holds `rva`. */
  sectionAt(rva: number): PeSection | undefined {
    return this.sections?.find(
      (s) =>
        rva >= s.virtualAddress &&
        rva - s.virtualAddress < Math.max(s.virtualSize, s.virtualSize === 0 ? s.rawSize : 0),
    );
  }
}

/**
 * Parses an image as mapped: `read` gives the bytes at an RVA (from dump memory or an {@link ImageFile}).
 * @throws {PeError} when the headers cannot be read or are none.
 */
export function parsePe(read: ReadRva): PeImage {
  return new PeImage(read);
}

/** Like {@link parsePe}, null instead of an error. */
export function tryParsePe(read: ReadRva): PeImage | null {
  try {
    return new PeImage(read);
  } catch (error) {
    if (error instanceof PeError) return null;
    throw error;
  }
}
