// What the other scripts share: finding the root, running a program, installing what a fresh clone lacks.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a program in the root with inherited output and ends this process with its status when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    ...options,
  });
  if (result.error) fail(`${command}: ${result.error.message}`);
  if (result.status !== 0) fail(`${[command, ...args].join(' ')} ended with status ${result.status ?? result.signal}`);
}

/** True where the program can be started; what it says to `--version` does not matter (7zz takes it for a mistake). */
export function has(program) {
  const result = spawnSync(program, ['--version'], { stdio: 'ignore', shell: process.platform === 'win32' });
  return !result.error && result.status !== 127;
}

export function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/**
 * Installs by the lock file when node_modules is absent or older than it. Not `npm ci`: npm 11.19 writes lock files without
 * the optional packages of other platforms, and its own `npm ci` then refuses them.
 */
export function installPackages() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    fail(`dumpscope needs Node >= 20.19, this is ${process.versions.node}`);
  const stamp = join(root, 'node_modules', '.package-lock.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs) return;
  run('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
}

export function node(script, args = [], options = {}) {
  run(process.execPath, [join(root, script), ...args], options);
}

export function bin(name) {
  return join(root, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name);
}
