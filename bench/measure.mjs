// What the benches share: alternate runs of two commands, medians, and the peak memory of a Node child.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../scripts/run.mjs';

export const cli = join(root, 'packages/dumpscope/bin/dumpscope.mjs');
const report =
  'data:text/javascript,process.on("exit",()=>process.stderr.write("\\nMAXRSS "+process.resourceUsage().maxRSS+"\\n"))';

/** Runs Node with arguments; wall seconds and peak resident MiB. Throws when it fails. */
export function timeNode(args) {
  const start = process.hrtime.bigint();
  const child = spawnSync(process.execPath, ['--import', report, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (child.status !== 0)
    throw new Error(`node ${args.join(' ')}: status ${child.status}\n${child.stderr.slice(-2000)}`);
  return { seconds, mib: Number(/MAXRSS (\d+)/.exec(child.stderr)?.[1] ?? 0) / 1024, out: child.stdout };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Runs the commands in turn, so that a drift of the machine hits all alike. */
export function compare(commands, rounds = 9) {
  const names = Object.keys(commands);
  const runs = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) timeNode(commands[name]); // warm the file cache
  for (let i = 0; i < rounds; i++) for (const name of names) runs[name].push(timeNode(commands[name]));
  return Object.fromEntries(
    names.map((name) => [
      name,
      { seconds: median(runs[name].map((run) => run.seconds)), mib: Math.max(...runs[name].map((run) => run.mib)) },
    ]),
  );
}

/** One line: what, the ratio, its limit, and whether it holds. Sets the exit status when it does not. */
export function judge(what, value, limit, unit = '') {
  const holds = value <= limit;
  process.stdout.write(`${holds ? 'holds ' : 'BROKEN'}  ${what}: ${value.toFixed(2)}${unit} (limit ${limit}${unit})\n`);
  if (!holds) process.exitCode = 1;
}
