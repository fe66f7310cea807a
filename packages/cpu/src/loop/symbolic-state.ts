import type { Va } from '@dumpscope/core';
import { registerPart, X64_REGISTERS, X86_REGISTERS } from '../execute/state.ts';
import type { Condition as ConditionCode, MemoryOperand, Operand, Register } from '../instruction.ts';
import { type Condition, compare, negate } from './condition.ts';
import {
  constant,
  type Expression,
  operation,
  sameExpression,
  splitOffset,
  unknown,
  type Width,
} from './expression.ts';

export interface SymbolicStore {
  readonly address: Expression;
  readonly size: number;
  readonly value: Expression;
  readonly at: Va;
  /** A locked or implicitly locked read-modify-write. */
  readonly atomic: boolean;
}

/** The arithmetic flags as conditions; `compared` when they are those of a subtraction. */
interface SymbolicFlags {
  readonly c: Condition;
  readonly z: Condition;
  readonly s: Condition;
  readonly o: Condition;
  readonly p: Condition;
  readonly compared: { readonly left: Expression; readonly right: Expression } | null;
  readonly result: Expression | null;
}

const FALSE: Condition = { kind: 'constant', value: false };

function unknownCondition(why: string): Condition {
  return { kind: 'unknown', why };
}

function noFlags(why: string): SymbolicFlags {
  const u = unknownCondition(why);
  return { c: u, z: u, s: u, o: u, p: u, compared: null, result: null };
}

/** Registers, flags and stores at one place of one path through an iteration. */
export class SymbolicState {
  readonly is64: boolean;
  #registers: Map<Register, Expression>;
  #flags: SymbolicFlags;
  #stores: SymbolicStore[];

  constructor(is64: boolean) {
    this.is64 = is64;
    this.#registers = new Map();
    this.#flags = noFlags('flags from before the loop');
    this.#stores = [];
  }

  clone(): SymbolicState {
    const copy = new SymbolicState(this.is64);
    copy.#registers = new Map(this.#registers);
    copy.#flags = this.#flags;
    copy.#stores = [...this.#stores];
    return copy;
  }

  get width(): Width {
    return this.is64 ? 8 : 4;
  }

  get stores(): readonly SymbolicStore[] {
    return this.#stores;
  }

  full(index: number): Register {
    return (this.is64 ? X64_REGISTERS : X86_REGISTERS)[index] ?? '';
  }

  /** A full register as an expression over the header's values. */
  register(name: Register): Expression {
    return this.#registers.get(name) ?? { kind: 'register', name, size: this.width };
  }

  setRegister(name: Register, value: Expression): void {
    this.#registers.set(name, value);
  }

  readRegister(name: Register): Expression {
    const part = registerPart(name);
    if (!part) return unknown(`${name} is not followed`, 8);
    const whole = this.register(this.full(part.index));
    if (part.size === this.width) return whole;
    const shifted = part.shift ? operation('shr', whole, constant(8n, this.width), this.width) : whole;
    return operation('trunc', shifted, null, part.size);
  }

  writeRegister(name: Register, value: Expression): void {
    const part = registerPart(name);
    if (!part) return;
    const full = this.full(part.index);
    if (part.size === this.width) this.#registers.set(full, value);
    else if (part.size === 4) this.#registers.set(full, operation('zext', value, null, 8));
    else if (part.shift === 0) {
      const mask = (1n << BigInt(part.size * 8)) - 1n;
      const old = this.register(full);
      const kept = operation('and', old, constant(~mask, this.width), this.width);
      const merged = operation('or', kept, operation('zext', value, null, this.width), this.width);
      this.#registers.set(full, merged);
    } else this.#registers.set(full, unknown(`a write to ${name}`, this.width));
  }

  /** The effective address of a memory operand. */
  address(op: MemoryOperand): Expression {
    const size: Width = op.addressSize === 8 ? 8 : 4;
    const w = this.width;
    let sum = constant(op.displacement, size);
    const part = (name: Register): Expression => {
      const value = this.readRegister(name);
      return value.size === size ? value : unknown(`${name} in an address`, size);
    };
    if (op.index !== null)
      sum = operation('add', operation('mul', part(op.index), constant(BigInt(op.scale), size), size), sum, size);
    if (op.base !== null) {
      // base + (index*scale + displacement), with the displacement outermost so that fields of one object compare.
      const { base: rest, offset } = splitOffset(sum);
      const based = rest === null ? part(op.base) : operation('add', part(op.base), rest, size);
      sum = operation('add', based, constant(offset, size), size);
    }
    const wide = size === w ? sum : operation('zext', sum, null, w);
    if (op.segment !== 'fs' && op.segment !== 'gs') return wide;
    return operation('add', { kind: 'register', name: `${op.segment}_base`, size: w }, wide, w);
  }

  load(address: Expression, size: Width, at: Va): Expression {
    const after: SymbolicStore[] = [];
    for (let i = this.#stores.length - 1; i >= 0; i--) {
      const store = this.#stores[i];
      if (!store) break;
      if (store.size === size && sameExpression(store.address, address))
        return after.length ? unknown('a store that may overlap it', size) : store.value;
      const a = splitOffset(store.address);
      const b = splitOffset(address);
      const comparable = a.base === null ? b.base === null : b.base !== null && sameExpression(a.base, b.base);
      const apart = comparable && (a.offset + BigInt(store.size) <= b.offset || b.offset + BigInt(size) <= a.offset);
      if (comparable && !apart) return unknown('a store that overlaps it', size);
      if (!comparable) after.push(store);
    }
    return after.length ? { kind: 'load', address, size, at, after } : { kind: 'load', address, size, at };
  }

  store(address: Expression, size: number, value: Expression, at: Va, atomic: boolean): void {
    if (this.#stores.length < 256) this.#stores.push({ address, size, value, at, atomic });
  }

  read(op: Operand, at: Va): Expression {
    switch (op.kind) {
      case 'register':
        return this.readRegister(op.register);
      case 'immediate':
        return constant(op.value, widthOf(op.size) ?? 8);
      case 'memory': {
        const size = widthOf(op.size);
        return size === null ? unknown('a wide load', 8) : this.load(this.address(op), size, at);
      }
      case 'branch':
        return constant(op.target, this.width);
    }
  }

  write(op: Operand, value: Expression, at: Va, atomic = false): void {
    if (op.kind === 'register') this.writeRegister(op.register, value);
    else if (op.kind === 'memory') this.store(this.address(op), op.size, value, at, atomic);
  }

  forgetFlags(why: string): void {
    this.#flags = noFlags(why);
  }

  /** Flags of `left - right`. */
  subtractFlags(left: Expression, right: Expression, size: Width): void {
    const zero = constant(0n, size);
    const result = operation('sub', left, right, size);
    // 0 - x overflows for the smallest number alone: how a compiler compares with 80000000.
    const negated = left.kind === 'constant' && left.value === 0n;
    this.#flags = {
      c: compare('ult', left, right),
      z: compare('eq', left, right),
      s: compare('slt', result, zero),
      o: negated ? compare('eq', right, constant(1n << BigInt(size * 8 - 1), size)) : unknownCondition('overflow'),
      p: unknownCondition('parity'),
      compared: { left, right },
      result,
    };
  }

  /** Flags of a logic result: CF and OF clear. */
  logicFlags(result: Expression): void {
    const zero = constant(0n, result.size);
    this.#flags = {
      c: FALSE,
      z: compare('eq', result, zero),
      s: compare('slt', result, zero),
      o: FALSE,
      p: unknownCondition('parity'),
      compared: null,
      result,
    };
  }

  /** Flags of another arithmetic result; CF as given, or kept when `carry` is null (inc and dec). */
  resultFlags(result: Expression, carry: Condition | null): void {
    const zero = constant(0n, result.size);
    this.#flags = {
      c: carry ?? this.#flags.c,
      z: compare('eq', result, zero),
      s: compare('slt', result, zero),
      o: unknownCondition('overflow'),
      p: unknownCondition('parity'),
      compared: null,
      result: null,
    };
  }

  /** bt and friends: CF only, the rest undefined but ZF. */
  carryFlag(carry: Condition): void {
    const u = unknownCondition('flags that a bit test leaves undefined');
    this.#flags = { c: carry, z: this.#flags.z, s: u, o: u, p: u, compared: null, result: null };
  }

  /** cmpxchg8b and cmpxchg16b write ZF only. */
  zeroFlag(zero: Condition): void {
    this.#flags = { ...this.#flags, z: zero, compared: null, result: null };
  }

  /** The truth of a condition code. */
  test(code: ConditionCode): Condition {
    const f = this.#flags;
    switch (code) {
      case 'o':
        return f.o;
      case 'no':
        return negate(f.o);
      case 'b':
        return f.compared ? compare('ult', f.compared.left, f.compared.right) : f.c;
      case 'ae':
        return negate(this.test('b'));
      case 'e':
        return f.z;
      case 'ne':
        return negate(f.z);
      case 'be':
        if (f.compared) return compare('ule', f.compared.left, f.compared.right);
        return f.c.kind === 'constant' && !f.c.value ? f.z : unknownCondition('carry or zero');
      case 'a':
        return negate(this.test('be'));
      case 's':
        return f.s;
      case 'ns':
        return negate(f.s);
      case 'p':
        return f.p;
      case 'np':
        return negate(f.p);
      case 'l':
        if (f.compared) return compare('slt', f.compared.left, f.compared.right);
        return f.o.kind === 'constant' && !f.o.value ? f.s : unknownCondition('sign and overflow');
      case 'ge':
        return negate(this.test('l'));
      case 'le':
        if (f.compared) return compare('sle', f.compared.left, f.compared.right);
        if (f.result && f.o.kind === 'constant' && !f.o.value)
          return compare('sle', f.result, constant(0n, f.result.size));
        return unknownCondition('sign, zero and overflow');
      case 'g':
        return negate(this.test('le'));
      default:
        return unknownCondition('a count register');
    }
  }
}

export function widthOf(size: number): Width | null {
  return size === 1 || size === 2 || size === 4 || size === 8 ? size : null;
}
