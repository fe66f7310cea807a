// Mutation campaign over symbol files: damaged PDBs, images, ISF tables and cabinets must give answers or a named error.
//   node scripts/mutants-symbols.mjs [--count 5000] [--seed 1] [FILE ...]
// Without FILE: every PDB, image and cabinet of ../shared/symbols/pdb, and its ISF tables expanded. Limits: 5 s and 512 MB each.
// The files are read in a worker; one that overruns is ended and named.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { fail, root } from './run.mjs';

const library = new URL('../packages/dumpscope/dist/index.js', import.meta.url).href;
const TIME_LIMIT = 5000;
const MEMORY_LIMIT = 512;

function random(seed) {
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (bound) => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x % Math.max(1, bound);
  };
}

function mutate(original, next) {
  let bytes = Uint8Array.from(original);
  for (let n = 1 + next(next(4) === 0 ? 40 : 6); n > 0 && bytes.length > 4; n--) {
    const near = next(2) === 0 ? Math.min(bytes.length, 4096) : bytes.length;
    const at = next(near - 3);
    const kind = next(5);
    if (kind === 0) bytes[at] = next(256);
    else if (kind === 1) bytes[at] ^= 1 << next(8);
    else if (kind === 2)
      new DataView(bytes.buffer).setUint32(
        at,
        [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, next(0x10000)][next(6)],
        true,
      );
    else if (kind === 3) bytes.copyWithin(at, next(bytes.length), Math.min(bytes.length, at + next(256)));
    else bytes.fill(next(256), at, Math.min(bytes.length, at + next(64)));
  }
  if (next(8) === 0) bytes = bytes.slice(0, next(bytes.length + 1));
  return bytes;
}

/** Reads all of a file; returns `read` or `refused`, throws what must not be thrown. */
function exercise(lib, kind, bytes) {
  const named = ['PdbError', 'PeError', 'IsfError', 'CabError'];
  try {
    if (kind === 'pdb') {
      const pdb = lib.openPdb(lib.bytesSource(bytes, 'mutant.pdb'));
      lib.pdbSummary(pdb);
      for (const rows of ['streams', 'publics', 'types', 'fpo', 'lines']) lib.pdbRows(pdb, rows);
      const info = pdb.debugInfo();
      for (let rva = 0; rva < 0x8000; rva += 0x7b) {
        const symbol = info.symbols.nearest(rva);
        info.frameRecord(rva);
        info.line(rva);
        info.inlineFrames(rva);
        info.locals(rva);
        if (symbol !== undefined) info.symbolType(symbol);
      }
    } else if (kind === 'image') {
      const image = new lib.ImageFile(bytes, 'mutant.dll');
      const { pe } = image;
      void [pe.debugEntries, pe.codeView, pe.version];
      lib.exportSymbols(pe.exports, pe.machine).nearest(0x1234);
      for (let rva = 0; rva < 0x8000; rva += 0x7b) {
        pe.runtimeFunction(rva);
        image.readAt(pe.headers.imageBase + 0x12340000n, rva, 64);
      }
    } else if (kind === 'isf') {
      const isf = lib.parseIsf(bytes, 'mutant.json');
      for (const name of isf.types.structNames()) isf.types.struct(name);
      for (let rva = 0; rva < 0x100000; rva += 0x1fff) isf.symbols.nearest(rva);
    } else lib.expandCab(bytes, 64 << 20);
    return 'read';
  } catch (error) {
    if (error instanceof Error && named.includes(error.name) && !error.message.includes('\n')) return 'refused';
    throw error;
  }
}

async function work() {
  const lib = await import(library);
  const { files, seed } = workerData;
  parentPort.on('message', (n) => {
    const file = files[n % files.length];
    const bytes = mutate(file.bytes, random(seed * 1_000_003 + n));
    const start = performance.now();
    let outcome;
    try {
      outcome = exercise(lib, file.kind, bytes);
    } catch (error) {
      outcome = `${error instanceof Error ? error.stack?.split('\n').slice(0, 3).join(' | ') : error}`;
    }
    parentPort.postMessage({ n, outcome, ms: performance.now() - start, mib: process.memoryUsage().rss / 2 ** 20 });
  });
  parentPort.postMessage('ready');
}

async function inputs(paths) {
  const lib = await import(library);
  const files = [];
  for (const path of paths) {
    const bytes = new Uint8Array(readFileSync(path));
    if (/\.json\.xz$/.test(path)) files.push({ kind: 'isf', name: basename(path), bytes: await lib.expandXz(bytes) });
    else if (/_$/.test(path)) files.push({ kind: 'cab', name: basename(path), bytes });
    else files.push({ kind: /\.pdb$/i.test(path) ? 'pdb' : 'image', name: basename(path), bytes });
  }
  return files;
}

async function main() {
  const options = { count: 5000, seed: 1 };
  const paths = [];
  for (let i = 2; i < process.argv.length; i++) {
    const match = /^--(count|seed)$/.exec(process.argv[i]);
    if (match) options[match[1]] = Number(process.argv[++i]);
    else paths.push(process.argv[i]);
  }
  if (paths.length === 0) {
    const shared = join(process.env.DUMPSCOPE_SHARED ?? join(root, '..', 'shared'), 'symbols');
    if (!existsSync(shared)) fail(`no files given and ${shared} is absent`);
    paths.push(...readdirSync(join(shared, 'pdb')).map((name) => join(shared, 'pdb', name)));
    // The smaller tables: each mutant is parsed whole.
    paths.push(
      ...readdirSync(join(shared, 'isf'))
        .filter((name) => /x86/.test(name))
        .map((name) => join(shared, 'isf', name)),
    );
  }
  const files = await inputs(paths);
  const failures = [];
  const outcomes = { read: 0, refused: 0 };
  let slowest = { ms: 0 };
  let largest = { mib: 0 };
  let next = 0;
  while (next < options.count) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { files, seed: options.seed } });
    await new Promise((resolve) => worker.once('message', resolve));
    while (next < options.count) {
      const n = next++;
      const file = files[n % files.length];
      const result = await new Promise((resolve) => {
        const timer = setTimeout(
          () => resolve({ n, outcome: `over ${TIME_LIMIT / 1000} s`, ms: TIME_LIMIT, mib: 0, late: true }),
          TIME_LIMIT,
        );
        worker.once('message', (message) => {
          clearTimeout(timer);
          resolve(message);
        });
        worker.postMessage(n);
      });
      const label = `mutant ${n} of ${file.name}`;
      if (result.outcome === 'read' || result.outcome === 'refused') outcomes[result.outcome]++;
      else failures.push(`${label}: ${result.outcome}`);
      if (result.mib > MEMORY_LIMIT) failures.push(`${label}: ${Math.round(result.mib)} MB`);
      if (result.ms > slowest.ms) slowest = { ms: result.ms, label };
      if (result.mib > largest.mib) largest = { mib: result.mib, label };
      if (result.late) break;
    }
    await worker.terminate();
  }
  for (const failure of failures) process.stdout.write(`${failure}\n`);
  process.stdout.write(
    `${options.count} mutants of ${files.length} symbol files, seed ${options.seed}: ${outcomes.read} read, ${outcomes.refused} refused, ${failures.length} failed\n` +
      `slowest ${(slowest.ms / 1000).toFixed(2)} s: ${slowest.label}\nlargest ${Math.round(largest.mib)} MB: ${largest.label}\n`,
  );
  process.exitCode = failures.length > 0 ? 1 : 0;
}

await (isMainThread ? main() : work());
