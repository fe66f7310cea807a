import type { AddressMap } from './address-map.ts';
import type { ContributionIndex } from './contributions.ts';
import type { DbiModule } from './dbi.ts';
import { PdbError } from './errors.ts';
import { type ModuleSymbols, type ProcedureRecord, readModuleSymbols } from './module-symbols.ts';
import type { Msf } from './msf.ts';
import { RvaIndex } from './rva-index.ts';

/** A module's private code symbols by address (before OMAP). */
interface CodeIndex {
  readonly records: readonly ProcedureRecord[];
  readonly index: RvaIndex;
}

/** What covers an address: a procedure, and the chunk of it that was separated from it when that is where it is. */
export interface ProcedureHit {
  readonly procedure: ProcedureRecord;
  /** Before OMAP. */
  readonly start: number;
  readonly chunk: { readonly start: number; readonly size: number } | null;
}

const NO_SYMBOLS: ModuleSymbols = { procedures: [], separated: [], labels: [] };

/** Zero-length procedures (labels of assembly code) before a covering one that are passed over. */
const MAX_BACK = 8;

/** Procedures of all modules; a module's symbols are read when an address of it is asked for. */
export class Procedures {
  readonly #msf: Msf;
  readonly #modules: readonly DbiModule[];
  readonly #map: AddressMap;
  readonly #contributions: ContributionIndex;
  readonly #onDamage: (error: PdbError) => void;
  readonly #symbols = new Map<number, ModuleSymbols>();
  readonly #code = new Map<number, CodeIndex>();
  #all: CodeIndex | undefined;

  /** `onDamage` is told of modules whose symbols cannot be read; they count as having none. */
  constructor(
    msf: Msf,
    modules: readonly DbiModule[],
    map: AddressMap,
    contributions: ContributionIndex,
    onDamage: (error: PdbError) => void,
  ) {
    this.#msf = msf;
    this.#onDamage = onDamage;
    // Two modules never share a stream; a damaged list could make one stream be read thousands of times.
    const seen = new Set<number>();
    this.#modules = modules.map((module) => {
      if (module.stream < 0) return module;
      if (seen.has(module.stream)) return { ...module, stream: -1 };
      seen.add(module.stream);
      return module;
    });
    this.#map = map;
    this.#contributions = contributions;
  }

  get modules(): readonly DbiModule[] {
    return this.#modules;
  }

  /** Whether any module carries private symbols. */
  get hasPrivate(): boolean {
    return this.#modules.some((module) => module.stream >= 0 && module.symbolBytes > 4);
  }

  module(index: number): ModuleSymbols {
    let symbols = this.#symbols.get(index);
    if (symbols === undefined) {
      symbols = this.#read(index);
      this.#symbols.set(index, symbols);
    }
    return symbols;
  }

  #read(index: number): ModuleSymbols {
    const module = this.#modules[index];
    if (module === undefined) return NO_SYMBOLS;
    try {
      return readModuleSymbols(this.#msf, module);
    } catch (error) {
      if (!(error instanceof PdbError)) throw error;
      this.#onDamage(error);
      return NO_SYMBOLS;
    }
  }

  moduleAt(sourceRva: number): number {
    return this.#contributions.module(sourceRva);
  }

  /** The procedure that covers an RVA before OMAP. */
  find(sourceRva: number): ProcedureHit | undefined {
    const module = this.#contributions.module(sourceRva);
    const hit = module < 0 ? undefined : this.#covering(this.#moduleCode(module), sourceRva);
    if (hit !== undefined) return { ...hit, chunk: null };
    // lld gives the thunks of imports to "* Linker *" and their symbols to a module of the import's name.
    if (module < 0 || this.#modules[module]?.name === '* Linker *') {
      const stray = this.#covering(this.all(), sourceRva);
      return stray === undefined ? undefined : { ...stray, chunk: null };
    }
    for (const chunk of this.module(module).separated) {
      const start = this.#map.sourceRva(chunk.section, chunk.offset);
      if (start < 0 || sourceRva < start || sourceRva >= start + chunk.size) continue;
      const parent = this.#map.sourceRva(chunk.parentSection, chunk.parentOffset);
      const owner = parent < 0 ? undefined : this.#covering(this.#moduleCode(module), parent);
      if (owner !== undefined) return { ...owner, chunk: { start, size: chunk.size } };
    }
    return undefined;
  }

  /** All procedures by address; reads every module. */
  all(): CodeIndex {
    if (this.#all === undefined) {
      const records: ProcedureRecord[] = [];
      for (const module of this.#modules) {
        for (const procedure of this.module(module.index).procedures) {
          if (this.start(procedure) >= 0) records.push(procedure);
        }
      }
      this.#all = this.#indexed(records);
    }
    return this.#all;
  }

  /** RVA before OMAP; -1 when its section does not exist. */
  start(procedure: ProcedureRecord): number {
    return this.#map.sourceRva(procedure.section, procedure.offset);
  }

  #moduleCode(module: number): CodeIndex {
    let code = this.#code.get(module);
    if (code === undefined) {
      code = this.#indexed(this.module(module).procedures.filter((p) => this.start(p) >= 0));
      this.#code.set(module, code);
    }
    return code;
  }

  #indexed(records: readonly ProcedureRecord[]): CodeIndex {
    return { records, index: new RvaIndex(Uint32Array.from(records, (p) => this.start(p))) };
  }

  #covering(code: CodeIndex, sourceRva: number): { procedure: ProcedureRecord; start: number } | undefined {
    const last = code.index.upper(sourceRva) - 1;
    for (let at = last; at >= 0 && at > last - MAX_BACK; at--) {
      const procedure = code.records[code.index.item(at)];
      const start = code.index.rvas[at] ?? 0;
      if (procedure !== undefined && (sourceRva < start + procedure.size || sourceRva === start)) {
        return { procedure, start };
      }
    }
    return undefined;
  }
}
