import { readBlobs } from './blobs.ts';
import { type Pa, type Va, va } from './brands.ts';
import type { ByteSource } from './byte-source.ts';
import { BlockCache } from './cache/block-cache.ts';
import { checkDirectory, checkLength } from './container/check.ts';
import { chooseKind, openPageContainer } from './container/choose.ts';
import type { ContainerInput } from './container/container.ts';
import type { Arch, Dump, DumpHeader, DumpKind, Paging, PagingMode, SecondaryBlob, TriageData } from './dump.ts';
import { checkHeader } from './header/check.ts';
import { parseHeader32 } from './header/header32.ts';
import { parseHeader64 } from './header/header64.ts';
import { type Machine, machineOf } from './header/machine.ts';
import { identify } from './identify.ts';
import type { MemoryReader } from './memory.ts';
import { Arm64Walker } from './paging/arm64.ts';
import { choosePaging } from './paging/choose.ts';
import { EntryReader } from './paging/entry-reader.ts';
import { NoMemory, PagedMemory } from './paging/paged-memory.ts';
import type { Walker } from './paging/walker.ts';
import { X64Walker } from './paging/x64.ts';
import { X86Walker } from './paging/x86.ts';
import { PaeWalker } from './paging/x86-pae.ts';
import type { FilePages } from './physical/file-pages.ts';
import { type Problem, ProblemList } from './problems.ts';
import { withTriageRecords } from './triage/records.ts';
import { looksTriage, type OpenTriage, openTriage } from './triage/triage.ts';

export interface OpenOptions {
  /** Byte budget of the block cache, default 64 MiB. */
  readonly cacheBytes?: number;
  /** x64: paging levels, where they are known; else found out from the dump. */
  readonly levels?: 4 | 5;
}

/** Address spaces whose TLB is kept; the least recently used one goes. */
const MAX_READERS = 64;

/**
 * Opens a kernel dump of any kind. Whatever is wrong with it becomes a line in `problems`; only an input that is
 * shorter than the dump header or lacks its signature throws, a {@link NotADumpError}.
 */
export function openDump(source: ByteSource, options: OpenOptions = {}): Dump {
  const { pointerSize, headerSize } = identify(source);
  const cache = new BlockCache(source, options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes });
  const problems = new ProblemList();
  const bytes = cache.bytes(0, headerSize);
  const header = pointerSize === 8 ? parseHeader64(bytes) : parseHeader32(bytes);
  const machine = machineOf(header, pointerSize, problems);
  return new OpenedDump({ cache, header, pointerSize, problems }, machine, options);
}

class OpenedDump implements Dump {
  readonly kind: DumpKind;
  readonly arch: Arch;
  readonly pointerSize: 4 | 8;
  readonly header: DumpHeader;
  readonly name: string;
  readonly fileSize: number;
  readonly physical: FilePages | null;
  readonly triage: TriageData | null;
  readonly blobs: readonly SecondaryBlob[];
  readonly complete: boolean;
  readonly #cache: BlockCache;
  readonly #problems: ProblemList;
  readonly #machine: Machine;
  readonly #options: OpenOptions;
  readonly #overlay: OpenTriage['memory'] | null;
  readonly #readers: Map<number, MemoryReader> = new Map();
  #paging: Paging | null = null;

  constructor(input: ContainerInput, machine: Machine, options: OpenOptions) {
    const { cache, problems } = input;
    this.#cache = cache;
    this.#problems = problems;
    this.#machine = machine;
    this.#options = options;
    this.arch = machine.arch;
    this.pointerSize = input.pointerSize;
    this.name = cache.name;
    this.fileSize = cache.size;
    this.kind = chooseKind(input, () => looksTriage(input));
    if (this.kind === 'triage') {
      const opened = openTriage(input);
      this.triage = opened.data;
      this.#overlay = opened.memory;
      this.physical = null;
      this.header = withTriageRecords(input, opened);
      this.blobs = firstBlobs(input, [opened.header.sizeOfDump, opened.header.validOffset + 4]);
    } else {
      const container = openPageContainer(input, this.kind);
      this.triage = null;
      this.#overlay = null;
      this.physical = container.pages;
      this.header = input.header;
      checkLength(input, container.end);
      checkDirectory(input, container.pages);
      this.blobs = firstBlobs(input, [input.header.requiredDumpSpace ?? 0, container.end]);
    }
    checkHeader(this.header, this.pointerSize, problems);
    this.complete = !problems.items.some((problem) => INCOMPLETE.has(problem.id));
  }

  get problems(): readonly Problem[] {
    return this.#problems.items;
  }

  get paging(): Paging | null {
    if (this.physical === null || !this.#machine.supported) return null;
    this.#paging ??= choosePaging({
      arch: this.arch,
      header: this.header,
      problems: this.#problems,
      levels: this.#options.levels,
      open: (mode) => this.#open(mode, this.header.directoryTableBase ?? 0),
    });
    return this.#paging;
  }

  memory(directoryTableBase?: Pa): MemoryReader {
    if (this.#overlay !== null) return this.#overlay;
    const paging = this.paging;
    if (paging === null) {
      return new NoMemory(this.pointerSize, { kind: this.physical === null ? 'not-in-dump' : 'no-page-directory' });
    }
    const base = directoryTableBase ?? this.header.directoryTableBase ?? 0;
    let reader = this.#readers.get(base);
    if (reader === undefined) {
      reader = this.#open(paging.mode, base);
      if (this.#readers.size >= MAX_READERS) {
        for (const oldest of this.#readers.keys()) {
          this.#readers.delete(oldest);
          break;
        }
      }
    } else {
      this.#readers.delete(base);
    }
    this.#readers.set(base, reader);
    return reader;
  }

  overlay(address: Va, offset: number, size: number): void {
    const masked = this.pointerSize === 4 ? BigInt.asUintN(32, address) : va(address);
    this.#overlay?.add({ address: masked, offset, size });
  }

  fileBytes(offset: number, length: number): Uint8Array {
    return this.#cache.bytes(offset, length);
  }

  #open(mode: PagingMode, directoryTableBase: number): MemoryReader {
    const pages = this.physical;
    const usable = directoryTableBase > 0 && directoryTableBase < 2 ** 52;
    if (pages === null || !usable) return new NoMemory(this.pointerSize, { kind: 'no-page-directory' });
    const walker = makeWalker(mode, new EntryReader(pages), directoryTableBase, this.header.minorVersion);
    return new PagedMemory(pages, walker, this.pointerSize);
  }
}

/** Problems after which bytes that the container promises are not in the file. */
const INCOMPLETE: ReadonlySet<string> = new Set([
  'truncated-file',
  'triage-block-beyond-end',
  'triage-block-count',
  'triage-driver-count',
  'triage-structure-beyond-end',
  'triage-trailer-missing',
  'blob-beyond-end',
  'runs-exceed-count',
  'run-absurd',
  'bitmap-size-mismatch',
  'first-page-absurd',
  'signature-missing',
]);

function makeWalker(mode: PagingMode, entries: EntryReader, base: number, build: number): Walker {
  switch (mode) {
    case 'x86':
      return new X86Walker(entries, base);
    case 'x86-pae':
      return new PaeWalker(entries, base, build);
    case 'x64-4-level':
      return new X64Walker(entries, base, 4, build);
    case 'x64-5-level':
      return new X64Walker(entries, base, 5, build);
    case 'arm64':
      return new Arm64Walker(entries, base);
  }
}

/**
 * Secondary data stands at SizeOfDump of a triage dump, which is right behind its trailer, and at RequiredDumpSpace or
 * right behind the pages of other dumps.
 */
function firstBlobs(input: ContainerInput, starts: readonly number[]): readonly SecondaryBlob[] {
  for (const start of starts) {
    if (start < input.header.size) continue;
    const blobs = readBlobs(input.cache, start, input.problems);
    if (blobs !== null) return blobs;
  }
  return [];
}
