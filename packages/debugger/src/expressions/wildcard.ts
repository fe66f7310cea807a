/**
 * WinDbg's string wildcards: `*` any run, `?` one character, `[a-z]` a set, `#` zero or more and `+` one or more of the
 * preceding character or set, backslash escapes. Case-insensitive. Linear time in text x pattern: no backtracking.
 */

interface Element {
  readonly matches: (code: string) => boolean;
  readonly min: 0 | 1;
  readonly many: boolean;
}

function setMatcher(body: string): (c: string) => boolean {
  const ranges: [string, string][] = [];
  for (let i = 0; i < body.length; i++) {
    const c = body[i] as string;
    if (body[i + 1] === '-' && i + 2 < body.length) {
      ranges.push([c, body[i + 2] as string]);
      i += 2;
    } else ranges.push([c, c]);
  }
  return (c) => ranges.some(([low, high]) => c >= low && c <= high);
}

function parse(pattern: string, leadingUnderscores: boolean): Element[] {
  const elements: Element[] = [];
  let i = 0;
  if (leadingUnderscores && pattern.startsWith('_')) {
    // In symbol patterns a leading underscore stands for any number of them, none included.
    while (pattern[i] === '_') i++;
    elements.push({ matches: (c) => c === '_', min: 0, many: true });
  }
  while (i < pattern.length) {
    const c = pattern[i++] as string;
    let matches: (c: string) => boolean;
    if (c === '*') {
      elements.push({ matches: () => true, min: 0, many: true });
      continue;
    }
    if (c === '?') matches = () => true;
    else if (c === '[') {
      const close = pattern.indexOf(']', i);
      if (close < 0) matches = (x) => x === '[';
      else {
        matches = setMatcher(pattern.slice(i, close));
        i = close + 1;
      }
    } else {
      const literal = c === '\\' && i < pattern.length ? (pattern[i++] as string) : c;
      matches = (x) => x === literal;
    }
    const next = pattern[i];
    if (next === '#' || next === '+') {
      i++;
      elements.push({ matches, min: next === '+' ? 1 : 0, many: true });
    } else elements.push({ matches, min: 1, many: false });
  }
  return elements;
}

/** A matcher for many texts. `symbol` lets a leading `_` match any count of underscores. */
export function compileWildcard(pattern: string, options: { symbol?: boolean } = {}): (text: string) => boolean {
  const elements = parse(pattern.toLowerCase(), options.symbol === true);
  const n = elements.length;
  let now = new Uint8Array(n + 1);
  let later = new Uint8Array(n + 1);
  const close = (states: Uint8Array): void => {
    for (let s = 0; s < n; s++) if (states[s] && (elements[s] as Element).min === 0) states[s + 1] = 1;
  };
  return (text) => {
    now.fill(0);
    now[0] = 1;
    close(now);
    for (const c of text.toLowerCase()) {
      later.fill(0);
      let any = false;
      for (let s = 0; s < n; s++) {
        const element = elements[s] as Element;
        if (!now[s] || !element.matches(c)) continue;
        any = true;
        // A `+` element that has matched once goes on in the state behind it, as `#` would.
        later[s + 1] = 1;
        if (element.many) later[s] = 1;
      }
      close(later);
      [now, later] = [later, now];
      if (!any) return false;
    }
    return now[n] === 1;
  };
}

export function matchWildcard(pattern: string, text: string): boolean {
  return compileWildcard(pattern)(text);
}

export function hasWildcard(text: string): boolean {
  return /[*?[#]/.test(text);
}
