import type { ByteSource, Problem, Rva } from '@dumpscope/core';
import { symbolTableOf } from '../pe/export-table.ts';
import { MACHINE_AMD64, MACHINE_ARM64, MACHINE_I386, type PeSection } from '../pe/headers.ts';
import type { InlineFrame, ModuleDebugInfo, SeparatedPiece, SourceLine, SymbolTable } from '../symbol-table.ts';
import type { TypeRef, TypeTable } from '../type-table.ts';
import { type AddressMap, readAddressMap } from './address-map.ts';
import { ContributionIndex } from './contributions.ts';
import { Dbi } from './dbi.ts';
import { PdbError } from './errors.ts';
import { FrameTable } from './frame-data.ts';
import { Globals } from './globals.ts';
import { type NameTable, type PdbInfo, readNameTable, readPdbInfo } from './info.ts';
import { type InlineSite, readInlineSites } from './inline-sites.ts';
import { itemName } from './item-names.ts';
import { type LocalPlace, readFrameRegisters, readLocals } from './locals.ts';
import { ModuleLines } from './module-lines.ts';
import { moduleSymbolBytes } from './module-symbols.ts';
import { Msf } from './msf.ts';
import { PdbTypes } from './pdb-types.ts';
import { PrivateSymbols } from './private-symbols.ts';
import { Procedures } from './procedures.ts';
import { Publics } from './publics.ts';
import { symbolType } from './symbol-type.ts';
import { TypeStream } from './type-stream.ts';

const MAX_PROBLEMS = 100;

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
      if (this.#problems.length < MAX_PROBLEMS)
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

  get globals(): Globals | null {
    return this.part('global symbols', null, () => {
      const { dbi } = this;
      if (dbi === null || dbi.globalsStream < 0 || dbi.symbolsStream < 0) return null;
      const stream = this.msf.stream(dbi.globalsStream);
      return new Globals(stream, this.msf.stream(dbi.symbolsStream), this.info.isFastLink);
    });
  }

  /** Types (TPI). Without a type stream or with a damaged one, a table that knows none. */
  get types(): TypeTable {
    return this.part('type table', emptyTypes(this.machine, this.label), () => {
      const records = this.typeRecords;
      return records === null ? emptyTypes(this.machine, this.label) : guardTypes(this, records);
    });
  }

  /** The type table with access to records and indices; null when there is none. */
  get typeRecords(): PdbTypes | null {
    return this.part('types', null, () => {
      const stream = this.msf.streamSize(2) < 16 ? null : new TypeStream(this.msf, 2, () => this.names);
      if (stream === null) return null;
      const typedef = (name: string): number | undefined => {
        const found = this.globals?.find(name).find((record) => record.kind === 'typedef');
        return found?.kind === 'typedef' ? found.type : undefined;
      };
      return new PdbTypes(stream, pointerSize(this.machine), this.label, typedef);
    });
  }

  /** Items (IPI): names of functions for inlined calls; null in PDBs from before VS 2012. */
  get items(): TypeStream | null {
    return this.part('items', null, () =>
      this.info.hasIds && this.msf.streamSize(4) >= 56 ? new TypeStream(this.msf, 4, () => this.names) : null,
    );
  }

  get procedures(): Procedures | null {
    return this.part('procedures', null, () => {
      const { dbi, addresses } = this;
      if (dbi === null || addresses === null) return null;
      const contributions = new ContributionIndex(dbi, addresses);
      return new Procedures(this.msf, dbi.modules, addresses, contributions, (error) => {
        this.guard(`symbols: ${error.message}`, undefined, () => {
          throw error;
        });
      });
    });
  }

  /** Private names over the publics; the publics alone when no module carries symbols. */
  get symbols(): SymbolTable {
    return this.part('symbols', this.publics, () => {
      const { addresses, procedures, globals, publicRecords } = this;
      if (addresses === null || procedures === null || !procedures.hasPrivate) return this.publics;
      const { msf, machine } = this;
      return guardTable(
        this,
        new PrivateSymbols({ msf, map: addresses, machine, procedures, globals, publics: publicRecords }),
      );
    });
  }

  /** Lines of a module by its index in `dbi.modules`; null when they cannot be read. */
  lines(module: number): ModuleLines | null {
    return this.part(`lines of module ${module}`, null, () => {
      const found = this.procedures?.modules[module];
      const { addresses } = this;
      return found === undefined || addresses === null ? null : new ModuleLines(this.msf, found, addresses, this.names);
    });
  }

  /** Source line of an RVA of the image; inside of an inlined call the line of the call. */
  line(rva: number): SourceLine | undefined {
    const { addresses, procedures } = this;
    const source = addresses?.toSource(rva) ?? -1;
    if (addresses === null || procedures === null || source < 0) return undefined;
    const module = procedures.moduleAt(source);
    const found = module < 0 ? undefined : this.lines(module)?.find(source);
    if (found === undefined) return undefined;
    return { file: found.file, line: found.line, rva: Math.max(0, rva - (source - found.rva)) as Rva };
  }

  /** Inlined calls that `rva` lies in, innermost first; empty without private symbols. */
  inlineFrames(rva: number): InlineFrame[] {
    return this.guard('inlined calls', [], () => this.#inlineFrames(rva));
  }

  #inlineFrames(rva: number): InlineFrame[] {
    const { addresses, procedures, items } = this;
    const source = addresses?.toSource(rva) ?? -1;
    const hit = source < 0 || items === null ? undefined : procedures?.find(source);
    if (hit === undefined || hit.chunk !== null || items === null) return [];
    const sites = this.#inlineSites(hit.procedure.module, hit.procedure.record);
    const offset = source - hit.start;
    const lines = this.lines(hit.procedure.module);
    const out: InlineFrame[] = [];
    sites.forEach((site) => {
      const range = site.ranges.find((r) => offset >= r.start && offset < r.end);
      if (range === undefined) return;
      const begin = lines?.inlinee(site.inlinee);
      const file = begin === undefined ? undefined : lines?.path(range.file ?? begin.file);
      out.push({
        name: itemName(items, this.typeRecords, site.inlinee) ?? `<inlinee 0x${site.inlinee.toString(16)}>`,
        file: file ?? null,
        line: begin === undefined ? null : begin.line + range.lineOffset,
      });
    });
    return out.reverse();
  }

  #inlineSites(module: number, record: number): readonly InlineSite[] {
    return this.part(`inlined calls of module ${module} at ${record}`, [], () => {
      const found = this.procedures?.modules[module];
      return found === undefined ? [] : readInlineSites(moduleSymbolBytes(this.msf, found), record);
    });
  }

  /** Variables of the procedure at `rva` whose scope holds `rva`, those of inlined calls included. */
  locals(rva: number): LocalVariable[] {
    return this.guard('local variables', [], () => this.#locals(rva));
  }

  #locals(rva: number): LocalVariable[] {
    const { addresses, procedures } = this;
    const source = addresses?.toSource(rva) ?? -1;
    const hit = source < 0 ? undefined : procedures?.find(source);
    const module = hit === undefined ? undefined : procedures?.modules[hit.procedure.module];
    if (hit === undefined || module === undefined || addresses === null) return [];
    const covers = (range: { section: number; offset: number; size: number }): boolean => {
      const start = addresses.sourceRva(range.section, range.offset);
      return start >= 0 && source >= start && source < start + range.size;
    };
    const out: LocalVariable[] = [];
    const bytes = moduleSymbolBytes(this.msf, module);
    const frame = readFrameRegisters(bytes, hit.procedure.record, this.machine);
    for (const local of readLocals(bytes, hit.procedure.record)) {
      if (local.block !== null && !covers(local.block)) continue;
      const placed = local.places.find(({ range, gaps }) => {
        if (range === null) return true;
        if (!covers(range)) return false;
        const offset = source - addresses.sourceRva(range.section, range.offset);
        return !gaps.some((gap) => offset >= gap.offset && offset < gap.offset + gap.size);
      });
      // Of inlined calls only those that are going on have their variables somewhere.
      if (local.isInlined && placed === undefined) continue;
      const type = this.typeRecords?.typeRef(local.type) ?? null;
      const base = local.isParameter ? frame.parameters : frame.locals;
      let place = placed?.place ?? null;
      if (place?.kind === 'frame' && base !== null) place = { kind: 'memory', register: base, offset: place.offset };
      out.push({ name: local.name, type, isParameter: local.isParameter, isInlined: local.isInlined, place });
    }
    return out;
  }

  #separatedCode(rva: number): SeparatedPiece | undefined {
    const { addresses, procedures } = this;
    const source = addresses?.toSource(rva) ?? -1;
    const hit = source < 0 ? undefined : procedures?.find(source);
    if (addresses === null || hit === undefined || hit.chunk === null) return undefined;
    const begin = rva - (source - hit.chunk.start);
    const functionStart = addresses.fromSource(hit.start);
    if (begin < 0 || functionStart < 0) return undefined;
    return { begin, end: begin + hit.chunk.size, functionStart, functionEnd: functionStart + hit.procedure.size };
  }

  debugInfo(): ModuleDebugInfo {
    return {
      inlineFrames: (rva) => this.inlineFrames(rva),
      locals: (rva) => this.locals(rva),
      separatedCode: (rva) => this.guard('separated code', undefined, () => this.#separatedCode(rva)),
      symbolType: (symbol) => this.guard('symbol types', undefined, () => symbolType(this, symbol)),
      symbols: this.symbols,
      frameRecord: (rva) => this.guard('frame data', undefined, () => this.frames?.find(rva)),
      line: (rva) => this.guard('lines', undefined, () => this.line(rva)),
    };
  }

  /** Runs `read` each time; a PdbError becomes a problem (once for each `what`) and `fallback` the value. */
  guard<T>(what: string, fallback: T, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof PdbError)) throw error;
      this.part(`${what} (read)`, undefined, () => {
        throw error;
      });
      return fallback;
    }
  }
}

/** A variable at an address. `place` is null where the compiler kept no value of it. */
export interface LocalVariable {
  readonly name: string;
  readonly type: TypeRef | null;
  readonly isParameter: boolean;
  readonly isInlined: boolean;
  readonly place: LocalPlace | null;
}

function pointerSize(machine: number): 4 | 8 {
  return machine === MACHINE_AMD64 || machine === MACHINE_ARM64 || machine === 0x200 ? 8 : 4;
}

/** A type table whose damaged parts answer "not found" and are noted as a problem of the PDB. */
function guardTypes(pdb: PdbFile, table: PdbTypes): TypeTable {
  return {
    pointerSize: table.pointerSize,
    origin: table.origin,
    struct: (name) => pdb.guard('types', undefined, () => table.struct(name)),
    enumeration: (name) => pdb.guard('types', undefined, () => table.enumeration(name)),
    structNames: () => pdb.guard('types', [], () => [...table.structNames()]),
    enumNames: () => pdb.guard('types', [], () => [...table.enumNames()]),
  };
}

function emptyTypes(machine: number, origin: string): TypeTable {
  return {
    pointerSize: pointerSize(machine),
    origin,
    struct: () => undefined,
    enumeration: () => undefined,
    structNames: () => [],
  };
}

/** A table whose damaged parts answer "not found" and are noted as a problem of the PDB. */
export function guardTable(pdb: PdbFile, table: SymbolTable): SymbolTable {
  const guard = <T>(what: string, read: () => T): T | undefined =>
    pdb.guard(`${table.origin} ${what}`, undefined, read);
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
