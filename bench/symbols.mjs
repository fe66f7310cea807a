// Symbols: a PDB of 120,000 publics against llvm-pdbutil, one name by its hash, `dt nt!_KTHREAD` from an ISF file and from the
// built-in table. In process and warm, as ratios in one run.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fail, has, root } from '../scripts/run.mjs';
import { judge, median, timeNode } from './measure.mjs';

const { bytesSource, expandXz, openPdb, parseIsf } = await import(
  new URL('../packages/dumpscope/dist/index.js', import.meta.url)
);
const work = mkdtempSync(join(tmpdir(), 'dumpscope-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

function seconds(action) {
  const start = process.hrtime.bigint();
  action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

const times = (rounds, action) => median(Array.from({ length: rounds }, () => seconds(action)));

if (!has('clang-19') || !has('lld-link-19') || !has('llvm-pdbutil-19')) {
  process.stdout.write('skipped: the PDB of 120,000 publics needs clang-19, lld-19 and llvm-19\n');
} else {
  const count = 120_000;
  const lines = ['.intel_syntax noprefix', '.text'];
  for (let i = 0; i < count; i++) lines.push(`.globl fn_${i}_of_the_bench`, `fn_${i}_of_the_bench:`, 'ret');
  lines.push('');
  writeFileSync(join(work, 'many.s'), lines.join('\n'));
  const tool = (name, args) =>
    execFileSync(name, args, { cwd: work, stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28 });
  tool('clang-19', ['--target=x86_64-pc-windows-msvc', '-c', 'many.s', '-o', 'many.obj']);
  tool('lld-link-19', [
    '/dll',
    '/noentry',
    '/machine:x64',
    '/debug',
    '/pdb:many.pdb',
    '/out:many.dll',
    '/nodefaultlib',
    'many.obj',
  ]);
  const bytes = new Uint8Array(readFileSync(join(work, 'many.pdb')));
  const load = () => {
    const pdb = openPdb(bytesSource(bytes, 'many.pdb'));
    if (pdb.publics.nearest(0x1000) === undefined) fail('the PDB gave no symbol');
    return pdb;
  };
  load();
  const whole = times(9, load);
  const name = times(9, () => {
    if (openPdb(bytesSource(bytes, 'many.pdb')).publics.byName('fn_77777_of_the_bench') === undefined)
      fail('the name was not found');
  });
  const pdbutil = (args) => times(5, () => void spawnSync('llvm-pdbutil-19', args, { cwd: work, stdio: 'ignore' }));
  const beyond = pdbutil(['dump', '-publics', 'many.pdb']) - pdbutil(['--version']);
  judge(`load and index ${count} publics, times llvm-pdbutil beyond its start`, whole / beyond, 0.5);
  judge('one public by its hash, times llvm-pdbutil beyond its start', name / beyond, 0.05);
}

const isf = join(process.env.DUMPSCOPE_SHARED ?? join(root, '..', 'shared'), 'symbols', 'isf');
if (!existsSync(isf)) process.stdout.write(`skipped: ${isf} is absent\n`);
else {
  const file = readdirSync(isf).find((entry) => entry.includes('x64-10.0.19041'));
  const packed = new Uint8Array(readFileSync(join(isf, file)));
  const expanding = [];
  const first = [];
  for (let i = 0; i < 5; i++) {
    let start = process.hrtime.bigint();
    const text = await expandXz(packed);
    expanding.push(Number(process.hrtime.bigint() - start) / 1e9);
    start = process.hrtime.bigint();
    const again = await expandXz(packed);
    if (parseIsf(again).types.struct('_KTHREAD') === undefined || text.length !== again.length) fail('no _KTHREAD');
    first.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
  judge(
    'dt nt!_KTHREAD from an .xz ISF the first time, times decompressing it',
    median(first) / median(expanding),
    2.5,
  );
}

// The built-in table is measured cold, in a process of its own: load the library, then time the first structure.
const code = `const lib=await import(${JSON.stringify(new URL('../packages/dumpscope/dist/index.js', import.meta.url).href)});
const id=lib.builtinLayouts.find(l=>l.arch==='x64').id;const t=process.hrtime.bigint();
if(lib.loadBuiltin(id).table.struct('_KTHREAD')===undefined)process.exit(1);
process.stdout.write(String(Number(process.hrtime.bigint()-t)/1e9));`;
const cold = median(Array.from({ length: 7 }, () => Number(timeNode(['--input-type=module', '-e', code]).out)));
const empty = median(Array.from({ length: 7 }, () => timeNode(['-e', '0']).seconds));
judge('dt nt!_KTHREAD from the built-in table, times node -e 0', cold / empty, 0.25);
