import type { TypeRef } from '@dumpscope/symbols';
import { evaluateCpp } from '../../expressions/cpp-evaluate.ts';
import { typeName } from '../../expressions/cpp-types.ts';
import { load } from '../../expressions/cpp-value.ts';
import { targetAddress } from '../../expressions/scope.ts';
import { enumName } from '../../nt/structure.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { withExpressionTypes } from '../session/variables.ts';
import { scalarAt } from './value-text.ts';

interface Node {
  readonly name: string;
  readonly offset: number | null;
  readonly type: string;
  readonly address: bigint | null;
  readonly value: bigint | null;
  readonly children: readonly Node[];
}

const MAX_NODES = 20_000;
const MAX_DEPTH = 9;

/** `_TEB *`, `unsigned long [26]`: the data model leaves out `struct`. */
function modelType(session: Session, type: TypeRef): string {
  return typeName(type, session.target.layouts.table)
    .replace(/^(?:struct|union|class) /, '')
    .replace(/(\S)(\[)/, '$1 $2');
}

function valueText(session: Session, type: TypeRef, value: bigint): string {
  const base = type.kind === 'bitfield' ? type.of : type;
  if (base.kind === 'pointer') return `0x${BigInt.asUintN(base.size * 8, value).toString(16)}`;
  if (base.kind === 'enum') {
    const signed = BigInt.asIntN(32, value);
    return `${enumName(session.target, base.name, signed) ?? ''} (${signed})`.trimStart();
  }
  if (base.kind !== 'base') return `0x${value.toString(16)}`;
  if (base.form === 'bool') return value === 0n ? 'false' : 'true';
  if (base.signed) return BigInt.asIntN(Math.max(8, base.size * 8), value).toString();
  return `0x${value.toString(16)}`;
}

class Model {
  readonly lines: string[] = [];
  readonly #session: Session;
  #count = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Fields of a structure, `depth` levels of structures and pointers below them. */
  fields(name: string, address: bigint | null, indent: number, depth: number): Node[] {
    const struct = this.#session.target.layouts.table.struct(name);
    const nodes: Node[] = [];
    for (const field of struct?.fields.values() ?? []) {
      if (++this.#count > MAX_NODES) break;
      const at =
        address === null ? null : targetAddress(address + BigInt(field.offset), this.#session.target.pointerSize);
      const place = field.offset.toString(16).padStart(3, '0');
      const bits =
        field.type.kind === 'bitfield'
          ? ` (${String(field.type.position + field.type.length - 1).padStart(2)}:${String(field.type.position).padStart(2)})`
          : '';
      nodes.push(
        this.node(
          `[+0x${place}${bits}] ${field.name.padEnd(16)}`,
          field.name,
          field.offset,
          field.type,
          at,
          indent,
          depth,
        ),
      );
    }
    return nodes;
  }

  node(
    label: string,
    name: string,
    offset: number | null,
    type: TypeRef,
    address: bigint | null,
    indent: number,
    depth: number,
    known?: bigint,
  ): Node {
    const value = known ?? (address === null ? undefined : scalarAt(this.#session, type, address));
    const scalar = type.kind !== 'struct' && type.kind !== 'array';
    const shown = !scalar
      ? ''
      : ` : ${value === undefined ? '<Unable to read memory>' : valueText(this.#session, type, value)}`;
    const text = modelType(this.#session, type);
    this.lines.push(`${'    '.repeat(indent)}${label}${shown} [Type: ${text}]`);
    let children: Node[] = [];
    if (depth > 0 && indent < MAX_DEPTH) {
      if (type.kind === 'struct') children = this.fields(type.name, address, indent + 1, depth - 1);
      else if (type.kind === 'pointer' && type.to.kind === 'struct' && value !== undefined && value !== 0n) {
        children = this.fields(type.to.name, value, indent + 1, depth - 1);
      }
    }
    return { name, offset, type: text, address, value: value ?? null, children };
  }

  finish(): void {
    if (this.#count > MAX_NODES) this.lines.push(`(stopped after ${MAX_NODES} fields)`);
  }
}

export const modelCommand: Command = defineCommand({
  names: ['dx'],
  summary: 'show an object as a tree, with --json as nested rows',
  usage: 'dx [-rN] expression',
  fidelity:
    "The data model's lines for one C++ expression. Its own objects (Debugger, @$curprocess, LINQ, NatVis) are not there.",
  run(own, args) {
    const session = withExpressionTypes(own, args);
    const option = /^-r(\d*)\s+/.exec(args);
    const depth = option === null ? 1 : Math.min(MAX_DEPTH, option[1] === '' ? 1 : Number(option[1]));
    const text = option === null ? args : args.slice(option[0].length);
    if (/^(?:Debugger\b|@\$(?:cur|debugger|scripts))/.test(text)) {
      throw new CommandError(
        "dx knows no objects of the debugger's data model: give a C++ expression, or use !process, !thread, dt",
      );
    }
    const scope = sessionScope(session);
    const value = evaluateCpp(text, scope);
    const model = new Model(session);
    const aggregate = value.type.kind === 'struct' || value.type.kind === 'array';
    const known = aggregate ? undefined : (load(value, scope, () => text, false).scalar ?? undefined);
    const node = model.node(text.padEnd(21), text, null, value.type, value.address, 0, Math.max(1, depth), known);
    model.finish();
    return result([node], model.lines);
  },
});
