// Mutation campaign: damaged copies of real and forged dumps must end in a report or a clear refusal.
//   node scripts/mutants.mjs [--count 2000] [--seed 1] [--jobs 2] [DUMP ...]
// Without DUMP: every dump of ../shared/dumps and the forged scenarios. Each mutant runs in a process of its own under the
// limits of the issue: 10 s, 512 MB, exit status 0 (with a JSON report) or 3 (with one line on standard error).
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fail, root } from './run.mjs';

const options = { count: 2000, seed: 1, jobs: 2 };
const inputs = [];
for (let i = 2; i < process.argv.length; i++) {
  const match = /^--(count|seed|jobs)$/.exec(process.argv[i]);
  if (match) options[match[1]] = Number(process.argv[++i]);
  else inputs.push(process.argv[i]);
}
const cli = join(root, 'packages/dumpscope/bin/dumpscope.mjs');
const work = mkdtempSync(join(tmpdir(), 'dumpscope-mutants-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
if (inputs.length === 0) inputs.push(...defaultInputs());
if (inputs.length === 0) fail('no dumps to mutate');

const TIME_LIMIT = 10_000;
const MEMORY_LIMIT = 512 * 1024; // KiB
const rss =
  'data:text/javascript,process.on("exit",()=>process.stderr.write("\\nMAXRSS "+process.resourceUsage().maxRSS+"\\n"))';

/** xorshift32: the same seed makes the same mutants everywhere. */
function random(seed) {
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return (bound) => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x % bound;
  };
}

/** Byte flips where structure is (headers, lists, tables) more than elsewhere, runs of one value, and truncation. */
function mutate(original, next) {
  let bytes = Buffer.from(original);
  const places = () => {
    switch (next(5)) {
      case 0:
        return next(Math.min(bytes.length, 0x1100)); // header, either width
      case 1:
        return Math.min(bytes.length - 1, (next(2) ? 0x1000 : 0x2000) + next(0x200)); // triage, bitmap or run header
      case 2:
        return next(Math.min(bytes.length, 0x20000));
      default:
        return next(bytes.length);
    }
  };
  const what = [];
  if (next(4) === 0) {
    bytes = bytes.subarray(0, next(8) === 0 ? next(0x3000) : next(bytes.length));
    what.push(`cut to ${bytes.length}`);
  }
  for (let n = next(12) + (what.length ? 0 : 1); n > 0 && bytes.length > 0; n--) {
    const at = Math.min(places(), bytes.length - 1);
    const kind = next(4);
    if (kind === 0) bytes[at] ^= 1 << next(8);
    else if (kind === 1) bytes[at] = next(256);
    else if (kind === 2) bytes.fill([0, 0xff, 0x41][next(3)], at, Math.min(bytes.length, at + 1 + next(16)));
    else if (at + 4 <= bytes.length)
      bytes.writeUInt32LE([0, 1, 0x7fffffff, 0xffffffff, 0x80000000, next(0x10000)][next(6)], at);
    what.push(`${kind}@${at.toString(16)}`);
  }
  return { bytes, what: what.join(' ') };
}

function runOne(path) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import', rss, cli, 'diagnose', path, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    let late = false;
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    const started = process.hrtime.bigint();
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, TIME_LIMIT);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      const memory = Number(/MAXRSS (\d+)/.exec(err)?.[1] ?? 0);
      err = err.replace(/\n?MAXRSS \d+\n/, '');
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      resolve({ status, signal, out, err, late, memory, seconds });
    });
  });
}

function verdictOf(result) {
  if (result.late) return `over ${TIME_LIMIT / 1000} s`;
  if (result.signal) return `killed by ${result.signal}`;
  if (result.memory > MEMORY_LIMIT) return `${Math.round(result.memory / 1024)} MB`;
  if (result.status === 3) {
    const lines = result.err.trim().split('\n');
    return lines.length === 1 && lines[0].length > 0 ? null : `exit 3 with ${lines.length} lines: ${lines[0]}`;
  }
  if (result.status !== 0) return `exit ${result.status}: ${result.err.trim().split('\n').slice(-3).join(' | ')}`;
  try {
    return JSON.parse(result.out).schemaVersion === 1 ? null : 'no report';
  } catch {
    return 'standard output is no JSON';
  }
}

function defaultInputs() {
  const found = [];
  const shared = process.env.DUMPSCOPE_SHARED ?? join(root, '..', 'shared');
  for (const folder of ['kernel', 'broken']) {
    const path = join(shared, 'dumps', folder);
    if (existsSync(path)) found.push(...readdirSync(path).map((name) => join(path, name)));
    else process.stdout.write(`no ${path}: only forged dumps are mutated\n`);
  }
  const forged = join(work, 'forged');
  mkdirSync(forged);
  for (const scenario of ['S01a', 'S03']) {
    for (const kind of ['full', 'bitmap-kernel', 'triage']) {
      const path = join(forged, `${scenario}-${kind}.dmp`);
      const made = spawnSync(process.execPath, [cli, 'forge', scenario, '--kind', kind, '-o', path], {
        encoding: 'utf8',
      });
      if (made.status === 0) found.push(path);
      else process.stdout.write(`could not forge ${scenario} as ${kind}: ${made.stderr}`);
    }
  }
  return found;
}

const originals = new Map();
const failures = [];
let slowest = { seconds: 0 };
let largest = { memory: 0 };
const outcomes = { reported: 0, refused: 0 };
let nextMutant = 0;
await Promise.all(
  Array.from({ length: options.jobs }, async (_, job) => {
    const path = join(work, `mutant-${job}.dmp`);
    while (nextMutant < options.count) {
      const n = nextMutant++;
      const input = inputs[n % inputs.length];
      if (!originals.has(input)) originals.set(input, readFileSync(input));
      const { bytes, what } = mutate(originals.get(input), random(options.seed * 1_000_003 + n));
      writeFileSync(path, bytes);
      const result = await runOne(path);
      const complaint = verdictOf(result);
      const label = `mutant ${n} of ${basename(input)} (${what})`;
      if (complaint !== null) {
        failures.push(`${label}: ${complaint}`);
        process.stdout.write(`${failures.at(-1)}\n`);
        if (process.env.KEEP_MUTANTS) writeFileSync(join(process.env.KEEP_MUTANTS, `mutant-${n}.dmp`), bytes);
      } else if (result.status === 3) outcomes.refused++;
      else outcomes.reported++;
      if (result.seconds > slowest.seconds) slowest = { seconds: result.seconds, label };
      if (result.memory > largest.memory) largest = { memory: result.memory, label };
    }
  }),
);
process.stdout.write(
  `${options.count} mutants of ${inputs.length} dumps, seed ${options.seed}: ${outcomes.reported} reported, ${outcomes.refused} refused, ${failures.length} failed\n` +
    `slowest ${slowest.seconds.toFixed(2)} s: ${slowest.label}\nlargest ${Math.round(largest.memory / 1024)} MB: ${largest.label}\n`,
);
process.exitCode = failures.length > 0 ? 1 : 0;
