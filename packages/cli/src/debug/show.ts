import type { ExecutedCommand } from '@dumpscope/debugger';
import { toJson } from '../json.ts';

/** NDJSON: one object a command. */
export function jsonLine(done: ExecutedCommand): string {
  const { command, rows, text, error } = done;
  return `${toJson({ command, rows, text, error })}\n`;
}

/** The command's text, then its error in a line of its own; `echo` puts prompt and command in front, as a log has it. */
export function textOf(done: ExecutedCommand, echo: boolean): string {
  const head = echo ? `${done.prompt}${done.command}\n` : '';
  const body = done.text === '' || done.text.endsWith('\n') ? done.text : `${done.text}\n`;
  return `${head}${body}${done.error === null ? '' : `${done.error}\n`}`;
}
