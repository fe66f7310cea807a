import { type Command, type CommandResult, defineCommand } from '../command.ts';
import { result } from '../format/lines.ts';

/** The commands whose name begins with `prefix`, one a line. */
export function helpResult(list: readonly Command[], prefix: string): CommandResult {
  const rows = list
    .filter((c) => c.names.some((name) => name.startsWith(prefix)))
    .map((c) => ({ names: c.names, usage: c.usage, summary: c.summary }))
    .sort((a, b) => compare(a.usage, b.usage));
  const width = Math.min(28, Math.max(0, ...rows.map((r) => r.usage.length)));
  return result(
    rows,
    rows.map((r) => `${r.usage.padEnd(width)}  ${r.summary}`),
  );
}

function compare(a: string, b: string): number {
  const [x, y] = [a.replace(/^[.!?~]+/, '').toLowerCase(), b.replace(/^[.!?~]+/, '').toLowerCase()];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The list comes from the registry, which cannot be imported from here: it contains this command. */
export function helpCommand(list: () => readonly Command[]): Command {
  return defineCommand({
    names: ['.help', '.hh', '!help'],
    summary: 'list the commands',
    usage: '.help [beginning of a name]',
    fidelity: 'Our own list.',
    run: (_session, args) => helpResult(list(), args.trim()),
  });
}
