import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { forge, listScenarios, loadScenario, resolveScenario, type Scenario } from '@dumpscope/forge';
import { EXIT, type Io, oneLine, UsageError } from '../io.ts';
import { imageFiles, scenarioFiles } from './shipped.ts';

export interface ForgeRequest {
  readonly scenario: string | null;
  readonly output: string | null;
  readonly symbols: string | null;
  readonly kind: string | null;
  readonly memory: string | null;
  readonly list: boolean;
}

/** `dumpscope forge`: a scenario in, a dump out; a faulty scenario is wrong usage and says where. */
export async function runForge(request: ForgeRequest, io: Io): Promise<number> {
  if (request.list) {
    const rows = listScenarios(scenarioFiles(null));
    const width = Math.max(...rows.map((row) => row.name.length), 4);
    for (const row of rows)
      io.out(`${row.name.padEnd(width)}  ${row.arch.padEnd(5)}  ${row.dump.padEnd(13)}  ${row.title}\n`);
    return EXIT.done;
  }
  if (request.scenario === null)
    throw new UsageError('forge needs the name of a scenario or a scenario file (--list shows the shipped ones)');
  if (request.output === null) throw new UsageError('forge needs -o FILE, the dump to write');
  let scenario: Scenario;
  const isFile = /\.json$/i.test(request.scenario);
  const folder = isFile ? dirname(request.scenario) : null;
  try {
    scenario = isFile
      ? resolveScenario(readScenario(request.scenario), scenarioFiles(folder))
      : loadScenario(request.scenario, scenarioFiles(null));
    scenario = withOptions(scenario, request);
    write(scenario, folder, request, io);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(oneLine(error instanceof Error ? error.message : String(error)));
  }
  return EXIT.done;
}

function readScenario(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(oneLine(`${path}: ${error instanceof Error ? error.message : String(error)}`));
  }
  try {
    return JSON.parse(text.replace(/^\uFEFF/, '')) as unknown;
  } catch (error) {
    throw new UsageError(
      oneLine(`${basename(path)}: not JSON: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
}

const kinds: readonly string[] = [
  'full',
  'kernel-summary',
  'triage',
  'bitmap-full',
  'bitmap-kernel',
  'automatic',
  'range-kernel',
  'range-kernel-user',
  'range-full',
];

function isKind(text: string): text is Scenario['dump'] {
  return kinds.includes(text);
}

function withOptions(scenario: Scenario, request: ForgeRequest): Scenario {
  let out = scenario;
  if (request.kind !== null) {
    if (!isKind(request.kind)) throw new UsageError(`--kind takes ${kinds.join(', ')}, not ${request.kind}`);
    out = { ...out, dump: request.kind };
  }
  if (request.memory !== null) {
    const match = /^(\d+)\s*(MiB|GiB)$/i.exec(request.memory);
    if (match === null) throw new UsageError(`--memory takes a size such as 64MiB or 64GiB, not ${request.memory}`);
    const bytes = Number(match[1]) * (match[2]?.toLowerCase() === 'gib' ? 2 ** 30 : 2 ** 20);
    // Frames behind those in use, declared present and left as a hole in the file.
    const frames = Math.floor(bytes / 0x1000);
    const used = 0x4000;
    if (frames > used) out = { ...out, physical: { ...out.physical, sparse: { base: used, count: frames - used } } };
  }
  return out;
}

function write(scenario: Scenario, folder: string | null, request: ForgeRequest, io: Io): void {
  const output = request.output ?? '';
  mkdirSync(dirname(output), { recursive: true });
  const file = openSync(output, 'w');
  let whole = false;
  try {
    const result = forge(scenario, imageFiles(folder), {
      sink: {
        write(offset, bytes) {
          writeSync(file, bytes, 0, bytes.length, offset);
        },
      },
    });
    // What was declared but never written is a hole.
    ftruncateSync(file, result.size);
    whole = true;
    if (request.symbols !== null) {
      mkdirSync(request.symbols, { recursive: true });
      for (const symbol of result.symbols) writeFileSync(join(request.symbols, basename(symbol.name)), symbol.bytes);
    }
    io.err(
      `${output}: ${scenario.dump} dump of ${scenario.id}, ${result.size} bytes${request.symbols === null ? '' : `; ${result.symbols.length} symbol and image files in ${request.symbols}`}\n`,
    );
  } finally {
    closeSync(file);
    if (!whole) rmSync(output, { force: true });
  }
}
