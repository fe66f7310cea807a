/** One command of a line: its text, and where in the line it begins. */
export interface Segment {
  readonly text: string;
  readonly start: number;
}

/**
 * Cuts a line at `;` and newlines outside quotes and braces. `*` at the start of a command is a comment to the end of
 * the line, `$$` one to the next `;`.
 */
export function splitLine(line: string): readonly Segment[] {
  const segments: Segment[] = [];
  let start = 0;
  let depth = 0;
  let quoted = false;
  const push = (end: number): void => {
    const raw = line.slice(start, end);
    const text = raw.trim();
    if (text !== '') segments.push({ text, start: start + (raw.length - raw.trimStart().length) });
  };
  for (let at = 0; at <= line.length; at++) {
    const c = line[at];
    if (c === undefined || (c === '\n' && depth === 0) || (c === ';' && depth === 0 && !quoted)) {
      push(at);
      start = at + 1;
      quoted = false;
      continue;
    }
    if (c === '*' && line.slice(start, at).trim() === '') {
      const newline = line.indexOf('\n', at);
      const end = newline < 0 ? line.length : newline;
      push(end);
      start = end + 1;
      at = end;
    } else if (c === '"') quoted = !quoted;
    else if (c === '{' && !quoted) depth++;
    else if (c === '}' && !quoted && depth > 0) depth--;
  }
  if (start < line.length) push(line.length);
  return segments;
}
