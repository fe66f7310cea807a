import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '@dumpscope/core';

export interface FileSource extends ByteSource {
  /** Gives the descriptor back; reads after it return 0. */
  close(): void;
}

/**
 * A file as a byte source: one descriptor, synchronous reads at any offset. Throws the `node:fs` error (`ENOENT`,
 * `EACCES`, `EISDIR`) when it cannot be opened; a read error later (a disk or share that went away) ends the data there.
 */
export function openFileSource(path: string): FileSource {
  const fd = openSync(path, 'r');
  let size: number;
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw Object.assign(new Error(`${path} is a directory`), { code: 'EISDIR', path });
    if (!stat.isFile()) throw Object.assign(new Error(`${path} is no regular file`), { code: 'EINVAL', path });
    size = stat.size;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  let open = true;
  return {
    size,
    name: path,
    read(offset, into, at, length) {
      if (!open || offset < 0 || offset >= size) return 0;
      const wanted = Math.min(length, size - offset, into.length - at);
      let done = 0;
      try {
        // readSync may return less than asked for although the file goes on (network file systems, 2 GiB limit).
        while (done < wanted) {
          const count = readSync(fd, into, at + done, Math.min(wanted - done, 0x4000_0000), offset + done);
          if (count === 0) break;
          done += count;
        }
      } catch {
        return done;
      }
      return done;
    },
    close() {
      if (!open) return;
      open = false;
      closeSync(fd);
    },
  };
}
