import { parseMasmNumber } from '../../expressions/masm-number.ts';
import { CommandError, type Session } from '../command.ts';

export interface FieldPattern {
  /** Path as typed, without trailing dots, stars. */
  readonly path: string;
  readonly prefix: boolean;
  /** Levels of subfields to show, one a trailing dot. */
  readonly depth: number;
}

export interface DtArguments {
  readonly type: string;
  readonly fields: readonly FieldPattern[];
  /** Expression text of the address. */
  readonly address: string | null;
  readonly recurse: number; // 0: none
  readonly blocks: boolean; // -b
  readonly verbose: boolean; // -v
  readonly full: boolean; // -d: with a wildcard each type is shown, not only named
  readonly compact: boolean; // -c
  readonly physical: boolean; // -p
  readonly typesOnly: boolean; // -t
  readonly enumerate: boolean; // -e, -s
  readonly noOffsets: boolean; // -o
  readonly noIndent: boolean; // -i
  readonly arrays: number | null; // -a[n]: elements to list
  readonly namePrefix: boolean; // -y before the name
  readonly list: string | null; // -l
  readonly size: number | null; // -s
}

/** Words of the command, parentheses kept together. */
function words(text: string): string[] {
  return text.match(/(?:\([^)]*\)|[^\s(])+/g) ?? [];
}

function looksLikeAddress(session: Session, word: string): boolean {
  return /^[@(]|^poi\(/.test(word) || parseMasmNumber(word.replace(/[+-].*$/, ''), session.radix) !== undefined;
}

/**
 * `dt [-options] [module!]Name [[-y] Field]... [Address] [-l List]`, or the address first. A word of hex digits is an
 * address unless `-n` stands before it. Words that are no field of the type become the address.
 */
export function parseDt(session: Session, text: string, isField: (type: string, path: string) => boolean): DtArguments {
  let type: string | null = null;
  let address: string | null = null;
  let recurse = 0;
  let blocks = false;
  let verbose = false;
  let full = false;
  let compact = false;
  let physical = false;
  let typesOnly = false;
  let enumerate = false;
  let noOffsets = false;
  let noIndent = false;
  let arrays: number | null = null;
  let namePrefix = false;
  let list: string | null = null;
  let size: number | null = null;
  let nextIsPrefix = false;
  let nextIsName = false;
  const fields: FieldPattern[] = [];
  const all = words(text);
  for (let i = 0; i < all.length; i++) {
    const word = all[i] as string;
    if (/^-[a-z]/i.test(word)) {
      for (let letters = word.slice(1); letters !== ''; ) {
        const letter = letters[0] as string;
        letters = letters.slice(1);
        const digits = /^\d+/.exec(letters)?.[0] ?? '';
        if (letter === 'r' || letter === 'a') letters = letters.slice(digits.length);
        if (letter === 'r') recurse = digits === '' ? 5 : Math.min(Number(digits), 9);
        else if (letter === 'a') arrays = digits === '' ? Number.MAX_SAFE_INTEGER : Number(digits);
        else if (letter === 'b') blocks = true;
        else if (letter === 'v') verbose = true;
        else if (letter === 'd') full = verbose = true;
        else if (letter === 'c') compact = true;
        else if (letter === 'p') physical = true;
        else if (letter === 't') typesOnly = true;
        else if (letter === 'e') enumerate = true;
        else if (letter === 'o') noOffsets = true;
        else if (letter === 'i') noIndent = true;
        else if (letter === 'y') nextIsPrefix = true;
        else if (letter === 'n') nextIsName = true;
        else if (letter === 'l') list = all[++i] ?? '';
        else if (letter === 's') {
          size = Number.parseInt(all[++i] ?? '', 16);
          enumerate = true;
          if (Number.isNaN(size)) throw new CommandError('Syntax error', { at: text.indexOf(word) });
        } else throw new CommandError('Syntax error', { at: text.indexOf(word) });
      }
      continue;
    }
    const numeric = !nextIsName && looksLikeAddress(session, word);
    if (type === null && !numeric) {
      type = word.replace(/^\((.*)\)$/, '$1');
      namePrefix = nextIsPrefix;
    } else if (type === null || numeric) address = joinAddress(address, word);
    else {
      const depth = /\.*$/.exec(word)?.[0].length ?? 0;
      const star = word.endsWith('*');
      const path = word.slice(0, word.length - (star ? 1 : depth));
      const prefix = nextIsPrefix || star || depth > 0;
      if (
        !prefix &&
        !nextIsName &&
        !isField(type, path) &&
        address === null &&
        !word.startsWith('*') &&
        /^[A-Za-z_$][\w$]*!|[+*]|-(?!>)/.test(word)
      )
        address = word;
      else fields.push({ path, prefix, depth });
    }
    nextIsPrefix = false;
    nextIsName = false;
  }
  if (type === null) throw new CommandError("Numeric expression missing from '<EOL>'");
  return {
    type,
    fields,
    address,
    recurse,
    blocks,
    verbose,
    full,
    compact,
    physical,
    typesOnly,
    enumerate,
    noOffsets,
    noIndent,
    arrays,
    namePrefix,
    list,
    size,
  };
}

function joinAddress(before: string | null, word: string): string {
  return before === null ? word : `${before} ${word}`;
}
