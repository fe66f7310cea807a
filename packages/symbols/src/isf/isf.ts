import { RvaSymbolTable } from '../rva-symbol-table.ts';
import type { SymbolTable } from '../symbol-table.ts';
import type { TypeTable } from '../type-table.ts';
import { undecorateSymbol } from '../undecorate.ts';
import { IsfError } from './isf-error.ts';
import { asObject, type IsfProblem, IsfTypeTable, own } from './isf-types.ts';
import { isPlainObject, type JsonSection, ObjectSection, oneLine, skipSpace, TextSection } from './json-sections.ts';

/** A Volatility 3 symbol file (ISF): layouts, and public names by RVA. */
export interface IsfFile {
  /** metadata.format, `6.2.0`. */
  readonly format: string;
  /** What the file was made from; null for files made from something other than a PDB. */
  readonly pdb: { readonly name: string; readonly guid: string; readonly age: number } | null;
  /** IMAGE_FILE_HEADER.Machine, where the file says it. */
  readonly machine: number | null;
  /** metadata.producer: name and source, for reports. */
  readonly producer: string;
  readonly types: TypeTable;
  readonly symbols: SymbolTable;
  /** Types and members that were asked for and could not be read. Grows as the file is used. */
  readonly problems: readonly IsfProblem[];
}

type JsonObject = Readonly<Record<string, unknown>>;

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0;

/** The sections of the file, by whichever way it came in. */
interface Frame {
  /** The section, parsed on demand; undefined when it is absent. Throws IsfError when it is no object. */
  section(key: string): JsonSection | undefined;
  /** The whole section, parsed. */
  object(key: string): JsonObject | undefined;
}

function frameOf(input: string | Uint8Array | object, name: string): Frame {
  const wrong = (key: string): IsfError => new IsfError(`${name}: ${key} is no object`);
  if (input instanceof Uint8Array) {
    // A byte-order mark is no JSON, but editors write it.
    const start = input[0] === 0xef && input[1] === 0xbb && input[2] === 0xbf ? 3 : 0;
    const root = new TextSection(input, start, name);
    const rest = skipSpace(input, root.end);
    if (rest < input.length) throw new IsfError(`${name}: no JSON: something follows the object (at byte ${rest})`);
    return {
      section(key) {
        const section = root.section(key);
        if (!section && root.has(key)) throw wrong(key);
        return section;
      },
      object(key) {
        const value = root.get(key);
        if (value !== undefined && !isPlainObject(value)) throw wrong(key);
        return value;
      },
    };
  }
  const root = typeof input === 'string' ? parseJson(input, name) : input;
  if (!isPlainObject(root)) throw new IsfError(`${name}: the top of an ISF file is an object`);
  const object = (key: string): JsonObject | undefined => {
    const value = own(root, key);
    if (value !== undefined && !isPlainObject(value)) throw wrong(key);
    return value;
  };
  return {
    object,
    section(key) {
      const value = object(key);
      return value && new ObjectSection(value);
    },
  };
}

/**
 * Reads an ISF file from its JSON text, the bytes of that text, or the parsed object. Nothing but the frame is looked at
 * here: types and symbols are converted when they are asked for, and from bytes parsed only then. Throws IsfError when
 * the frame is not that of an ISF file; what is wrong further inside is left out and listed in `problems`.
 */
export function parseIsf(input: string | Uint8Array | object, name = 'ISF'): IsfFile {
  const frame = frameOf(input, name);
  const users = frame.section('user_types');
  if (!users) throw new IsfError(`${name}: user_types is missing`);
  const bases = frame.object('base_types');
  if (!bases) throw new IsfError(`${name}: base_types is missing`);
  const enums = frame.section('enums') ?? new ObjectSection({});
  const metadata = frame.object('metadata') ?? {};

  const problems: IsfProblem[] = [];
  const pointer = asObject(own(bases, 'pointer'));
  const size = pointer && own(pointer, 'size');
  if (size !== 4 && size !== 8) throw new IsfError(`${name}: base_types.pointer.size is ${show(size)}, not 4 or 8`);

  const windows = asObject(own(metadata, 'windows'));
  const rawPdb = windows && asObject(own(windows, 'pdb'));
  const guid = rawPdb && text(own(rawPdb, 'GUID')).replace(/[-{}]/g, '').toUpperCase();
  const age = rawPdb && own(rawPdb, 'age');
  const pdb =
    rawPdb && guid && /^[0-9A-F]{32}$/.test(guid) && isNumber(age)
      ? { name: text(own(rawPdb, 'database')), guid, age }
      : null;
  if (rawPdb && !pdb) problems.push({ where: 'metadata.windows.pdb', what: 'GUID or age is not as it should be' });
  const rawMachine = rawPdb && own(rawPdb, 'machine_type');
  const machine = isNumber(rawMachine) && rawMachine <= 0xffff ? rawMachine : null;
  const producer = asObject(own(metadata, 'producer'));
  const producerText = producer
    ? [text(own(producer, 'name')), text(own(producer, 'source'))].filter((part) => part !== '').join(': ')
    : '';

  const origin = pdb ? `ISF ${pdb.name} {${pdb.guid},${pdb.age}}` : `ISF ${name}`;
  const types = new IsfTypeTable(origin, size, users, bases, enums);
  for (const problem of problems) types.problems.push(problem);
  let table: RvaSymbolTable | undefined;
  return {
    format: text(own(metadata, 'format')),
    pdb,
    machine,
    producer: producerText,
    types,
    get symbols() {
      return (table ??= readSymbols(frame, machine ?? (size === 4 ? 0x14c : 0x8664), types.problems));
    },
    problems: types.problems,
  };
}

function parseJson(json: string, name: string): unknown {
  try {
    return JSON.parse(json.replace(/^\ufeff/, ''));
  } catch (error) {
    throw new IsfError(`${name}: no JSON: ${oneLine(error)}`);
  }
}

const show = (value: unknown): string => (value === undefined ? 'missing' : String(JSON.stringify(value)).slice(0, 40));

/** `linkage_name` is the stored name where Volatility took an underscore or the like away. */
function readSymbols(frame: Frame, machine: number, problems: IsfProblem[]): RvaSymbolTable {
  let symbols: JsonObject = {};
  try {
    symbols = frame.object('symbols') ?? {};
  } catch (error) {
    if (!(error instanceof IsfError)) throw error;
    problems.push({ where: 'symbols', what: error.message });
  }
  const names: string[] = [];
  const plain: string[] = [];
  const rvas: number[] = [];
  let bad = 0;
  for (const key of Object.keys(symbols)) {
    const symbol = asObject(symbols[key]);
    const address = symbol && own(symbol, 'address');
    if (!symbol || !isNumber(address) || address > 0xffff_ffff) {
      if (bad++ === 0) problems.push({ where: `symbols.${key}`, what: 'address is no RVA' });
      continue;
    }
    const linkage = own(symbol, 'linkage_name');
    names.push(typeof linkage === 'string' && linkage !== '' ? linkage : key);
    plain.push(key);
    rvas.push(address);
  }
  const display = (index: number): string => {
    const name = plain[index] ?? '';
    return name.startsWith('?') ? undecorateSymbol(name, machine) : name;
  };
  return new RvaSymbolTable('isf', { names, rvas, display });
}
