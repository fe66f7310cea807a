import type { Va } from '@dumpscope/core';
import type { TypeRef, TypeTable } from '@dumpscope/symbols';

/** Nesting of `@@c++(…)` and `@@masm(…)` in each other. */
export const MAX_SWITCH_DEPTH = 16;

/** A register as an evaluator sees it: zero-extended value and width in bytes. */
export interface RegisterValue {
  readonly value: bigint;
  readonly size: number;
}

/** A pseudo-register: a 64-bit value; `type` is what the C++ evaluator casts it to. */
export interface PseudoValue {
  readonly value: bigint;
  readonly type: TypeRef | null;
}

/** A variable that private symbols know, for the C++ evaluator. */
export interface TypedVariable {
  readonly type: TypeRef;
  /** Null for one that is in a register. */
  readonly address: Va | null;
  /** Of one in a register. */
  readonly value: bigint | null;
}

/** All that expressions may look at. Lookups return undefined for what does not exist or cannot be read. */
export interface ExpressionScope {
  readonly pointerSize: 4 | 8;
  /** Default radix of MASM numbers: 8, 10 or 16. */
  readonly radix: number;
  /** What `.expr /s` chose for addresses and numbers of commands; MASM where it is absent. */
  readonly evaluator?: 'masm' | 'c++';
  /** Registers that MASM tries before numbers and symbols when the `@` is missing. */
  isCommonRegister(name: string): boolean;
  register(name: string): RegisterValue | undefined;
  /** Name with its `$`: `$thread`, `$t0`. */
  pseudo(name: string): PseudoValue | undefined;
  /** Address of a symbol or module, zero-extended. */
  symbol(name: string): Va | undefined;
  /** A local variable of the current frame, or a variable of a module, where a private PDB tells its type. */
  variable?(name: string): TypedVariable | undefined;
  /** Bytes of virtual memory as an unsigned number, undefined when any byte is missing. */
  read(address: bigint, size: 1 | 2 | 4 | 8): bigint | undefined;
  readPhysical(address: bigint, size: 1 | 2 | 4 | 8): bigint | undefined;
  /** First byte range check for `$vvalid`. */
  isReadable(address: bigint, length: number): boolean;
  /** Entry point of the image at `base`, for `$iment`. */
  imageEntry(base: bigint): Va | undefined;
  readonly types: TypeTable;
  /** Types for a C++ expression in a command's arguments: those of the modules and variables that it names first. */
  typesFor?(text: string): TypeTable;
}

/** The target's form of an address: 32-bit targets drop the sign extension that the MASM evaluator works with. */
export function targetAddress(value: bigint, pointerSize: 4 | 8): Va {
  return BigInt.asUintN(pointerSize * 8, value) as Va;
}

/** The MASM evaluator's form of a 32-bit quantity: sign-extended to 64 bits. */
export function signExtend32(value: bigint): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(32, value));
}

/** An address as the MASM evaluator holds it: sign-extended on 32-bit targets. */
export function masmAddress(value: bigint, pointerSize: 4 | 8): bigint {
  return pointerSize === 4 ? signExtend32(value) : BigInt.asUintN(64, value);
}
