import type { CommandResult } from '../command.ts';

/** A result out of rows and lines; every line ends in a newline. */
export function result<Row>(rows: readonly Row[], lines: readonly string[]): CommandResult<Row> {
  return { rows, text: lines.map((line) => `${line}\n`).join('') };
}
