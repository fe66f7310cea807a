// npm run demo: install, build, forge the seed's dump and print its verdict.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { installPackages, node, root } from './run.mjs';

installPackages();
node('scripts/build.mjs', ['--no-check']);
const out = join(root, '.cache', 'demo');
mkdirSync(out, { recursive: true });
const cli = 'packages/dumpscope/bin/dumpscope.mjs';
const dump = join('.cache', 'demo', 'seed.dmp');
const symbols = join('.cache', 'demo', 'symbols');
const step = (args) => {
  process.stdout.write(`\n$ npx dumpscope ${args.join(' ')}\n`);
  node(cli, args);
};
step(['forge', 'S01a', '-o', dump, '--symbols', symbols]);
step([dump, '-y', symbols]);
