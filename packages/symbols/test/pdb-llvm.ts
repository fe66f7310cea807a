/** Runs llvm-pdbutil-19 and parses what it prints. */
import { execFileSync, spawnSync } from 'node:child_process';

export const LLVM_PDBUTIL = 'llvm-pdbutil-19';

export function hasTool(name: string): boolean {
  return spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0;
}

export function dump(path: string, ...options: string[]): string[] {
  return execFileSync(LLVM_PDBUTIL, ['dump', ...options, path], { encoding: 'latin1', maxBuffer: 1 << 30 }).split('\n');
}

/** `0001:00000120` as `1:288`. */
function key(section: string, offset: string, base: number): string {
  return `${Number.parseInt(section, 10)}:${Number.parseInt(offset, base)}`;
}

/** `name section:offset flags`, sorted. */
export function llvmPublics(path: string): string[] {
  const out: string[] = [];
  let name: string | null = null;
  for (const line of dump(path, '-publics')) {
    const head = /S_PUB32 \[size = \d+\] `(.*)`\r?$/.exec(line);
    if (head !== null) name = head[1] ?? '';
    const place = /flags = (.*), addr = (\d+):(\d+)/.exec(line);
    if (place !== null && name !== null) {
      const isFunction = /function/.test(place[1] ?? '') ? 'f' : '-';
      out.push(`${name} ${key(place[2] ?? '', place[3] ?? '', 10)} ${isFunction}`);
      name = null;
    }
  }
  return out.sort();
}

export interface LlvmType {
  readonly index: number;
  readonly leaf: string;
  readonly name: string;
  readonly text: readonly string[];
}

/** TPI records by index. */
export function llvmTypes(path: string): Map<number, LlvmType> {
  const out = new Map<number, LlvmType>();
  let current: { index: number; leaf: string; name: string; text: string[] } | null = null;
  for (const line of dump(path, '-types')) {
    const head = /^\s*0x([0-9A-F]+) \| (\w+) \[size = \d+[^\]]*\](?: `(.*)`)?\s*$/.exec(line);
    if (head !== null) {
      current = { index: Number.parseInt(head[1] ?? '', 16), leaf: head[2] ?? '', name: head[3] ?? '', text: [] };
      out.set(current.index, current);
    } else current?.text.push(line.trim());
  }
  return out;
}

/** `0x0022 (unsigned long)` and the like, and records of the stream, as C would declare them; bit fields as their base. */
function typeText(types: ReadonlyMap<number, LlvmType>, reference: string): string {
  let suffix = '';
  for (let at = reference; ; ) {
    const simple = /^0x[0-9A-F]+ \((.*)\)$/.exec(at)?.[1];
    if (simple !== undefined) {
      const stars = /\**$/.exec(simple)?.[0] ?? '';
      const name = simple.slice(0, simple.length - stars.length);
      return `${name}${stars === '' ? '' : ` ${stars}`}${suffix.startsWith(' *') && stars !== '' ? suffix.slice(1) : suffix}`;
    }
    const type = types.get(Number.parseInt(at, 16));
    const all = type?.text.join(' ') ?? '';
    const referent = /(?:referent|^type) = (0x[0-9A-F]+(?: \([^)]*\))?)/.exec(all)?.[1] ?? '';
    if (type?.leaf === 'LF_MODIFIER' || type?.leaf === 'LF_BITFIELD') at = referent;
    else if (type?.leaf === 'LF_POINTER') {
      suffix = suffix.startsWith(' *') ? ` *${suffix.slice(1)}` : ` *${suffix}`;
      at = referent;
    } else if (type?.leaf === 'LF_ARRAY') {
      const element = /element type: (0x[0-9A-F]+(?: \([^)]*\))?)/.exec(all)?.[1] ?? '';
      const size = sizeOf(types, element);
      const count = size === 0 ? 0 : Math.floor(Number(/size: (\d+)/.exec(all)?.[1]) / size);
      suffix = suffix.startsWith('[') || suffix === '' ? `[${count}]${suffix}` : ` (${suffix.trim()})[${count}]`;
      at = element;
    } else if (type?.leaf === 'LF_PROCEDURE' || type?.leaf === 'LF_MFUNCTION') return `function${suffix}`;
    else return `${type?.name}${suffix}`;
  }
}

const byName = new WeakMap<object, Map<string, string>>();

/** Index of each definition by name; llvm does not resolve every forward reference in its listing. */
function definitions(types: ReadonlyMap<number, LlvmType>): Map<string, string> {
  let names = byName.get(types);
  if (names === undefined) {
    names = new Map();
    for (const type of types.values()) {
      if (!type.text.some((line) => line.includes('forward ref'))) names.set(type.name, `0x${type.index.toString(16)}`);
    }
    byName.set(types, names);
  }
  return names;
}

const SIMPLE_SIZES: Readonly<Record<string, number>> = {
  char: 1,
  'signed char': 1,
  'unsigned char': 1,
  bool: 1,
  char8_t: 1,
  short: 2,
  'unsigned short': 2,
  wchar_t: 2,
  char16_t: 2,
  long: 4,
  'unsigned long': 4,
  int: 4,
  unsigned: 4,
  float: 4,
  char32_t: 4,
  HRESULT: 4,
  double: 8,
  __int64: 8,
  'unsigned __int64': 8,
};

function sizeOf(types: ReadonlyMap<number, LlvmType>, reference: string): number {
  for (let at = reference; ; ) {
    const simple = /^0x([0-9A-F]+) \((.*)\)$/.exec(at);
    if (simple !== null) {
      const mode = Number.parseInt(simple[1] ?? '', 16) >> 8;
      return mode === 0 ? (SIMPLE_SIZES[simple[2] ?? ''] ?? 0) : mode === 6 ? 8 : 4;
    }
    const type = types.get(Number.parseInt(at, 16));
    const all = type?.text.join(' ') ?? '';
    if (type?.leaf === 'LF_POINTER') {
      const member = /kind = ptr(\d+)/.exec(all)?.[1];
      return /pointer to member/.test(all) ? Number.NaN : Number(member) / 8;
    }
    if (type?.leaf === 'LF_ARRAY') return Number(/size: (\d+)/.exec(all)?.[1]);
    if (type?.leaf === 'LF_MODIFIER') at = /referent = (0x[0-9A-F]+(?: \([^)]*\))?)/.exec(all)?.[1] ?? '';
    else if (type?.leaf === 'LF_ENUM' && !all.includes('forward ref')) {
      at = /underlying type: (0x[0-9A-F]+ \([^)]*\))/.exec(all)?.[1] ?? '';
    } else {
      if (!all.includes('forward ref')) return Number(/sizeof (\d+)/.exec(all)?.[1] ?? 0);
      const definition = definitions(types).get(type?.name ?? '');
      if (definition === undefined) return 0;
      at = definition;
    }
  }
}

/** Layout facts of every definition, one line each, in terms of indices: `0x1234 struct NAME size N`, members, values. */
export function llvmLayouts(types: ReadonlyMap<number, LlvmType>): string[] {
  const out: string[] = [];
  const kinds: Readonly<Record<string, string>> = {
    LF_STRUCTURE: 'struct',
    LF_CLASS: 'class',
    LF_INTERFACE: 'class',
    LF_UNION: 'union',
    LF_ENUM: 'enum',
  };
  for (const type of types.values()) {
    const kind = kinds[type.leaf];
    const all = type.text.join('\n');
    if (kind === undefined || all.includes('forward ref')) continue;
    const list = /field list: (?:0x([0-9A-F]+)|<no type>)/.exec(all)?.[1];
    const size = kind === 'enum' ? '' : ` size ${/sizeof (\d+)/.exec(all)?.[1]}`;
    const id = `0x${type.index.toString(16)}`;
    out.push(`${id} ${kind} ${type.name}${size}`);
    let next = list === undefined ? null : Number.parseInt(list, 16);
    while (next !== null) {
      const fields: readonly string[] = types.get(next)?.text ?? [];
      next = null;
      for (const [i, line] of fields.entries()) {
        const member = /^- LF_MEMBER \[name = `(.*)`, Type = (0x[0-9A-F]+(?: \(.*\))?), offset = (\d+), attrs/.exec(
          line,
        );
        const value = /^- LF_ENUMERATE \[(.*) = (-?\d+)\]$/.exec(line);
        const base = /^- LF_BCLASS/.test(line) ? /^type = (\S+), offset = (\d+)/.exec(fields[i + 1] ?? '') : null;
        const more = /^- LF_INDEX continuation = 0x([0-9A-F]+)/.exec(line);
        if (member !== null) {
          const target = types.get(Number.parseInt(member[2] ?? '', 16));
          const bits = /bit offset = (\d+), # bits = (\d+)/.exec(
            target?.leaf === 'LF_BITFIELD' ? target.text.join('') : '',
          );
          const text = typeText(types, member[2] ?? '');
          out.push(`${id} .${member[1]} ${member[3]} bits ${bits === null ? '-' : `${bits[1]}+${bits[2]}`} ${text}`);
        } else if (value !== null) out.push(`${id} ${value[1]} = ${value[2]}`);
        else if (more !== null) next = Number.parseInt(more[1] ?? '', 16);
        else if (base !== null) out.push(`${id} base ${base[2]} ${typeText(types, base[1] ?? '')}`);
      }
    }
  }
  return out;
}

/** FPO and FRAMEDATA rows as llvm prints them: columns joined by blanks, in file order; RVAs as stored. */
export function llvmFrames(path: string): { fpo: string[]; frameData: string[] } {
  const fpo: string[] = [];
  const frameData: string[] = [];
  let into: string[] | null = null;
  for (const line of dump(path, '-fpo')) {
    if (line.includes('Old FPO Data')) into = fpo;
    else if (line.includes('New FPO Data')) into = frameData;
    else if (/^[0-9A-F]{8} \|/.test(line)) {
      const cells = line.split('|').map((cell) => cell.trim());
      into?.push(cells.join(' | '));
    }
  }
  return { fpo, frameData };
}

/** `section:offset line file`, in file order. */
export function llvmLines(path: string): string[] {
  // For a module without a stream llvm-pdbutil 19 prints the lines of the module before it once more.
  const without = new Set<string>();
  let module = '';
  for (const line of dump(path, '-modules')) {
    module = /^Mod (\d+) \|/.exec(line)?.[1] ?? module;
    if (line.startsWith('debug stream: 65535')) without.add(module);
  }
  const out: string[] = [];
  let file = '';
  let section = '';
  module = '';
  for (const line of dump(path, '-l')) {
    const start = /^Mod (\d+) \|/.exec(line);
    if (start !== null) {
      module = start[1] ?? '';
      file = '';
      continue;
    }
    if (without.has(module)) continue;
    const block = /^ {2}(\d{4}):[0-9A-F]{8}-[0-9A-F]{8}, line\/addr entries = \d+/.exec(line);
    if (block !== null) {
      section = block[1] ?? '';
      continue;
    }
    const head = /^(\S.*?)(?: \((?:MD5|SHA-1|SHA-256|no checksum)[^)]*\))?\s*$/.exec(line);
    if (head !== null && section !== '' && !/^ /.test(line)) {
      file = head[1] ?? '';
      continue;
    }
    if (head !== null && !/^ /.test(line)) {
      file = head[1] ?? '';
      continue;
    }
    for (const pair of line.matchAll(/(\S+) ([0-9A-F]{8})(?:\s|$)/g)) {
      // "always step into", "never step into"
      const text = pair[1] === 'ASI' ? '16707566' : pair[1] === 'NSI' ? '15732480' : pair[1];
      out.push(`${key(section, pair[2] ?? '', 16)} ${text} ${file}`);
    }
  }
  return out;
}

export interface LlvmSummary {
  readonly guid: string;
  readonly age: number;
  readonly blockSize: number;
  readonly streams: number;
  readonly stripped: boolean;
  readonly hasIds: boolean;
}

export function llvmSummary(path: string): LlvmSummary {
  const text = dump(path, '-summary').join('\n');
  const find = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? '';
  return {
    guid: find(/GUID: \{(.*)\}/),
    age: Number(find(/Age: (\d+)/)),
    blockSize: Number(find(/Block Size: (\d+)/)),
    streams: Number(find(/Number of streams: (\d+)/)),
    stripped: find(/Is stripped: (\w+)/) === 'true',
    hasIds: find(/Has IDs: (\w+)/) === 'true',
  };
}

/** Stream sizes by index. */
export function llvmStreams(path: string): number[] {
  const out: number[] = [];
  for (const line of dump(path, '-streams')) {
    const stream = /Stream\s+(\d+) \(\s*(\d+) bytes\)/.exec(line);
    // A stream that does not exist has size -1.
    if (stream !== null) out[Number(stream[1])] = Number(stream[2]) === 0xffff_ffff ? 0 : Number(stream[2]);
  }
  return out;
}

/** Section addresses, from 1. */
export function llvmSections(path: string): number[] {
  const out: number[] = [];
  let section = 0;
  for (const line of dump(path, '-section-headers')) {
    const head = /SECTION HEADER #(\d+)/.exec(line);
    if (head !== null) section = Number(head[1]);
    const address = /^\s*([0-9A-F]+) virtual address/.exec(line);
    // The second table is that of the original sections.
    if (address !== null && out[section] === undefined) out[section] = Number.parseInt(address[1] ?? '', 16);
  }
  return out;
}
