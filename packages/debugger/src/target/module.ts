import { type Arch, type ByteSource, bytesSource, type Memory, type Rva, rva, type Va } from '@dumpscope/core';
import {
  exportSymbols,
  ImageFile,
  type ModuleDebugInfo,
  openPdb,
  PdbError,
  PeError,
  type PeImage,
  type SymbolOrigin,
  type SymbolRequest,
  type SymbolTable,
  type TypeTable,
  tryParsePe,
} from '@dumpscope/symbols';
import { answerBytes, plainGuid, type SymbolAnswers } from './answers.ts';
import { extentOf, type FunctionExtent } from './function-extent.ts';
import type { ImageRange } from './image-memory.ts';
import type { LimitList } from './limits.ts';
import { mismatchedInfo } from './mismatched-info.ts';
import type { Module } from './model.ts';
import type { ListedModule } from './module-list.ts';
import { baseName, moduleName } from './module-names.ts';

/** Names that a target has for its kernel when no PDB is there: an exact ISF or built-in table. */
export interface KernelSymbols {
  readonly table: SymbolTable;
  readonly pdb: { readonly name: string; readonly guid: string; readonly age: number } | null;
}

export interface ModuleContext {
  readonly arch: Arch;
  /** Dump bytes, then image bytes. */
  readonly memory: Memory;
  readonly answers: SymbolAnswers;
  readonly limits: LimitList;
  /** For the kernel only; looked up at first use. */
  kernelSymbols(module: LoadedModule): KernelSymbols | null;
}

const hexAddress = (address: bigint): string => `0x${address.toString(16)}`;

const MEM_WRITE = 0x80000000;
const MEM_EXECUTE = 0x20000000;
const CNT_CODE = 0x20;

/** One loaded image, everything about it read on first use. */
export class LoadedModule implements Module, ImageRange {
  readonly name: string;
  readonly imageName: string;
  readonly imagePath: string;
  readonly base: Va;
  readonly size: number;
  readonly checkSum: number | null;
  readonly isKernel: boolean;
  readonly listed: ListedModule;
  readonly #context: ModuleContext;
  #dumpPe: PeImage | null | undefined;
  #pe: PeImage | null | undefined;
  #image: ImageFile | null | undefined;
  #debugInfo: { info: ModuleDebugInfo; origin: SymbolOrigin } | null | undefined;
  #exports: SymbolTable | null | undefined;
  #sections: { from: number; to: number; code: boolean; writable: boolean }[] | null | undefined;

  constructor(context: ModuleContext, listed: ListedModule, name: string, isKernel: boolean) {
    this.#context = context;
    this.listed = listed;
    this.name = name;
    this.imageName = listed.imageName;
    this.imagePath = listed.imagePath;
    this.base = listed.base;
    this.size = listed.size;
    this.checkSum = listed.checkSum;
    this.isKernel = isKernel;
  }

  /** That of its code: x86 for the 32-bit modules of a WOW64 process. */
  get arch(): Arch {
    return this.#context.arch;
  }

  get timeDateStamp(): number | null {
    return this.listed.timeDateStamp ?? this.#headers()?.headers.timeDateStamp ?? null;
  }

  /** Headers as the dump has them, without asking for the image. */
  #headers(): PeImage | null {
    if (this.#dumpPe === undefined) this.#dumpPe = this.#parse();
    return this.#dumpPe;
  }

  #parse(): PeImage | null {
    const { memory } = this.#context;
    // Most images of a triage dump have no header there: told without the cost of an error for each.
    const lfanew = memory.u16(this.base) === 0x5a4d ? memory.u32(this.base + 0x3cn) : undefined;
    if (lfanew === undefined || memory.bytes(this.base + BigInt(lfanew), 0x60) === undefined) return null;
    return tryParsePe((at, length) => {
      if (at < 0 || at + length > this.size) return null;
      return memory.bytes(this.base + BigInt(at), length) ?? null;
    });
  }

  /** The matching image file, where somebody has it. */
  get image(): ImageFile | null {
    if (this.#image !== undefined) return this.#image;
    this.#image = null; // reading the headers below must not ask again
    const request = this.imageRequest();
    if (request === null) return null;
    const answer = this.#context.answers.answer(request);
    if (answer === undefined) return null;
    try {
      const image = new ImageFile(answerBytes(answer), request.name);
      const headers = image.pe.headers;
      if (headers.timeDateStamp !== request.timeDateStamp || headers.sizeOfImage !== request.sizeOfImage) {
        this.#context.limits.add(
          `image of ${this.name}`,
          `${request.name} at hand has timestamp ${headers.timeDateStamp.toString(16)} and size ${headers.sizeOfImage.toString(16)}, the loaded one ${request.timeDateStamp.toString(16)} and ${request.sizeOfImage.toString(16)}: not used`,
          `${request.name} ${request.timeDateStamp.toString(16)}${request.sizeOfImage.toString(16)}`,
        );
        return null;
      }
      this.#image = image;
      this.#pe = undefined;
    } catch (error) {
      if (!(error instanceof PeError)) throw error;
      this.#context.limits.add(`image of ${this.name}`, error.message, null);
    }
    return this.#image;
  }

  /** The image by name, timestamp and size; null where the timestamp is not known. */
  imageRequest(): Extract<SymbolRequest, { kind: 'image' }> | null {
    const stamp = this.timeDateStamp;
    if (stamp === null) return null;
    return {
      kind: 'image',
      module: this.name,
      name: this.imageName,
      timeDateStamp: stamp,
      sizeOfImage: this.size,
      learned:
        this.listed.timeDateStamp === null
          ? `image headers at ${hexAddress(this.base)}`
          : `driver list of the dump, entry of ${hexAddress(this.base)}`,
    };
  }

  imageBytes(at: number, length: number): Uint8Array | null {
    const image = this.image;
    if (image === null) return null;
    // What can be written has changed since it was loaded: only the dump knows it.
    for (const section of image.pe.sections ?? []) {
      if (section.characteristics & MEM_WRITE) {
        const end = section.virtualAddress + Math.max(section.virtualSize, section.rawSize);
        if (at < end && at + length > section.virtualAddress) return null;
      }
    }
    return image.readAt(this.base, at, length);
  }

  /** The image's parts, from dump memory first, then from the file; null where its headers cannot be read. */
  get pe(): PeImage | null {
    if (this.#pe === undefined) this.#pe = this.image?.pe ?? this.#headers();
    return this.#pe;
  }

  /** The RSDS record of the image itself, in the dump or in the matching file. */
  get recordedPdb(): Module['pdb'] {
    const record = this.#headers()?.codeView ?? this.image?.pe.codeView ?? null;
    if (record === null || record.guid === null) return null;
    return { name: baseName(record.name), guid: record.guid, age: record.age };
  }

  get pdb(): Module['pdb'] {
    return this.recordedPdb ?? (this.isKernel ? (this.#context.kernelSymbols(this)?.pdb ?? null) : null);
  }

  pdbRequest(): Extract<SymbolRequest, { kind: 'pdb' }> | null {
    const pdb = this.pdb;
    if (pdb === null) return null;
    const { name, guid, age } = pdb;
    return { kind: 'pdb', module: this.name, name, guid, age, learned: this.#pdbLearned() };
  }

  #pdbLearned(): string {
    if (this.#headers()?.codeView?.guid != null) return `RSDS record of the image at ${hexAddress(this.base)}`;
    if (this.image?.pe.codeView?.guid != null) return `RSDS record of the image file ${this.imageName}`;
    return 'KDBG: its pointers are the symbols of this PDB';
  }

  /** By name alone, for `.reload /i` where neither the dump nor an image tells the GUID. */
  #anyPdb(): Extract<SymbolRequest, { kind: 'pdb' }> | null {
    if (!this.#context.answers.acceptsMismatch?.(this.name)) return null;
    const name = `${this.imageName.replace(/\.[^.]*$/, '')}.pdb`;
    return { kind: 'pdb', module: this.name, name, guid: '0'.repeat(32), age: 0 };
  }

  #mismatch: string | null = null;

  get mismatch(): string | null {
    this.openedPdb();
    return this.#mismatch;
  }

  get debugInfo(): ModuleDebugInfo | null {
    return this.#debug()?.info ?? null;
  }

  get symbolOrigin(): SymbolOrigin | null {
    return this.#debug()?.origin ?? null;
  }

  #debug(): { info: ModuleDebugInfo; origin: SymbolOrigin } | null {
    if (this.#debugInfo === undefined) {
      this.#debugInfo = null;
      this.#debugInfo = this.#fromPdb() ?? this.#fromKernelTable() ?? this.#fromExports();
    }
    return this.#debugInfo;
  }

  /** The PDB that matches by GUID and age, or null with a limit that says why it was refused. */
  #fromPdb(): { info: ModuleDebugInfo; origin: SymbolOrigin } | null {
    const pdb = this.openedPdb();
    if (pdb === null) return null;
    const own = pdb.debugInfo();
    const info = this.#mismatch === null ? own : mismatchedInfo(own);
    return { info, origin: info.symbols.origin };
  }

  #openedPdb: ReturnType<typeof openPdb> | null | undefined;

  openedPdb(): ReturnType<typeof openPdb> | null {
    if (this.#openedPdb !== undefined) return this.#openedPdb;
    this.#openedPdb = null;
    const request = this.pdbRequest() ?? this.#anyPdb();
    const answer = request === null ? undefined : this.#context.answers.answer(request);
    if (request === null || answer === undefined) return null;
    const source: ByteSource = answer instanceof Uint8Array ? bytesSource(answer, request.name) : answer;
    try {
      const sections = this.#headers()?.sections ?? this.image?.pe.sections ?? null;
      const pdb = openPdb(source, sections === null ? {} : { sections });
      const wanted = this.pdb === null ? 'one that is not known' : `${request.guid} age ${request.age}`;
      const accepted = this.#context.answers.acceptsMismatch?.(this.name) === true;
      const sameGuid = plainGuid(pdb.guid) === plainGuid(request.guid);
      // Ages are compared by who looks for files; of what is handed in by hand, incremental links raise the age.
      const sameAge = pdb.age === request.age || pdb.info.age === request.age;
      if (!sameGuid || (accepted && !sameAge)) {
        const what = `${source.name} is PDB ${pdb.guid} age ${pdb.age}, the image wants ${wanted}`;
        const use = accepted ? 'used because .reload /i asked for it, every name of it is marked' : 'not used';
        this.#context.limits.add(`symbols of ${this.name}`, `${what}: ${use}`, `${request.name} ${wanted}`);
        if (!accepted) return null;
        this.#mismatch = what;
      }
      // What the PDB itself says is missing from it: made with /DEBUG:FASTLINK.
      for (const problem of pdb.problems)
        this.#context.limits.add(`symbols of ${this.name}`, problem.message, `${request.name} linked with /DEBUG:FULL`);
      this.#openedPdb = pdb;
    } catch (error) {
      if (!(error instanceof PdbError)) throw error;
      this.#context.limits.add(`symbols of ${this.name}`, error.message, `${request.name} ${request.guid}`);
    }
    return this.#openedPdb;
  }

  /** Types of the matching PDB, where it has any. */
  get pdbTypes(): TypeTable | null {
    const pdb = this.openedPdb();
    return this.#mismatch === null ? (pdb?.types ?? null) : null;
  }

  #fromKernelTable(): { info: ModuleDebugInfo; origin: SymbolOrigin } | null {
    const symbols = this.isKernel ? this.#context.kernelSymbols(this) : null;
    return symbols === null ? null : { info: infoOf(symbols.table), origin: symbols.table.origin };
  }

  get exports(): SymbolTable | null {
    if (this.#exports === undefined) {
      const pe = this.#headers()?.exports != null ? this.#headers() : this.pe;
      this.#exports = pe?.exports == null ? null : exportSymbols(pe.exports, pe.machine);
    }
    return this.#exports;
  }

  #fromExports(): { info: ModuleDebugInfo; origin: SymbolOrigin } | null {
    const table = this.exports;
    return table === null ? null : { info: infoOf(table), origin: 'export' };
  }

  /** Whether an RVA is executable; null where the section headers are not known. */
  isCode(at: number): boolean | null {
    const sections = this.#sectionList();
    if (sections === null) return null;
    for (const section of sections) if (at >= section.from && at < section.to) return section.code;
    return false;
  }

  #sectionList(): { from: number; to: number; code: boolean; writable: boolean }[] | null {
    if (this.#sections === undefined) {
      const list = this.pe?.sections ?? null;
      this.#sections =
        list === null || list.length === 0
          ? null
          : list.map((section) => ({
              from: section.virtualAddress,
              to:
                section.virtualAddress + Math.max(section.virtualSize, section.virtualSize === 0 ? section.rawSize : 0),
              code: (section.characteristics & (MEM_EXECUTE | CNT_CODE)) !== 0,
              writable: (section.characteristics & MEM_WRITE) !== 0,
            }));
    }
    return this.#sections;
  }

  /** Where .pdata lies, by the headers or by the loader's own record. */
  get pdata(): { readonly rva: number; readonly size: number } | null {
    if (this.#context.arch === 'x86') return null;
    const directory = this.pe?.pdata;
    if (directory !== undefined) return directory;
    const table = this.listed.exceptionTable;
    if (table === null || table.address < this.base) return null;
    const at = table.address - this.base;
    return at < BigInt(this.size) ? { rva: Number(at), size: table.size } : null;
  }

  extent(at: number): FunctionExtent | null {
    return extentOf(this, this.#context, at);
  }

  functionAt(at: number): ReturnType<Module['functionAt']> {
    const extent = this.extent(at);
    if (extent === null) return null;
    const { piece } = extent;
    return {
      start: rva(extent.start) as Rva,
      end: extent.end === null ? null : rva(extent.end),
      from: extent.from,
      piece: piece === null ? null : { begin: rva(piece.begin), end: rva(piece.end) },
    };
  }
}

function infoOf(table: SymbolTable): ModuleDebugInfo {
  return { symbols: table, frameRecord: () => undefined, line: () => undefined };
}

/** Makes modules of a list; names that occur twice (`used` before) get their base appended, as WinDbg does. */
export function makeModules(
  context: ModuleContext,
  listed: readonly ListedModule[],
  kernelFirst = true,
  used: Set<string> = new Set(),
): LoadedModule[] {
  return listed.map((entry, index) => {
    let name = moduleName(entry.imageName);
    const isKernel = kernelFirst && index === 0 && name === 'nt';
    if (used.has(name)) name = `${name}_${entry.base.toString(16)}`;
    used.add(name);
    return new LoadedModule(context, entry, name, isKernel);
  });
}
