import { basename } from 'node:path';
import type { Dump } from '@dumpscope/core';
import { openTarget, type Target } from '@dumpscope/debugger';
import type { DownloadProgress, SymbolAnswer, SymbolProvider } from '@dumpscope/node';
import { oneLine } from './io.ts';
import { openDumpFile } from './open-dump-file.ts';
import type { AnswerBook } from './symbol-answers.ts';

export interface OpenSessionOptions {
  readonly symbolPaths?: readonly string[];
  readonly imagePaths?: readonly string[];
  readonly offline?: boolean;
  /** Environment for `_NT_SYMBOL_PATH`; default the process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * What the caller is about to do with the target: it is run while symbols are looked for, so that everything it needs
   * is asked for. Default: names and stacks of the processors.
   */
  readonly warm?: (target: Target) => void;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** False where no ARM64 code is decoded: its disassembler is large. Default true. */
  readonly code?: boolean;
  /** Look for every file that the dump could use, not only for those that are needed. */
  readonly everything?: boolean;
}

export interface OpenSession {
  readonly dump: Dump;
  readonly target: Target;
  /** One line each: what was wrong with the symbol path and the files found on it. */
  readonly warnings: readonly string[];
  /** What became of each file that was looked for. */
  readonly results: readonly SymbolAnswer[];
  /** The symbol path in use, elements joined by `;`. */
  readonly symbolPath: string;
  /** The image path in use. */
  readonly imagePath: string;
  /** Looks for what the target has asked for since, with PDBs of another build for `mismatched` (module names, `*`); true when something was found and `target` is a new one. */
  refresh(mismatched?: ReadonlySet<string>): Promise<boolean>;
  close(): void;
}

/** New targets per opening: image, PDB, ISF by fingerprint, and what these lead to. */
const MAX_ROUNDS = 6;
/** ISF files tried for a kernel that nothing else identifies. */
const MAX_ISF = 8;
const MAX_FRAMES = 64;
const MAX_PROCESSORS = 64;

/**
 * Opens a dump and the machine inside it. Without a symbol path nothing but the dump is read. With one, requests are
 * answered in rounds until no new file turns up: an image tells its PDB, a PDB lets stacks reach further modules.
 * Throws UsageError or InputError with one line.
 */
export async function openSession(path: string, options: OpenSessionOptions = {}): Promise<OpenSession> {
  const { dump, source } = openDumpFile(path);
  if (dump.arch === 'arm64' && options.code !== false) await loadArm64();
  const env = options.env ?? process.env;
  const hasPath =
    (options.symbolPaths?.length ?? 0) > 0 ||
    (options.imagePaths?.length ?? 0) > 0 ||
    ['_NT_SYMBOL_PATH', '_NT_ALT_SYMBOL_PATH', '_NT_EXECUTABLE_IMAGE_PATH'].some((name) => !!env[name]?.trim());
  if (!hasPath) {
    const target = openTarget(dump);
    return {
      dump,
      target,
      warnings: [],
      results: [],
      symbolPath: '',
      imagePath: '',
      refresh: async () => false,
      close: () => source.close(),
    };
  }
  const session = new SymbolSession(dump, () => source.close());
  await session.start(options, env);
  return session;
}

/** ARM64 decoding is loaded on first use; without it code shows as bytes. */
async function loadArm64(): Promise<void> {
  const { prepareArm64 } = await import('@dumpscope/cpu');
  await prepareArm64();
}

class SymbolSession implements OpenSession {
  readonly dump: Dump;
  readonly #closeFile: () => void;
  readonly #warnings: string[] = [];
  #provider: SymbolProvider | null = null;
  #book: AnswerBook | null = null;
  #target: Target;
  #paths = '';
  #imagePaths = '';

  constructor(dump: Dump, closeFile: () => void) {
    this.dump = dump;
    this.#closeFile = closeFile;
    this.#target = openTarget(dump);
  }

  get target(): Target {
    return this.#target;
  }

  get symbolPath(): string {
    return this.#paths;
  }

  get imagePath(): string {
    return this.#imagePaths;
  }

  get warnings(): readonly string[] {
    const refused = this.results.flatMap((answer) =>
      answer.request.kind === 'pdb' && answer.outcome === 'mismatch'
        ? [`symbols of ${answer.request.module}: ${answer.why}: not used`]
        : [],
    );
    return [...(this.#provider?.problems ?? []), ...this.#warnings, ...refused];
  }

  get results(): readonly SymbolAnswer[] {
    return this.#book?.results ?? [];
  }

  async start(options: OpenSessionOptions, env: Readonly<Record<string, string | undefined>>): Promise<void> {
    const { imagePathOf, SymbolProvider, symbolPathOf } = await import('@dumpscope/node');
    const { AnswerBook } = await import('./symbol-answers.ts');
    const symbolPath = symbolPathOf(options.symbolPaths ?? [], env);
    const imagePath = imagePathOf(options.imagePaths ?? [], env);
    const provider = new SymbolProvider({
      symbolPath,
      imagePath,
      offline: options.offline ?? false,
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
    const book = new AnswerBook(provider);
    this.#provider = provider;
    this.#book = book;
    this.#paths = symbolPath.join(';');
    this.#imagePaths = imagePath.join(';');
    const warm = options.warm ?? warmTarget;
    // Looking into folders costs little, asking a server for the files of 200 modules does not.
    const all = options.everything === true || options.offline === true || provider.servers.length === 0;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.#target = openTarget(this.dump, { answers: book });
      warm(this.#target);
      if (all) book.want(this.#target.requests);
      const found = await book.settle();
      const tables = round === 0 && (await this.#kernelTables());
      if (!found && !tables) return;
    }
    this.#target = openTarget(this.dump, { answers: book });
  }

  async refresh(mismatched: ReadonlySet<string> = new Set()): Promise<boolean> {
    if (this.#book === null) return false;
    const news = this.#book.acceptMismatched(mismatched);
    if (!(await this.#book.settle()) && !news) return false;
    this.#target = openTarget(this.dump, { answers: this.#book });
    return true;
  }

  close(): void {
    this.#provider?.close();
    this.#closeFile();
  }

  /** ISF files by fingerprint: triage dumps hold no GUID, so those whose name has the build are compared. */
  async #kernelTables(): Promise<boolean> {
    const [provider, book] = [this.#provider, this.#book];
    if (provider === null || book === null || this.#target.layouts.trust === 'exact') return false;
    const build = String(this.dump.header.minorVersion);
    const matching = provider.isfCatalog().filter((entry) =>
      basename(entry.path)
        .split(/[^0-9]+/)
        .includes(build),
    );
    let any = false;
    for (const entry of matching.slice(0, MAX_ISF)) {
      try {
        const isf = await provider.loadIsf(entry);
        if (isf.types.pointerSize !== this.dump.pointerSize) continue;
        book.tables.push(isf);
        any = true;
      } catch (error) {
        this.#warnings.push(oneLine(error instanceof Error ? error.message : String(error)));
      }
    }
    return any;
  }
}

/** Touches what nearly every command needs: the kernel's names and the stacks of the processors. */
function warmTarget(target: Target): void {
  void target.kernel?.symbolOrigin;
  for (const processor of target.processors.slice(0, MAX_PROCESSORS)) {
    const start = processor.interrupted ?? processor.registers;
    if (start === null) continue;
    for (const frame of target.walkStack(start, { limit: MAX_FRAMES }).frames) target.nameOf(frame.pc);
  }
}
