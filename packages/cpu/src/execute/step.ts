import type { Instruction } from '../instruction.ts';
import { type Machine, NEXT } from './machine.ts';
import { FULL, type Place, places } from './places.ts';

/** One compiled instruction: works on the machine and says where control goes (NEXT, TAKEN, DYNAMIC, AGAIN). */
export type Step = (m: Machine) => number;

/** Compiles an instruction, or null when its operands are not of the kind that the step models. */
export type Compile = (instruction: Instruction, is64: boolean) => Step | null;

/** Both operands of a two-operand instruction, or null. */
export function pair(instruction: Instruction, is64: boolean): readonly [Place, Place] | null {
  const [a, b] = places(instruction, is64);
  return a && b ? [a, b] : null;
}

export function single(instruction: Instruction, is64: boolean): Place | null {
  return places(instruction, is64)[0] ?? null;
}

/** The same register on both sides: the result of xor and sub does not depend on its value. */
export function isSame(a: Place, b: Place): boolean {
  return (
    a.kind === 'register' && b.kind === 'register' && a.index === b.index && a.size === b.size && a.shift === b.shift
  );
}

export function isFull(known: number, size: 1 | 2 | 4 | 8): boolean {
  return (known & FULL[size]) === FULL[size];
}

/** A step that changes nothing that the machine holds. */
export const noOperation: Step = () => NEXT;
