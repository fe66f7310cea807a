// All stacks of 10,000 threads of a forged x64 dump: at most 5 times `node -e 0` per 10,000 frames, with flat memory.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manyThreads } from './many-threads.mjs';
import { cli, judge, median, timeNode } from './measure.mjs';

const { openDump, openFileSource, openTarget, threadRegisters } = await import(
  new URL('../packages/dumpscope/dist/index.js', import.meta.url)
);
const work = mkdtempSync(join(tmpdir(), 'dumpscope-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const dump = join(work, 'threads.dmp');
writeFileSync(join(work, 'threads.json'), JSON.stringify(manyThreads(10_000)));
timeNode([cli, 'forge', join(work, 'threads.json'), '-o', dump]);

const source = openFileSource(dump);
const target = openTarget(openDump(source));
const threads = target.threads();
const walk = () => {
  let frames = 0;
  for (const thread of threads) {
    const start = threadRegisters(target, thread.address);
    if (start !== null) frames += target.walkStack(start).frames.length;
  }
  return frames;
};
const frames = walk();
globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
const start = process.hrtime.bigint();
walk();
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
globalThis.gc?.();
const grown = (process.memoryUsage().heapUsed - before) / 2 ** 20;
const empty = median(Array.from({ length: 7 }, () => timeNode(['-e', '0']).seconds));
process.stdout.write(`${threads.length} threads, ${frames} frames\n`);
judge('10,000 frames of many stacks, times node -e 0', ((seconds / frames) * 10_000) / empty, 5);
judge('heap growth of a second walk', grown, 50, ' MiB');
source.close();
