import { evaluateCppValue } from '../../expressions/cpp-evaluate.ts';
import { evaluateWholeMasm } from '../../expressions/masm.ts';
import { currentInstructionLines } from '../code/instruction-line.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { registerByName } from '../session/registers-by-name.ts';
import { sessionScope } from '../session/scope.ts';
import { currentRegisters, processorOf } from '../session/session.ts';
import { registerBlock, registerRow } from './register-block.ts';

const TYPE_SIZES: Readonly<Record<string, number>> = { ub: 1, ib: 1, uw: 2, iw: 2, ud: 4, id: 4, uq: 8, iq: 8 };

function noContext(session: Session): CommandError {
  const processor = processorOf(session);
  const why = processor?.contextReason ?? session.target.processorNote ?? 'the dump holds no context of it';
  return new CommandError(`Unable to get the register context of processor ${session.processor}: ${why}`);
}

function all(session: Session): CommandResult {
  const registers = currentRegisters(session);
  if (registers === null) throw noContext(session);
  const head = session.context === null ? [] : ['Last set context:'];
  return result(
    [registerRow(registers)],
    [...head, ...registerBlock(registers), ...currentInstructionLines(session, registers)],
  );
}

function one(session: Session, text: string): { readonly row: Record<string, unknown>; readonly line: string } {
  const [, name, type] = /^@?(\$?[A-Za-z0-9_]+)(?::([a-z]+))?$/.exec(text) ?? [];
  if (name === undefined) throw new CommandError('Bad register error', { at: 0 });
  const lower = name.toLowerCase();
  if (lower.startsWith('$')) {
    const pseudo = sessionScope(session).pseudo(lower);
    if (pseudo === undefined) throw new CommandError('Bad register error', { at: 0 });
    const digits = session.target.pointerSize === 4 && pseudo.value >> 32n === 0n ? 8 : 16;
    return { row: { register: lower, value: pseudo.value }, line: `${lower}=${hexDigits(pseudo.value, digits)}` };
  }
  const registers = currentRegisters(session);
  if (registers === null) throw noContext(session);
  const value = registerByName(registers, lower);
  if (value === undefined) {
    // x64 trap frames and unwound frames lack registers that the processor has.
    if (registers.partial && /^[er]?[a-ds][ixp]x?$|^r\d+|^x\d+$/.test(lower)) {
      throw new CommandError(`${lower} is not known: ${registers.source} does not hold it`);
    }
    throw new CommandError('Bad register error', { at: 0 });
  }
  const row = { register: lower, value: value.value };
  const unit = type === undefined ? undefined : TYPE_SIZES[type];
  if (unit === undefined) {
    const digits = /^[a-z]f$|^iopl$/.test(lower) ? 1 : value.size * 2;
    return { row, line: `${lower}=${hexDigits(value.value, digits)}` };
  }
  const parts: string[] = [];
  for (let i = value.size - unit; i >= 0; i -= unit) {
    parts.push(hexDigits(BigInt.asUintN(unit * 8, value.value >> BigInt(i * 8)), unit * 2));
  }
  return { row, line: `${lower}=${parts.join(' ')}` };
}

function assign(session: Session, name: string, expression: string): CommandResult {
  const lower = name.replace(/^@/, '').toLowerCase();
  if (!/^\$t1?\d$/.test(lower)) {
    throw new CommandError(`A dump's registers cannot be changed: only $t0 to $t19 can be set`);
  }
  const scope = sessionScope(session);
  const value =
    session.evaluator === 'c++' ? evaluateCppValue(expression, scope) : evaluateWholeMasm(expression, scope);
  session.pseudo.set(lower, value);
  return result([{ register: lower, value }], []);
}

function run(session: Session, args: string): CommandResult {
  if (args === '' || /^[Mm]\s*[0-9a-fA-F]+$/.test(args)) return all(session);
  const set = /^(@?\$?[A-Za-z0-9_]+)\s*=(?!=)\s*(.*)$/s.exec(args);
  if (set !== null) return assign(session, set[1] as string, set[2] as string);
  const wanted = args.split(/[\s,]+/).filter((word) => word !== '');
  const shown = wanted.map((word) => one(session, word.replace(/\.$/, '')));
  return result(
    shown.map((s) => s.row),
    [shown.map((s) => s.line).join(' ')],
  );
}

export const registersCommand: Command = defineCommand({
  names: ['r'],
  summary: 'show registers, set $t0..$t19',
  usage: 'r [register[:type]]... | r $tN = expression',
  effective: true,
  fidelity:
    'Register blocks as in WinDbg for x86 and x64; the ARM64 block follows recollection. Registers cannot be changed.',
  run,
});
