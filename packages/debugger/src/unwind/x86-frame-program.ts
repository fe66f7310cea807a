/**
 * Evaluator of FrameData programs (`$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + =`): postfix over 32-bit values, where
 * `^` reads memory, `=` assigns to the name on the stack below, and `@` aligns down.
 */

export interface FrameProgramInput {
  /** `$eip`, `$esp`, `$ebp`, `$ebx`, `$esi`, `$edi` as far as they are known. */
  readonly registers: ReadonlyMap<string, number>;
  /** `.cbLocals`, `.cbSavedRegs`, `.cbParams`, `.cbCalleeParams`, `.raSearch`, `.raSearchStart`. */
  readonly constants: ReadonlyMap<string, number>;
  readMemory(address: number): number | undefined;
}

export type FrameProgramResult =
  | { readonly ok: true; readonly assigned: ReadonlyMap<string, number> }
  | { readonly ok: false; readonly why: string; readonly unreadable: boolean };

/** Longest program taken; real ones have a few dozen words. */
const MAX_WORDS = 512;

type Operand = { readonly name: string } | { readonly value: number };

export function evaluateFrameProgram(program: string, input: FrameProgramInput): FrameProgramResult {
  const words = program.split(/\s+/).filter((word) => word !== '');
  if (words.length > MAX_WORDS) return { ok: false, why: `a program of ${words.length} words`, unreadable: false };
  const assigned = new Map<string, number>();
  const stack: Operand[] = [];
  const fail = (why: string, unreadable = false): FrameProgramResult => ({ ok: false, why, unreadable });
  const evaluate = (operand: Operand | undefined): number | string => {
    if (operand === undefined) return 'an operator lacks an operand';
    if ('value' in operand) return operand.value;
    const name = operand.name;
    const value = assigned.get(name) ?? input.registers.get(name) ?? input.constants.get(name);
    return value ?? `${name} is not known`;
  };
  for (const word of words) {
    switch (word) {
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
      case '@': {
        const right = evaluate(stack.pop());
        const left = evaluate(stack.pop());
        if (typeof right === 'string') return fail(right);
        if (typeof left === 'string') return fail(left);
        const value = arithmetic(word, left, right);
        if (value === undefined) return fail(`${word} with ${right}`);
        stack.push({ value });
        break;
      }
      case '^': {
        const address = evaluate(stack.pop());
        if (typeof address === 'string') return fail(address);
        const value = input.readMemory(address);
        if (value === undefined) return fail(`memory at ${address.toString(16)} cannot be read`, true);
        stack.push({ value });
        break;
      }
      case '=': {
        const value = evaluate(stack.pop());
        const target = stack.pop();
        if (typeof value === 'string') return fail(value);
        if (target === undefined || !('name' in target)) return fail('an assignment has no target');
        assigned.set(target.name, value);
        break;
      }
      default:
        if (/^[0-9]+$/.test(word)) stack.push({ value: Number(word) >>> 0 });
        else if (/^-[0-9]+$/.test(word)) stack.push({ value: Number(word) >>> 0 });
        else if (/^0x[0-9a-f]+$/i.test(word)) stack.push({ value: Number.parseInt(word, 16) >>> 0 });
        else if (/^[$.][A-Za-z0-9_]+$/.test(word)) stack.push({ name: word });
        else return fail(`the word ${JSON.stringify(word.slice(0, 20))}`);
    }
  }
  return { ok: true, assigned };
}

function arithmetic(op: '+' | '-' | '*' | '/' | '%' | '@', left: number, right: number): number | undefined {
  switch (op) {
    case '+':
      return (left + right) >>> 0;
    case '-':
      return (left - right) >>> 0;
    case '*':
      return Math.imul(left, right) >>> 0;
    case '/':
      return right === 0 ? undefined : Math.floor(left / right) >>> 0;
    case '%':
      return right === 0 ? undefined : left % right;
    case '@':
      // align `left` down to a multiple of `right`, a power of two
      return right === 0 || (right & (right - 1)) !== 0 ? undefined : (left & ~(right - 1)) >>> 0;
  }
}
