// npm test: everything that CI checks. Installs what it needs, runs all checks and all tests, ends with one line of counts.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bin, has, installPackages, node, root, run } from './run.mjs';

// Programs that tests compare with; on Debian as root they are fetched, elsewhere those tests are skipped and counted.
const tools = [
  ['clang-19', 'clang-19'],
  ['lld-link-19', 'lld-19'],
  ['llvm-pdbutil-19', 'llvm-19'],
  ['lldb-19', 'lldb-19'],
  ['cc', 'gcc libc6-dev'],
  ['cabextract', 'cabextract'],
  ['7zz', '7zip'],
  ['gcab', 'gcab'],
];

function installTools() {
  const missing = tools.filter(([program]) => !has(program));
  if (missing.length === 0) return;
  const packages = missing.flatMap(([, names]) => names.split(' '));
  const canInstall = existsSync('/etc/debian_version') && process.getuid?.() === 0 && has('apt-get');
  if (canInstall) {
    process.stdout.write(`installing ${packages.join(' ')}\n`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    spawnSync('apt-get', ['update', '-qq'], { stdio: 'inherit', env });
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env,
    });
  }
  for (const [program] of missing) {
    if (!has(program)) process.stdout.write(`SKIPPED: tests that need ${program}, which is not on this machine\n`);
  }
}

installPackages();
installTools();
node('scripts/build.mjs');
run(bin('biome'), ['check', '--error-on-warnings', '.']);
node('scripts/check-layers.mjs');
run(bin('knip'), []);

const results = join(root, '.cache', 'tests.json');
mkdirSync(join(root, '.cache'), { recursive: true });
rmSync(results, { force: true });
const arguments_ = process.argv.slice(2);
const vitest = spawnSync(
  bin('vitest'),
  ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${results}`, ...arguments_],
  { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' },
);
if (!existsSync(results)) process.exit(vitest.status || 1);
const report = JSON.parse(readFileSync(results, 'utf8'));
const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
if (skipped > 0) {
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status !== 'passed' && test.status !== 'failed') process.stdout.write(`skipped: ${test.fullName}\n`);
    }
  }
}
const failedSuites = report.testResults.filter(
  (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
).length;
const failed = report.numFailedTests + failedSuites;
const skipsFail = process.env.CI && skipped > 0;
if (skipsFail) process.stdout.write('CI fails on any skipped test\n');
process.stdout.write(`\ntests: ${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`);
process.exit(vitest.status !== 0 || failed > 0 || skipsFail ? 1 : 0);
