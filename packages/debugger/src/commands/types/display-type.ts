import type { Field, StructType, TypeRef } from '@dumpscope/symbols';
import { resolveFieldPath } from '../../expressions/field-path.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { compileWildcard } from '../../expressions/wildcard.ts';
import type { Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { sessionMemory } from '../session/session.ts';
import type { FieldPattern } from './dt-arguments.ts';
import { sizeOrUndefined, structSummary, structText, typeText, verboseText } from './type-text.ts';
import { scalarAt, scalarText, shortValue } from './value-text.ts';

export interface FieldRow {
  /** `Links.Flink` from the outermost structure. */
  readonly path: string;
  readonly offset: number;
  readonly type: string;
  readonly address: bigint | null;
  readonly value: bigint | null;
  readonly text: string;
}

export interface DisplayOptions {
  readonly recurse?: number;
  readonly blocks?: boolean;
  readonly verbose?: boolean;
  readonly noOffsets?: boolean;
  readonly noIndent?: boolean;
  readonly arrays?: number | null;
  readonly fields?: readonly FieldPattern[];
  /** All fields in one line, an array element one line. */
  readonly compact?: boolean;
}

export interface Display {
  readonly rows: readonly FieldRow[];
  readonly lines: readonly string[];
}

/** Rows of one command; deeper and longer displays stop here and say so. */
const MAX_ROWS = 10_000;
const MAX_DEPTH = 16;
/** Fields that patterns are compared with; `a.....c` goes through all pointers on the way. */
const MAX_VISITED = 200_000;

/** Draws structures; one instance a command, because limits count over the whole output. */
class Drawer {
  readonly rows: FieldRow[] = [];
  readonly lines: string[] = [];
  readonly #session: Session;
  readonly #options: DisplayOptions;
  #firstMissing: bigint | null = null;
  #visited = 0;
  /** In compact output the last line is one that fields are still added to. */
  #isOpen = false;

  constructor(session: Session, options: DisplayOptions) {
    this.#session = session;
    this.#options = options;
  }

  get full(): boolean {
    return this.rows.length >= MAX_ROWS;
  }

  /** Fields of a structure at `address` (null: the type alone). `level` is the indentation, `depth` what may expand. */
  struct(struct: StructType, address: bigint | null, path: string, level: number, depth: number): void {
    for (const field of struct.fields.values()) {
      if (this.full) return;
      this.field(field, address, path, level, depth);
    }
  }

  field(field: Field, base: bigint | null, path: string, level: number, depth: number): void {
    const { target } = this.#session;
    const { table } = target.layouts;
    const address = base === null ? null : targetAddress(base + BigInt(field.offset), target.pointerSize);
    const full = path === '' ? field.name : `${path}.${field.name}`;
    const isVerbose = this.#options.verbose === true;
    const text =
      address === null
        ? isVerbose
          ? verboseText(field.type, table)
          : typeText(field.type)
        : isVerbose
          ? this.#verboseValue(field.type, address)
          : scalarText(this.#session, field.type, address);
    this.row(field.name, full, field.offset, field.type, address, text, level);
    this.expand(field.type, address, full, level, depth);
  }

  /** A value with what `-v` adds: sizes of structures, also of those that pointers lead to. */
  #verboseValue(type: TypeRef, address: bigint): string {
    const { table } = this.#session.target.layouts;
    if (type.kind === 'struct') return `${structSummary(type.name, table)}${this.#short(type.name, address)}`;
    const text = scalarText(this.#session, type, address);
    if (type.kind === 'bitfield') return `Bitfield ${text}`;
    const name = type.kind === 'pointer' && type.to.kind === 'struct' ? type.to.name : null;
    const bare = name === null ? '' : ` ${structText(name)}`;
    return name === null || !text.endsWith(bare)
      ? text
      : `${text.slice(0, text.length - bare.length)} ${structSummary(name, table)}`;
  }

  #short(name: string, address: bigint): string {
    const short = shortValue(this.#session, name, address);
    return short === undefined ? '' : ` ${short}`;
  }

  row(
    name: string,
    path: string,
    offset: number,
    type: TypeRef,
    address: bigint | null,
    text: string,
    level: number,
  ): void {
    const indent = this.#options.noIndent === true ? '   ' : '   '.repeat(level + 1);
    const offsetText = this.#options.noOffsets === true ? '' : `+0x${offset.toString(16).padStart(3, '0')} `;
    const value = address === null ? null : (scalarAt(this.#session, type, address) ?? null);
    if (address !== null && value === null && /(?:^| )\?\?(?:\?\?)? ?$/.test(text)) this.#firstMissing ??= address;
    this.rows.push({ path, offset, type: typeText(type), address, value, text: text.trim() });
    if (this.#options.compact !== true) {
      this.lines.push(`${indent}${offsetText}${name.padEnd(16)} : ${text}`);
      return;
    }
    const piece = `${offsetText}${name} : ${text.trim()}`.trimEnd();
    if (this.#isOpen) this.lines[this.lines.length - 1] += `  ${piece}`;
    else this.lines.push(`   ${piece}`);
    this.#isOpen = true;
  }

  /** Subfields, array elements and, with -r, what pointers lead to. */
  expand(type: TypeRef, address: bigint | null, path: string, level: number, depth: number): void {
    if (this.full || level >= MAX_DEPTH) return;
    const { table } = this.#session.target.layouts;
    if (type.kind === 'array' && this.#options.arrays != null && address !== null) {
      this.#elements(type, address, path, level, depth);
      return;
    }
    if (type.kind === 'array' && type.of.kind === 'struct' && this.#options.blocks === true && address !== null) {
      this.#elements(type, address, path, level, depth);
      return;
    }
    if (depth <= 0) return;
    if (type.kind === 'struct') {
      const struct = table.struct(type.name);
      if (struct !== undefined) this.struct(struct, address, path, level + 1, depth - 1);
    } else if (type.kind === 'pointer' && type.to.kind === 'struct' && this.#options.blocks !== true) {
      const struct = table.struct(type.to.name);
      const pointer = address === null ? undefined : scalarAt(this.#session, type, address);
      if (struct !== undefined && pointer !== undefined && pointer !== 0n) {
        this.struct(struct, pointer, path, level + 1, depth - 1);
      }
    }
  }

  #elements(
    type: Extract<TypeRef, { kind: 'array' }>,
    address: bigint,
    path: string,
    level: number,
    depth: number,
  ): void {
    const { table } = this.#session.target.layouts;
    const size = sizeOrUndefined(type.of, table);
    if (size === undefined) return;
    const count = Math.min(type.count, this.#options.arrays ?? type.count);
    for (let i = 0; i < count && !this.full; i++) {
      const at = targetAddress(address + BigInt(i * size), this.#session.target.pointerSize);
      const index = `[${String(i).padStart(2, '0')}]`;
      const name = `${path}${`[${i}]`}`;
      const struct = type.of.kind === 'struct' ? table.struct(type.of.name) : undefined;
      const text = scalarText(this.#session, type.of, at);
      const value = scalarAt(this.#session, type.of, at) ?? null;
      this.rows.push({
        path: name,
        offset: i * size,
        type: typeText(type.of),
        address: at,
        value,
        text: text.trim(),
      });
      this.lines.push(`${'   '.repeat(level + 1)} ${index} ${text}`.trimEnd());
      this.#isOpen = true;
      if (struct !== undefined) this.struct(struct, at, name, level + 1, Math.max(0, depth - 1));
    }
    this.#isOpen = false;
  }

  /** Fields chosen by patterns: exact paths, prefixes, and subfields one level a trailing dot. */
  chosen(struct: StructType, address: bigint | null, patterns: readonly FieldPattern[], depth: number): string[] {
    const missing: string[] = [];
    for (const pattern of patterns) {
      if (!this.#pattern(struct, address, pattern, depth)) missing.push(pattern.path);
    }
    return missing;
  }

  #pattern(struct: StructType, address: bigint | null, pattern: FieldPattern, depth: number): boolean {
    // `a..c` goes through every field between.
    const steps = pattern.path.split(/\.|->/);
    const visit = (at: StructType, base: bigint | null, index: number, path: string): boolean => {
      let found = false;
      const step = steps[index] as string;
      const last = index === steps.length - 1;
      const [, name, subscript] = /^([^[]*)(?:\[(\d+)\])?$/.exec(step) ?? [];
      // A step that is a field's whole name means that field alone, unless it is the last.
      const isExact = !(pattern.prefix && (last || !at.fields.has(name ?? '')));
      const matches = /[*?]/.test(name ?? '')
        ? compileWildcard(isExact ? (name ?? '') : `${name}*`)
        : (field: string) => (isExact ? field === name : field.toLowerCase().startsWith((name ?? '').toLowerCase()));
      for (const field of at.fields.values()) {
        if (this.full || ++this.#visited > MAX_VISITED) return found;
        if (!matches(field.name)) continue;
        if (!last) {
          const inside = this.#inside(field, base);
          if (inside === null) continue;
          const before = [this.rows.length, this.lines.length, this.lines.at(-1), this.#isOpen] as const;
          this.row(field.name, join(path, field.name), field.offset, field.type, base, '', index);
          const hit = visit(inside.struct, inside.address, index + 1, join(path, field.name));
          found ||= hit;
          if (!hit) {
            this.rows.length = before[0];
            this.lines.length = before[1];
            if (before[2] !== undefined) this.lines[before[1] - 1] = before[2];
            this.#isOpen = before[3];
          }
          continue;
        }
        found = true;
        if (subscript !== undefined && field.type.kind === 'array') {
          const size = sizeOrUndefined(field.type.of, this.#session.target.layouts.table) ?? 0;
          const element: Field = {
            name: `${field.name} [${subscript}]`,
            offset: field.offset + Number(subscript) * size,
            type: field.type.of,
          };
          this.field(element, base, path, index, Math.max(depth, pattern.depth));
        } else this.field(field, base, path, index, Math.max(depth, pattern.depth));
      }
      return found;
    };
    return visit(struct, address, 0, '');
  }

  /** The structure that a step of a path leads into: the field itself, or what its pointer points to. */
  #inside(field: Field, base: bigint | null): { struct: StructType; address: bigint | null } | null {
    const { table } = this.#session.target.layouts;
    const address = base === null ? null : base + BigInt(field.offset);
    if (field.type.kind === 'struct') {
      const struct = table.struct(field.type.name);
      return struct === undefined ? null : { struct, address };
    }
    if (field.type.kind !== 'pointer' || field.type.to.kind !== 'struct') return null;
    const struct = table.struct(field.type.to.name);
    const pointer = address === null ? undefined : scalarAt(this.#session, field.type, address);
    if (struct === undefined || pointer === 0n) return null;
    return { struct, address: pointer ?? null };
  }

  finish(): void {
    if (this.full) this.lines.push(`(stopped after ${MAX_ROWS} fields)`);
    if (this.#firstMissing !== null) {
      const missing = this.#firstMissing;
      this.lines.push(`Memory read error ${engineAddress(missing, this.#session.target).replace('`', '')}`);
    }
  }
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/** The fields of one structure as `dt` and `??` list them, the short form of known structures first. */
export function structLines(
  session: Session,
  name: string,
  address: bigint | null,
  options: DisplayOptions = {},
): Display & { readonly missing: readonly string[] } {
  const struct = session.target.layouts.table.struct(name);
  if (struct === undefined) return { rows: [], lines: [], missing: [] };
  const drawer = new Drawer(session, options);
  const short = address === null ? undefined : shortValue(session, name, address);
  if (short !== undefined && (options.fields ?? []).length === 0) drawer.lines.push(` ${short}`);
  const depth = options.blocks === true ? MAX_DEPTH : (options.recurse ?? 0);
  let missing: string[] = [];
  if (options.fields !== undefined && options.fields.length > 0) {
    missing = drawer.chosen(struct, address, options.fields, depth);
  } else drawer.struct(struct, address, '', 0, depth);
  drawer.finish();
  return { rows: drawer.rows, lines: drawer.lines, missing };
}

/** The address a list field leads to next: `ActiveProcessLinks.Flink` minus the field's place, 0 at a null link. */
export function nextInList(session: Session, type: string, address: bigint, path: string): bigint | undefined {
  const { target } = session;
  const field = resolveFieldPath(target.layouts.table, { kind: 'struct', name: type }, path);
  if (field === undefined) return undefined;
  const link = sessionMemory(session).pointer(address + BigInt(field.offset));
  if (link === undefined || link === 0n) return link;
  // A LIST_ENTRY points into the middle of the next object, other links to its beginning.
  const outer = path.includes('.')
    ? resolveFieldPath(target.layouts.table, { kind: 'struct', name: type }, path.slice(0, path.lastIndexOf('.')))
    : undefined;
  const inList = outer?.type.kind === 'struct' && /LIST_ENTRY/.test(outer.type.name);
  return targetAddress(inList ? link - BigInt(outer.offset) : link, target.pointerSize);
}
