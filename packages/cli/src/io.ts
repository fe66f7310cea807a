import type { Readable } from 'node:stream';

/** The process as the commands see it, so that tests run them without one. */
export interface Io {
  /** Machine output and answers: standard output. */
  readonly out: (text: string) => void;
  /** Progress and warnings: standard error. */
  readonly err: (text: string) => void;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** The terminal to draw a prompt on; null when standard output is none. */
  readonly terminal: NodeJS.WritableStream | null;
  /** Standard error is a terminal: progress may be redrawn. */
  readonly errIsTerminal: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** True where colour is wanted: a terminal, and neither NO_COLOR nor a dumb one. */
export function wantsColor(io: Io): boolean {
  const { NO_COLOR, TERM } = io.env;
  return io.terminal !== null && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb';
}

/** Exit statuses of design.md. */
export const EXIT = { done: 0, finding: 1, usage: 2, notADump: 3 } as const;

/** Wrong usage: exit status 2, the message in one line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** An input that cannot be used (no dump, no PDB): exit status 3, the message in one line. */
export class InputError extends Error {
  override readonly name = 'InputError';
}

export function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, ' ').trim();
}
