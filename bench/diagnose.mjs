// The whole diagnosis: a 24-processor triage dump, and a forged full dump of 64 processors and 20,000 threads.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../scripts/run.mjs';
import { manyThreads } from './many-threads.mjs';
import { cli, compare, judge, timeNode } from './measure.mjs';

const work = mkdtempSync(join(tmpdir(), 'dumpscope-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const forged = (threads, processors) => {
  const json = join(work, `t${threads}.json`);
  const dump = join(work, `t${threads}.dmp`);
  writeFileSync(json, JSON.stringify(manyThreads(threads, processors)));
  timeNode([cli, 'forge', json, '--kind', 'full', '-o', dump]);
  return dump;
};

const triage = join(
  process.env.DUMPSCOPE_SHARED ?? join(root, '..', 'shared'),
  'dumps/kernel/x64-19041-0x133-cumulative-24cpu.dmp',
);
if (existsSync(triage)) {
  const { empty, whole } = compare({ empty: ['-e', '0'], whole: [cli, triage, '--json'] });
  judge('whole diagnosis of a 24-processor triage dump, times node -e 0', whole.seconds / empty.seconds, 15);
} else process.stdout.write(`skipped: ${triage} is absent\n`);

const large = forged(20_000, 64);
const half = forged(10_000, 64);
const { empty, whole, smaller } = compare(
  { empty: ['-e', '0'], whole: [cli, large, '--json'], smaller: [cli, half, '--json'] },
  3,
);
judge('whole diagnosis of 64 processors and 20,000 threads, times node -e 0', whole.seconds / empty.seconds, 200);
judge('the same, peak memory', whole.mib, 500, ' MiB');
judge('20,000 threads against 10,000 (linear is 2)', whole.seconds / smaller.seconds, 2.4);
