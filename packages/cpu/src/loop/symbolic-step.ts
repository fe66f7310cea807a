import { registerPart } from '../execute/state.ts';
import type { Instruction, Operand } from '../instruction.ts';
import { type Condition, compare, truthOf } from './condition.ts';
import { constant, type Expression, type Operator, operation, unknown, type Width } from './expression.ts';
import { type SymbolicState, widthOf } from './symbolic-state.ts';

const BINARY: Readonly<Record<string, Operator>> = { add: 'add', sub: 'sub', and: 'and', or: 'or', xor: 'xor' };
const VOLATILE_64 = ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11'];
const VOLATILE_32 = ['eax', 'ecx', 'edx'];
const ACCUMULATORS: Readonly<Record<number, string>> = { 1: 'al', 2: 'ax', 4: 'eax', 8: 'rax' };

function sizeOf(op: Operand): Width | null {
  return op.kind === 'branch' ? null : widthOf(op.size);
}

/** Applies one instruction to the state; what is not understood becomes unknown, never wrong. */
export function stepSymbolic(state: SymbolicState, instruction: Instruction): void {
  const { mnemonic, operands, address: at } = instruction;
  const [a, b, c] = operands;
  const atomic = instruction.lock || mnemonic === 'xchg';
  const size = a ? sizeOf(a) : null;

  const operator = BINARY[mnemonic];
  if (operator && a && b && size) {
    const left = state.read(a, at);
    const right = state.read(b, at);
    const result = operation(operator, left, right, size);
    if (operator === 'sub') state.subtractFlags(left, right, size);
    else if (operator === 'add') state.resultFlags(result, compare('ult', result, left));
    else state.logicFlags(result);
    state.write(a, result, at, atomic);
    return;
  }
  switch (mnemonic) {
    case 'mov':
      if (a && b && size) {
        state.write(a, state.read(b, at), at);
        return;
      }
      break;
    case 'movzx':
    case 'movsx':
    case 'movsxd':
      if (a && b && size) {
        state.write(a, operation(mnemonic === 'movzx' ? 'zext' : 'sext', state.read(b, at), null, size), at);
        return;
      }
      break;
    case 'lea':
      if (a && b?.kind === 'memory' && size) {
        const address = state.address({ ...b, segment: 'ds' });
        state.write(a, address.size === size ? address : operation('trunc', address, null, size), at);
        return;
      }
      break;
    case 'cmp':
      if (a && b && size) {
        state.subtractFlags(state.read(a, at), state.read(b, at), size);
        return;
      }
      break;
    case 'test':
      if (a && b && size) {
        state.logicFlags(operation('and', state.read(a, at), state.read(b, at), size));
        return;
      }
      break;
    case 'inc':
    case 'dec':
      if (a && size) {
        const result = operation('add', state.read(a, at), constant(mnemonic === 'inc' ? 1n : -1n, size), size);
        state.resultFlags(result, null);
        state.write(a, result, at, atomic);
        return;
      }
      break;
    case 'neg':
      if (a && size) {
        const value = state.read(a, at);
        state.subtractFlags(constant(0n, size), value, size);
        state.write(a, operation('sub', constant(0n, size), value, size), at, atomic);
        return;
      }
      break;
    case 'not':
      if (a && size) {
        state.write(a, operation('xor', state.read(a, at), constant(-1n, size), size), at, atomic);
        return;
      }
      break;
    case 'shl':
    case 'shr':
    case 'sar':
      if (a && b?.kind === 'immediate' && size && shiftBy(state, instruction, a, b.value, size)) return;
      break;
    case 'imul':
      if (a && b && size) {
        const product = operation('mul', state.read(b, at), state.read(c ?? a, at), size);
        state.forgetFlags('a multiplication');
        state.write(a, product, at);
        return;
      }
      break;
    case 'bt':
    case 'bts':
    case 'btr':
    case 'btc':
      if (a && b?.kind === 'immediate' && size) {
        bitTest(state, instruction, a, b.value, size);
        return;
      }
      break;
    case 'xchg':
      if (a && b) {
        const left = state.read(a, at);
        const right = state.read(b, at);
        // The memory operand's address must not see the register that the exchange writes.
        if (b.kind === 'memory') {
          state.write(b, left, at, true);
          state.write(a, right, at, true);
        } else {
          state.write(a, right, at, true);
          state.write(b, left, at, true);
        }
        return;
      }
      break;
    case 'xadd':
      if (a && b && size) {
        const old = state.read(a, at);
        const sum = operation('add', old, state.read(b, at), size);
        state.resultFlags(sum, compare('ult', sum, old));
        state.write(a, sum, at, atomic);
        state.write(b, old, at);
        return;
      }
      break;
    case 'cmpxchg':
      if (a && b && size) {
        compareExchange(state, instruction, a, size);
        return;
      }
      break;
    case 'loop':
    case 'loope':
    case 'loopne': {
      const count = state.full(1);
      const w = state.width;
      state.setRegister(count, operation('add', state.register(count), constant(-1n, w), w));
      return;
    }
    case 'push':
      if (a) {
        push(state, state.read(a, at), instruction);
        return;
      }
      break;
    case 'pop':
      if (a?.kind === 'register') {
        const stack = state.full(4);
        const top = state.register(stack);
        const value = state.load(top, state.width, at);
        state.setRegister(stack, operation('add', top, constant(BigInt(state.width), state.width), state.width));
        state.write(a, a.size === state.width ? value : operation('trunc', value, null, widthOf(a.size) ?? 4), at);
        return;
      }
      break;
    case 'call':
      callClobbers(state);
      return;
    case 'sbb':
      // The carry as a mask: `lock bts; sbb eax,eax; test eax,eax`.
      if (a?.kind === 'register' && b?.kind === 'register' && a.register === b.register && size) {
        const mask = operation('sub', constant(0n, size), truthOf(state.test('b'), size), size);
        state.forgetFlags('the result of sbb');
        state.write(a, mask, at);
        return;
      }
      break;
  }
  if (mnemonic.startsWith('set') && instruction.condition !== null && a) {
    state.write(a, truthOf(state.test(instruction.condition), 1), at);
    return;
  }
  if (isInert(instruction)) return;
  forget(state, instruction);
}

function isInert(instruction: Instruction): boolean {
  return (
    instruction.writes.length === 0 &&
    instruction.flagsWritten === '' &&
    instruction.flagsUndefined === '' &&
    instruction.memory.every((m) => m.access === 'read' || m.access === 'none')
  );
}

function forget(state: SymbolicState, instruction: Instruction): void {
  const why = `the result of ${instruction.mnemonic}`;
  for (const { operand, access } of instruction.memory)
    if (access === 'write' || access === 'read-write')
      // String instructions move their pointers: the range is not one cell.
      state.store(
        instruction.rep === null ? state.address(operand) : unknown(why, state.width),
        operand.size || 8,
        unknown(why, 8),
        instruction.address,
        instruction.lock,
      );
  for (const name of instruction.writes) if (registerPart(name)) state.setRegister(name, unknown(why, state.width));
  if (instruction.flagsWritten !== '' || instruction.flagsUndefined !== '') state.forgetFlags(why);
}

function shiftBy(state: SymbolicState, instruction: Instruction, a: Operand, by: bigint, size: Width): boolean {
  const count = by & (size === 8 ? 63n : 31n);
  if (count === 0n) return true;
  if (count >= BigInt(size * 8)) return false;
  const at = instruction.address;
  const value = state.read(a, at);
  const operator = instruction.mnemonic === 'shl' ? 'shl' : instruction.mnemonic === 'shr' ? 'shr' : 'sar';
  const result = operation(operator, value, constant(count, size), size);
  const bit = operator === 'shl' ? BigInt(size * 8) - count : count - 1n;
  state.resultFlags(result, bitIsSet(value, bit, size));
  state.write(a, result, at, instruction.lock);
  return true;
}

function bitIsSet(value: Expression, bit: bigint, size: Width): Condition {
  return compare('ne', operation('and', value, constant(1n << bit, size), size), constant(0n, size));
}

function bitTest(state: SymbolicState, instruction: Instruction, a: Operand, index: bigint, size: Width): void {
  const bit = index & BigInt(size * 8 - 1);
  const mask = constant(1n << bit, size);
  const at = instruction.address;
  const value = state.read(a, at);
  state.carryFlag(bitIsSet(value, bit, size));
  const { mnemonic } = instruction;
  if (mnemonic === 'bts') state.write(a, operation('or', value, mask, size), at, instruction.lock);
  else if (mnemonic === 'btr')
    state.write(a, operation('and', value, constant(~(1n << bit), size), size), at, instruction.lock);
  else if (mnemonic === 'btc') state.write(a, operation('xor', value, mask, size), at, instruction.lock);
}

/** Stores the new value where the old one is the accumulator's: on success; on failure memory stays. */
function compareExchange(state: SymbolicState, instruction: Instruction, a: Operand, size: Width): void {
  const at = instruction.address;
  const accumulator = ACCUMULATORS[size] ?? 'rax';
  const expected = state.readRegister(accumulator);
  const address = a.kind === 'memory' ? state.address(a) : null;
  const old = state.read(a, at);
  state.subtractFlags(expected, old, size);
  // Equal: the accumulator has that value already; different: it gets it.
  state.writeRegister(accumulator, old);
  if (address) state.store(address, size, unknown('a conditional exchange', size), at, true);
  else state.write(a, unknown('a conditional exchange', size), at);
}

function push(state: SymbolicState, value: Expression, instruction: Instruction): void {
  const stack = state.full(4);
  const w = state.width;
  const top = operation('add', state.register(stack), constant(BigInt(-w), w), w);
  state.setRegister(stack, top);
  const wide = value.size === w ? value : operation('sext', value, null, w);
  state.store(top, w, wide, instruction.address, false);
}

/** A call that is not followed: the volatile registers and the flags are lost, memory may be. */
function callClobbers(state: SymbolicState): void {
  for (const name of state.is64 ? VOLATILE_64 : VOLATILE_32)
    state.setRegister(name, unknown('the result of a call', state.width));
  state.forgetFlags('the result of a call');
}
