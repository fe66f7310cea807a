import type { ByteSource, Problem } from '@dumpscope/core';
import { symbolTableOf } from '../pe/export-table.ts';
import { MACHINE_AMD64, MACHINE_ARM64, MACHINE_I386, type PeSection } from '../pe/headers.ts';
import type { ModuleDebugInfo, SymbolTable } from '../symbol-table.ts';
import { type AddressMap, readAddressMap } from './address-map.ts';
import { Dbi } from './dbi.ts';
import { PdbError } from './errors.ts';
import { FrameTable } from './frame-data.ts';
import { type NameTable, type PdbInfo, readNameTable, readPdbInfo } from './info.ts';
import { Msf } from './msf.ts';
import { Publics } from './publics.ts';

export interface OpenPdbOptions {
  /** Sections of the matching image, for PDBs that carry no section headers. */
  readonly sections?: readonly PeSection[];
}

/**
 * An open PDB. Parts are read when asked for. A part that is missing or damaged yields an empty table and an entry in
 * `problems`; only {@link openPdb} throws.
 */
export class PdbFile {
  readonly name: string;
  readonly msf: Msf;
  readonly info: PdbInfo;
  /** Null for a PDB without DBI stream (a compiler's type server). */
  readonly dbi: Dbi | null;
  readonly #problems: Problem[] = [];
  readonly #options: OpenPdbOptions;
  readonly #parts = new Map<string, unknown>();

  constructor(source: ByteSource, options: OpenPdbOptions = {}) {
    this.name = source.name;
    this.#options = options;
    this.msf = new Msf(source);
    this.info = readPdbInfo(this.msf);
    this.dbi = this.msf.streamSize(3) === 0 ? null : new Dbi(this.msf);
    if (this.info.isFastLink) {
      this.#problems.push({
        id: 'pdb-fastlink',
        message: `${this.name}: made with /DEBUG:FASTLINK: types, private symbols and lines are in the object files, not in it`,
      });
    }
  }

  /** What was found damaged or missing so far; grows as parts are read. */
  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** `92146115-65FA-4C53-8FE7-24A797B860F7`; 8 hex digits of the signature for PDBs that have no GUID. */
  get guid(): string {
    return this.info.guid;
  }

  /** The age that an image's RSDS record carries: the DBI stream's. */
  get age(): number {
    return this.dbi === null || this.dbi.header === 'old' ? this.info.age : this.dbi.age;
  }

  get signature(): number {
    return this.info.signature;
  }

  /** IMAGE_FILE_HEADER.Machine; 0x14c for PDBs from before it was recorded. */
  get machine(): number {
    const machine = this.dbi?.machine ?? 0;
    return machine === 0 ? MACHINE_I386 : machine;
  }

  get arch(): 'x86' | 'x64' | 'arm64' | null {
    const machine = this.machine;
    return machine === MACHINE_I386
      ? 'x86'
      : machine === MACHINE_AMD64
        ? 'x64'
        : machine === MACHINE_ARM64
          ? 'arm64'
          : null;
  }

  /** `PDB ntkrnlmp.pdb {GUID,age}` for reports. */
  get label(): string {
    const base = this.name.slice(Math.max(this.name.lastIndexOf('/'), this.name.lastIndexOf('\\')) + 1);
    return `PDB ${base} {${this.guid},${this.age.toString(16)}}`;
  }

  /** Runs `read` once; a PdbError becomes a problem and `fallback` the value. */
  part<T>(what: string, fallback: T, read: () => T): T {
    if (this.#parts.has(what)) return this.#parts.get(what) as T;
    let value = fallback;
    try {
      value = read();
    } catch (error) {
      if (!(error instanceof PdbError)) throw error;
      this.#problems.push({ id: 'pdb-damaged', message: `${error.message} (no ${what})` });
    }
    this.#parts.set(what, value);
    return value;
  }

  get addresses(): AddressMap | null {
    return this.part('section addresses', null, () =>
      this.dbi === null ? null : readAddressMap(this.msf, this.dbi, this.#options.sections ?? null),
    );
  }

  get names(): NameTable | null {
    return this.part('name table', null, () => readNameTable(this.msf, this.info));
  }

  /** The table proper, for callers that need records; null when the PDB has no publics. */
  get publicRecords(): Publics | null {
    return this.part('public symbols', null, () => {
      const { dbi, addresses } = this;
      if (dbi === null || addresses === null || dbi.publicsStream < 0 || dbi.symbolsStream < 0) return null;
      const psi = this.msf.stream(dbi.publicsStream);
      if (psi.length < 28) return null;
      return new Publics(psi, this.msf.stream(dbi.symbolsStream), addresses, this.machine, this.info.isFastLink);
    });
  }

  get publics(): SymbolTable {
    return this.part('publics', symbolTableOf('pdb-public', []), () => {
      const records = this.publicRecords;
      return records === null ? symbolTableOf('pdb-public', []) : guardTable(this, records);
    });
  }

  get frames(): FrameTable | null {
    return this.part('frame data', null, () => {
      const { dbi, addresses } = this;
      if (dbi === null || addresses === null) return null;
      const stream = (slot: 'fpo' | 'newFpo'): Uint8Array | null => {
        const index = dbi.debugStream(slot);
        return index < 0 || this.msf.streamSize(index) === 0 ? null : this.msf.stream(index).all();
      };
      return new FrameTable({ fpo: stream('fpo'), frameData: stream('newFpo'), names: this.names }, addresses);
    });
  }

  debugInfo(): ModuleDebugInfo {
    return {
      symbols: this.publics,
      frameRecord: (rva) => this.frames?.find(rva),
      line: () => undefined,
    };
  }
}

/** A table whose damaged parts answer "not found" and are noted as a problem of the PDB. */
export function guardTable(pdb: PdbFile, table: SymbolTable): SymbolTable {
  const guard = <T>(what: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof PdbError)) throw error;
      pdb.part(`${what} of ${table.origin}`, undefined, () => {
        throw error;
      });
      return undefined;
    }
  };
  return {
    origin: table.origin,
    byName: (name) => guard('names', () => table.byName(name)),
    nearest: (rva) => guard('addresses', () => table.nearest(rva)),
    next: (rva) => guard('addresses', () => table.next(rva)),
    all: () => guard('symbols', () => [...table.all()]) ?? [],
  };
}

/**
 * Opens a PDB; reads its directory, info stream and DBI header.
 * @throws {PdbError} one clear line when the file is no PDB or cannot be read as one.
 */
export function openPdb(source: ByteSource, options: OpenPdbOptions = {}): PdbFile {
  return new PdbFile(source, options);
}
