import { va } from '@dumpscope/core';
import { type StructType, type TypeRef, typeSize } from '@dumpscope/symbols';
import { CommandError } from '../commands/command.ts';
import { floatValue, isFloat, isTrue, numberOf } from './cpp-float.ts';
import { type CppToken, cppTokens } from './cpp-lexer.ts';
import { applyCppBinary, CPP_ASSIGNMENTS, CPP_PRECEDENCE, castValue, promote } from './cpp-operators.ts';
import {
  BOOL,
  CHAR,
  DOUBLE,
  FLOAT,
  INT,
  INT64,
  LONG,
  namedType,
  pointerTo,
  sizeType,
  TYPE_WORDS,
  UCHAR,
  UINT,
  UINT64,
  USHORT,
} from './cpp-types.ts';
import { type CppValue, isInteger, load, rvalue } from './cpp-value.ts';
import { resolveFieldPath } from './field-path.ts';
import { type ExpressionScope, MAX_SWITCH_DEPTH, targetAddress } from './scope.ts';

/** Deepest nesting of parentheses, subscripts and conditionals. */
const MAX_DEPTH = 100;
const NAMED_CASTS = new Set(['static_cast', 'reinterpret_cast', 'const_cast', 'dynamic_cast']);

type Prefix = { readonly op: string } | { readonly op: 'cast'; readonly type: TypeRef };

/** Evaluates an `@@masm(…)` inside; passed in to keep the two evaluators apart. */
export type MasmSwitch = (text: string, scope: ExpressionScope, depth: number) => bigint;

/**
 * The C++ subset of `??`: members, casts, sizeof, pointers, subscripts, arithmetic, comparisons, logic, conditional,
 * comma and the `#` macros. Nothing is ever written: assignments are refused.
 */
export class CppEvaluator {
  readonly #text: string;
  readonly #tokens: readonly CppToken[];
  readonly #scope: ExpressionScope;
  readonly #masm: MasmSwitch;
  readonly #switchDepth: number;
  #at = 0;
  #depth = 0;
  /** Above 0 while an operand is parsed that C++ does not evaluate. */
  #dead = 0;

  constructor(text: string, scope: ExpressionScope, masm: MasmSwitch, switchDepth: number) {
    this.#text = text;
    this.#tokens = cppTokens(text);
    this.#scope = scope;
    this.#masm = masm;
    this.#switchDepth = switchDepth;
  }

  /** The value of the whole text, an lvalue where the expression is one. */
  run(): CppValue {
    const value = this.#binary(1);
    if (this.#peek().kind !== 'end') this.#syntax();
    return value;
  }

  /** The value of the longest expression that the text begins with, and the offset behind it. */
  runPrefix(): { readonly value: CppValue; readonly end: number } {
    const value = this.#binary(1);
    return { value, end: this.#tokens[this.#at - 1]?.end ?? 0 };
  }

  #peek(ahead = 0): CppToken {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)] as CppToken;
  }

  #next(): CppToken {
    const token = this.#peek();
    if (token.kind !== 'end') this.#at++;
    return token;
  }

  #is(text: string, ahead = 0): boolean {
    const token = this.#peek(ahead);
    return token.kind === 'operator' && token.text === text;
  }

  #expect(text: string): void {
    if (!this.#is(text)) this.#syntax();
    this.#at++;
  }

  #quote(token: CppToken = this.#peek()): string {
    const rest = this.#text.slice(token.start).trim();
    return rest === '' ? '<EOL>' : rest;
  }

  #syntax(token: CppToken = this.#peek()): never {
    throw new CommandError(`Syntax error at '${this.#quote(token)}'`);
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) throw new CommandError(`Overflow error at '${this.#quote()}'`);
  }

  #load(value: CppValue, token: CppToken): CppValue {
    return load(value, this.#scope, () => this.#quote(token), this.#dead > 0);
  }

  #truth(value: CppValue, token: CppToken): boolean {
    const loaded = this.#load(value, token);
    if (loaded.scalar === null) throw new CommandError(`Type conflict error at '${this.#quote(token)}'`);
    return isTrue(loaded.type, loaded.scalar);
  }

  /** Runs `parse` without evaluating: no memory is read and no error of a value is raised. */
  #skip<T>(parse: () => T): T {
    this.#dead++;
    const result = parse();
    this.#dead--;
    return result;
  }

  #binary(minimum: number): CppValue {
    this.#enter();
    let leftToken = this.#peek();
    let left = this.#unary();
    for (;;) {
      const token = this.#peek();
      if (token.kind !== 'operator') break;
      if (CPP_ASSIGNMENTS.has(token.text)) {
        throw new CommandError(`A dump cannot be written: assignment at '${this.#quote(token)}'`);
      }
      const precedence = CPP_PRECEDENCE.get(token.text);
      if (precedence === undefined || precedence < minimum) break;
      this.#at++;
      if (token.text === '?') left = this.#conditional(left, leftToken);
      else if (token.text === '&&' || token.text === '||')
        left = this.#logical(token.text, left, leftToken, precedence);
      else {
        const rightToken = this.#peek();
        const right = this.#binary(precedence + 1);
        left =
          token.text === ','
            ? right
            : applyCppBinary(
                token.text,
                this.#load(left, leftToken),
                this.#load(right, rightToken),
                this.#scope,
                () => this.#quote(rightToken),
                this.#dead > 0,
              );
      }
      leftToken = token;
    }
    this.#depth--;
    return left;
  }

  #conditional(condition: CppValue, token: CppToken): CppValue {
    const taken = this.#truth(condition, token);
    const yesToken = this.#peek();
    const yes = taken ? this.#binary(2) : this.#skip(() => this.#binary(2));
    this.#expect(':');
    const noToken = this.#peek();
    const no = taken ? this.#skip(() => this.#binary(3)) : this.#binary(3);
    return taken ? this.#load(yes, yesToken) : this.#load(no, noToken);
  }

  #logical(op: '&&' | '||', left: CppValue, token: CppToken, precedence: number): CppValue {
    const first = this.#truth(left, token);
    const decided = op === '&&' ? !first : first;
    const rightToken = this.#peek();
    if (decided) {
      this.#skip(() => this.#binary(precedence + 1));
      return rvalue(BOOL, first ? 1n : 0n);
    }
    return rvalue(BOOL, this.#truth(this.#binary(precedence + 1), rightToken) ? 1n : 0n);
  }

  #unary(): CppValue {
    const prefixes: Prefix[] = [];
    const tokens: CppToken[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.kind === 'operator' && ['+', '-', '!', '~', '*', '&'].includes(token.text)) {
        prefixes.push({ op: token.text });
      } else if (token.kind === 'operator' && token.text === '&&') {
        prefixes.push({ op: '&' }, { op: '&' });
        tokens.push(token);
      } else if (token.kind === 'operator' && token.text === '(') {
        const cast = this.#typeInParentheses();
        if (cast === undefined) break;
        prefixes.push({ op: 'cast', type: cast });
        tokens.push(token);
        continue;
      } else break;
      tokens.push(token);
      this.#at++;
    }
    let value = this.#postfix();
    for (let i = prefixes.length - 1; i >= 0; i--) {
      value = this.#applyPrefix(prefixes[i] as Prefix, value, tokens[i] as CppToken);
    }
    return value;
  }

  #applyPrefix(prefix: Prefix, value: CppValue, token: CppToken): CppValue {
    const quote = (): string => this.#quote(token);
    const conflict = (): never => {
      throw new CommandError(`Type conflict error at '${quote()}'`);
    };
    if ('type' in prefix) {
      const isAggregate = prefix.type.kind === 'struct' || prefix.type.kind === 'array';
      return castValue(prefix.type, isAggregate ? value : this.#load(value, token), quote);
    }
    if (prefix.op === '&') {
      if (value.address === null || value.type.kind === 'bitfield') return conflict();
      const to = value.type.kind === 'function' ? UCHAR : value.type;
      return rvalue(pointerTo(to, this.#scope.types), value.address);
    }
    const loaded = this.#load(value, token);
    if (prefix.op === '*') {
      if (loaded.type.kind !== 'pointer' || loaded.scalar === null) return conflict();
      return { type: loaded.type.to, address: va(loaded.scalar), scalar: null };
    }
    if (loaded.scalar === null) return conflict();
    if (prefix.op === '!') return rvalue(BOOL, isTrue(loaded.type, loaded.scalar) ? 0n : 1n);
    if (isFloat(loaded.type) && prefix.op !== '~') {
      const number = numberOf(loaded.type, loaded.scalar);
      return floatValue(loaded.type, prefix.op === '-' ? -number : number);
    }
    if (!isInteger(loaded.type)) return conflict();
    const type = promote(loaded.type);
    return rvalue(type, prefix.op === '-' ? -loaded.scalar : prefix.op === '~' ? ~loaded.scalar : loaded.scalar);
  }

  #postfix(): CppValue {
    let token = this.#peek();
    let value = this.#primary();
    for (;;) {
      const operator = this.#peek();
      if (operator.kind !== 'operator') return value;
      if (operator.text === '[') {
        this.#at++;
        const indexToken = this.#peek();
        const index = this.#load(this.#binary(1), indexToken);
        this.#expect(']');
        const base = this.#load(value, token);
        const sum = applyCppBinary('+', base, index, this.#scope, () => this.#quote(indexToken), this.#dead > 0);
        value = this.#applyPrefix({ op: '*' }, sum, operator);
      } else if (operator.text === '.' || operator.text === '->') {
        this.#at++;
        value = this.#member(operator.text, value, token);
      } else return value;
      token = operator;
    }
  }

  #member(operator: '.' | '->', object: CppValue, objectToken: CppToken): CppValue {
    const token = this.#next();
    if (token.kind !== 'name') this.#syntax(token);
    let type = object.type;
    let address = object.address;
    // WinDbg is relaxed: `.` on a pointer works as `->`.
    if (type.kind !== 'struct' || operator === '->') {
      const pointer = this.#load(object, objectToken);
      if (pointer.type.kind !== 'pointer' || pointer.scalar === null) {
        throw new CommandError(`Type conflict error at '${this.#quote(token)}'`);
      }
      type = pointer.type.to;
      address = va(pointer.scalar);
    }
    const struct = type.kind === 'struct' ? this.#scope.types.struct(type.name) : undefined;
    const field = struct?.fields.get(token.text);
    if (field === undefined) {
      throw new CommandError(`Type does not have given member error at '${this.#quote(token)}'`);
    }
    return {
      type: field.type,
      address: targetAddress((address ?? 0n) + BigInt(field.offset), this.#scope.pointerSize),
      scalar: null,
    };
  }

  #primary(): CppValue {
    const token = this.#next();
    switch (token.kind) {
      case 'number':
        return rvalue(token.wide ? (token.unsigned ? UINT64 : INT64) : token.unsigned ? UINT : INT, token.value);
      case 'float':
        return floatValue(token.single ? FLOAT : DOUBLE, token.value);
      case 'char':
        return rvalue(CHAR, token.value);
      case 'register':
        return this.#register(token.text, token);
      case 'switch': {
        if (this.#switchDepth >= MAX_SWITCH_DEPTH) throw new CommandError(`Overflow error at '${this.#quote(token)}'`);
        if (this.#dead > 0) return rvalue(UINT64, 0n);
        if (token.to !== 'c++') return rvalue(UINT64, this.#masm(token.body, this.#scope, this.#switchDepth + 1));
        return new CppEvaluator(token.body, this.#scope, this.#masm, this.#switchDepth + 1).run();
      }
      case 'macro':
        return this.#macro(token.text, token);
      case 'name':
        if (token.text === 'sizeof') return this.#sizeof();
        if (token.text === 'true' || token.text === 'false') return rvalue(BOOL, token.text === 'true' ? 1n : 0n);
        if (NAMED_CASTS.has(token.text)) return this.#namedCast();
        return this.#symbol(token.text, token);
      case 'operator': {
        if (token.text !== '(') this.#syntax(token);
        const value = this.#binary(1);
        this.#expect(')');
        return value;
      }
      case 'end':
        throw new CommandError("Numeric expression missing from '<EOL>'");
    }
  }

  #register(name: string, token: CppToken): CppValue {
    if (name.startsWith('$')) {
      const pseudo = this.#scope.pseudo(name.toLowerCase());
      if (pseudo === undefined) throw new CommandError(`Bad register error at '${this.#quote(token)}'`);
      return rvalue(pseudo.type ?? UINT64, pseudo.value);
    }
    const register = this.#scope.register(name.toLowerCase());
    if (register === undefined) throw new CommandError(`Bad register error at '${this.#quote(token)}'`);
    const type = register.size === 8 ? UINT64 : register.size === 2 ? USHORT : register.size === 1 ? UCHAR : UINT;
    return rvalue(type, register.value);
  }

  #symbol(name: string, token: CppToken): CppValue {
    const variable = this.#scope.variable?.(name);
    if (variable !== undefined) {
      const { type, address, value } = variable;
      if (address === null && value === null)
        throw new CommandError(`Value unavailable error at '${this.#quote(token)}'`);
      return address === null ? rvalue(type, value ?? 0n) : { type, address, scalar: null };
    }
    const address = this.#scope.symbol(name);
    if (address === undefined) throw new CommandError(`Couldn't resolve error at '${this.#quote(token)}'`);
    // Public names and functions have no type here: only their address can be used.
    return { type: { kind: 'function' }, address, scalar: null };
  }

  #sizeof(): CppValue {
    const size = sizeType(this.#scope.pointerSize);
    const token = this.#peek();
    const type = this.#is('(') ? this.#typeInParentheses() : undefined;
    const measured =
      type ??
      this.#skip(() => {
        this.#enter();
        const value = this.#unary();
        this.#depth--;
        return value.type;
      });
    const bytes = measured.kind === 'function' ? undefined : typeSize(this.#scope.types, measured);
    if (bytes === undefined) throw new CommandError(`Type conflict error at '${this.#quote(token)}'`);
    return rvalue(size, BigInt(bytes));
  }

  #namedCast(): CppValue {
    const token = this.#peek();
    this.#expect('<');
    const type = this.#typeName();
    if (type === undefined || !this.#is('>')) this.#syntax();
    this.#at++;
    this.#expect('(');
    const valueToken = this.#peek();
    const value = this.#load(this.#binary(1), valueToken);
    this.#expect(')');
    return castValue(type, value, () => this.#quote(token));
  }

  /** `( type )` at the cursor: consumed when it is one, else undefined and the cursor stays. */
  #typeInParentheses(): TypeRef | undefined {
    const start = this.#at;
    this.#at++;
    const type = this.#typeName();
    if (type !== undefined && this.#is(')')) {
      this.#at++;
      return type;
    }
    this.#at = start;
    return undefined;
  }

  #typeName(): TypeRef | undefined {
    const words: string[] = [];
    for (let token = this.#peek(); token.kind === 'name'; token = this.#peek()) {
      if (['const', 'volatile', 'struct', 'union', 'class', 'enum'].includes(token.text)) {
        this.#at++;
        continue;
      }
      if (words.length > 0 && !(TYPE_WORDS.has(token.text) && TYPE_WORDS.has(words[0] as string))) break;
      words.push(token.text);
      this.#at++;
    }
    if (words.length === 0) return undefined;
    let type = namedType(words.join(' '), this.#scope.types);
    if (type === undefined) return undefined;
    for (;;) {
      const token = this.#peek();
      if (token.kind === 'operator' && token.text === '*') type = pointerTo(type, this.#scope.types);
      else if (!(token.kind === 'name' && (token.text === 'const' || token.text === 'volatile'))) break;
      this.#at++;
    }
    const [open, count, close] = [this.#peek(), this.#peek(1), this.#peek(2)];
    if (
      open.kind === 'operator' &&
      open.text === '[' &&
      count.kind === 'number' &&
      close.kind === 'operator' &&
      close.text === ']'
    ) {
      this.#at += 3;
      type = { kind: 'array', count: Number(BigInt.asUintN(32, count.value)), of: type };
    }
    return type;
  }

  #macro(name: string, token: CppToken): CppValue {
    const size = sizeType(this.#scope.pointerSize);
    this.#expect('(');
    switch (name) {
      case 'CONTAINING_RECORD': {
        const addressToken = this.#peek();
        const address = this.#load(this.#binary(2), addressToken);
        this.#expect(',');
        const struct = this.#structName();
        this.#expect(',');
        const { offset } = this.#fieldOf(struct);
        this.#expect(')');
        const type = pointerTo({ kind: 'struct', name: struct.name }, this.#scope.types);
        return rvalue(type, (address.scalar ?? 0n) - BigInt(offset));
      }
      case 'FIELD_OFFSET':
      case 'RTL_FIELD_SIZE':
      case 'RTL_SIZEOF_THROUGH_FIELD': {
        const struct = this.#structName();
        this.#expect(',');
        const field = this.#fieldOf(struct);
        this.#expect(')');
        if (name === 'FIELD_OFFSET') return rvalue(LONG, BigInt(field.offset));
        const bytes = field.type.kind === 'function' ? 0 : (typeSize(this.#scope.types, field.type) ?? 0);
        return rvalue(size, BigInt(name === 'RTL_FIELD_SIZE' ? bytes : field.offset + bytes));
      }
      case 'RTL_CONTAINS_FIELD': {
        const structToken = this.#peek();
        const pointer = this.#binary(2);
        this.#expect(',');
        const sizeToken = this.#peek();
        const bytes = this.#load(this.#binary(2), sizeToken).scalar ?? 0n;
        this.#expect(',');
        const type = pointer.type.kind === 'pointer' ? pointer.type.to : pointer.type;
        const struct = type.kind === 'struct' ? this.#scope.types.struct(type.name) : undefined;
        if (struct === undefined) throw new CommandError(`Type conflict error at '${this.#quote(structToken)}'`);
        const field = this.#fieldOf(struct);
        this.#expect(')');
        const end =
          field.offset + (field.type.kind === 'function' ? 0 : (typeSize(this.#scope.types, field.type) ?? 0));
        return rvalue(BOOL, BigInt(end) <= bytes ? 1n : 0n);
      }
      case 'RTL_NUMBER_OF':
      case 'RTL_NUMBER_OF_V1':
      case 'RTL_NUMBER_OF_V2': {
        const arrayToken = this.#peek();
        const value = this.#skip(() => this.#binary(2));
        this.#expect(')');
        if (value.type.kind !== 'array') throw new CommandError(`Type conflict error at '${this.#quote(arrayToken)}'`);
        return rvalue(size, BigInt(value.type.count));
      }
      default:
        throw new CommandError(`Couldn't resolve error at '${this.#quote(token)}'`);
    }
  }

  #structName(): StructType {
    const token = this.#peek();
    const type = this.#typeName();
    const struct = type?.kind === 'struct' ? this.#scope.types.struct(type.name) : undefined;
    if (struct === undefined) throw new CommandError(`Couldn't resolve error at '${this.#quote(token)}'`);
    return struct;
  }

  #fieldOf(struct: StructType): { readonly offset: number; readonly type: TypeRef } {
    const token = this.#peek();
    let path = '';
    for (
      let t = this.#peek();
      t.kind === 'name' || t.kind === 'number' || (t.kind === 'operator' && '.[]'.includes(t.text));
      t = this.#peek()
    ) {
      path += this.#text.slice(t.start, t.end);
      this.#at++;
    }
    const field = resolveFieldPath(this.#scope.types, { kind: 'struct', name: struct.name }, path);
    if (field === undefined) {
      throw new CommandError(`Type does not have given member error at '${this.#quote(token)}'`);
    }
    return field;
  }
}
