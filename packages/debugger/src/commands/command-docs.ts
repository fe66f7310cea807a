import type { Command } from './command.ts';

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** docs/commands.md out of what the commands say about themselves; a test keeps the file in step. */
export function commandDocs(commands: readonly Command[]): string {
  const sorted = [...commands].sort((a, b) => compare(a.names[0] ?? '', b.names[0] ?? ''));
  const rows = sorted.map(
    (c) =>
      `| ${c.names.map((n) => `\`${cell(n)}\``).join(' ')} | \`${cell(c.usage)}\` | ${cell(c.summary)} | ${cell(c.fidelity)} |`,
  );
  return `# Commands of \`dumpscope debug\`

Generated from the commands' own descriptions (\`packages/debugger/src/commands\`). Names, arguments and columns are WinDbg's
(\`dumpscope debug DUMP -c "!thread; k"\`); the last column says where the output differs. \`--json\` prints one object a
command: \`{command, rows, text, error}\`, addresses as \`"0x…"\`.

A line holds commands separated by \`;\` outside quotes and braces; \`*\` and \`$$\` begin comments. \`~2s\` makes processor 2 the
current one, \`~2 k\` and \`2k\` run one command there. Unlike WinDbg, an error does not drop the rest of the line. Enter on an
empty line repeats the last one; memory and code displays then go on where they stopped. Numbers are hexadecimal unless
\`n\` says otherwise; expressions are MASM, \`@@c++( … )\` switches.

| names | usage | what it does | how faithful |
|---|---|---|---|
${rows.join('\n')}
`;
}

function compare(a: string, b: string): number {
  const [x, y] = [a.replace(/^[.!?~]+/, ''), b.replace(/^[.!?~]+/, '')];
  return x.toLowerCase() < y.toLowerCase() ? -1 : x.toLowerCase() > y.toLowerCase() ? 1 : a < b ? -1 : 1;
}
