import { type Dump, NotADumpError, openDump } from '@dumpscope/core';
import { type FileSource, openFileSource } from '@dumpscope/node';
import { InputError, oneLine, UsageError } from './io.ts';

export interface OpenFile {
  readonly dump: Dump;
  readonly source: FileSource;
}

/** Opens a file as a byte source; a path that leads nowhere is wrong usage, anything else that fails is a bad input. */
export function openInput(path: string): FileSource {
  try {
    return openFileSource(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new UsageError(`${path}: there is no such file`);
    const what: Record<string, string> = {
      EISDIR: 'is a directory, not a dump',
      EACCES: 'may not be read',
      EPERM: 'may not be read',
      EINVAL: 'is no regular file',
    };
    throw new InputError(
      `${path}: ${what[code ?? ''] ?? oneLine(error instanceof Error ? error.message : String(error))}`,
    );
  }
}

/** Opens a dump; what is no dump ends with exit status 3 and one line that says what it is. */
export function openDumpFile(path: string): OpenFile {
  const source = openInput(path);
  try {
    return { dump: openDump(source), source };
  } catch (error) {
    source.close();
    if (!(error instanceof NotADumpError)) throw error;
    const text = oneLine(error.message);
    throw new InputError(text.startsWith(path) ? text : `${path}: ${text}`);
  }
}
