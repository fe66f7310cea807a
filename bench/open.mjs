// First verdicts: a triage dump against `node -e 0`, and a 64 GiB bitmap dump against a 64 MiB one.
//   node bench/open.mjs [TRIAGE DUMP ...]
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { root } from '../scripts/run.mjs';
import { cli, compare, judge, timeNode } from './measure.mjs';

const work = mkdtempSync(join(tmpdir(), 'dumpscope-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

let triage = process.argv.slice(2);
const shared = join(process.env.DUMPSCOPE_SHARED ?? join(root, '..', 'shared'), 'dumps', 'kernel');
if (triage.length === 0 && existsSync(shared)) triage = readdirSync(shared).map((name) => join(shared, name));
if (triage.length === 0) {
  const forged = join(work, 'triage.dmp');
  timeNode([cli, 'forge', 'S03', '--kind', 'triage', '-o', forged]);
  triage = [forged];
}
for (const dump of triage) {
  const { empty, verdict } = compare({ empty: ['-e', '0'], verdict: [cli, dump] });
  judge(`verdict of ${basename(dump)}, times of node -e 0`, verdict.seconds / empty.seconds, 5);
  judge(`verdict of ${basename(dump)}, peak memory`, verdict.mib, 150, ' MiB');
}

const small = join(work, 'small.dmp');
const large = join(work, 'large.dmp');
timeNode([cli, 'forge', 'S03', '--kind', 'bitmap-kernel', '--memory', '64MiB', '-o', small]);
timeNode([cli, 'forge', 'S03', '--kind', 'bitmap-kernel', '--memory', '64GiB', '-o', large]);
const { a, b } = compare({ a: [cli, small], b: [cli, large] });
judge('verdict of a 64 GiB bitmap dump, times that of a 64 MiB one', b.seconds / a.seconds, 2);
