import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** The folder that `srv*` and `cache*` mean when they name none. DUMPSCOPE_SYMBOL_CACHE overrides it. */
export function defaultCacheFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const own = env['DUMPSCOPE_SYMBOL_CACHE'];
  if (own) return own;
  // The folder that WinDbg uses, so that both find each other's files.
  if (platform === 'win32') return join(env['ProgramData'] ?? 'C:\\ProgramData', 'Dbg', 'sym');
  const home = env['HOME'] ?? homedir();
  if (platform === 'darwin') return join(home, 'Library', 'Caches', 'dumpscope', 'symbols');
  return join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'dumpscope', 'symbols');
}

/** A name in `folder` for a file that is being written; made by {@link commitFile} into what it is to be. */
export function temporaryFile(folder: string): string {
  mkdirSync(folder, { recursive: true });
  discardOrphans(folder);
  return join(folder, `.dumpscope-${process.pid}-${randomBytes(6).toString('hex')}.part`);
}

const cleaned = new Set<string>();

/** Temporary files of processes that were killed while they wrote; looked for once a run in each folder. */
function discardOrphans(folder: string): void {
  if (cleaned.has(folder)) return;
  cleaned.add(folder);
  for (const name of readdirSync(folder)) {
    const pid = Number(/^\.dumpscope-(\d+)-[0-9a-f]{12}\.part$/.exec(name)?.[1]);
    if (pid > 0 && !isRunning(pid)) discardFile(join(folder, name));
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, for somebody else.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

/** Gives a finished temporary file its name. Others see it whole or not at all. */
export function commitFile(temporary: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  renameSync(temporary, path);
}

export function discardFile(temporary: string): void {
  rmSync(temporary, { force: true });
}

/** Writes bytes under a name, whole or not at all. `folder` is on the same file system. Throws the error of `node:fs`. */
export function writeWhole(folder: string, path: string, bytes: Uint8Array): void {
  const temporary = temporaryFile(folder);
  try {
    const fd = openSync(temporary, 'wx');
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at);
    } finally {
      closeSync(fd);
    }
    commitFile(temporary, path);
  } catch (error) {
    discardFile(temporary);
    throw error;
  }
}
