import { type Va, va } from '@dumpscope/core';
import { evaluateExpression } from '../../expressions/evaluate.ts';
import { parseAddress } from '../../expressions/range.ts';
import type { Registers } from '../../target/model.ts';
import { fpName, makeRegisters, pcName, spName } from '../../target/registers.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { result } from '../format/lines.ts';
import { displayMemory } from '../memory/display-memory.ts';
import { sessionScope } from '../session/scope.ts';
import { currentRegisters, processorOf } from '../session/session.ts';
import { type FrameRow, frameRows, type StackOptions, stackLines, walk } from './stack-format.ts';

/** `.kframes` default of today's debuggers. */
const DEFAULT_FRAMES = 0x100;
const MAX_FRAMES = 0xffff;

export const LAST_CONTEXT = '  *** Stack trace for last set context - .thread/.cxr resets it';

function optionsOf(session: Session, letters: string): StackOptions {
  const has = (c: string): boolean => letters.includes(c);
  return {
    args: has('b') || has('v'),
    verbose: has('v'),
    clean: has('c'),
    // Today's debuggers number frames; the 32-bit form here is that of XP's time, which numbers only on `n`.
    numbers: has('n') || session.target.pointerSize === 8,
    distance: has('f'),
    sourceLines: !has('L'),
    parameters: has('P') ? 'block' : has('p') ? 'line' : null,
  };
}

/** `k = BasePtr StackPtr InstructionPtr` (x86), `k = StackPtr InstructionPtr` (x64, ARM64), with a count behind. */
function explicitStart(session: Session, text: string): { readonly start: Registers; readonly rest: string } {
  const { arch } = session.target;
  const scope = sessionScope(session);
  const addresses: Va[] = [];
  let at = 0;
  const wanted = arch === 'x86' ? 3 : 2;
  while (addresses.length < wanted && text.slice(at).trim() !== '') {
    const parsed = parseAddress(text, scope, at);
    addresses.push(parsed.address);
    at = parsed.end;
  }
  const current = currentRegisters(session);
  const values = new Map(current?.values ?? []);
  const [first, second, third] = addresses;
  if (first === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
  if (arch === 'x86') {
    values.set(fpName[arch], first);
    if (second !== undefined) values.set(spName[arch], second);
    if (third !== undefined) values.set(pcName[arch], third);
  } else {
    values.set(spName[arch], first);
    if (second !== undefined) values.set(pcName[arch], second);
  }
  return { start: makeRegisters(arch, values, 'given on the command line', null, false), rest: text.slice(at) };
}

function run(session: Session, args: string, name: string): CommandResult<FrameRow> {
  const letters = name.slice(1);
  if (letters.includes('d')) return rawStack(session, args);
  let start = currentRegisters(session);
  let rest = args;
  if (args.startsWith('=')) ({ start, rest } = explicitStart(session, args.slice(1)));
  if (start === null) {
    const why = processorOf(session)?.contextReason ?? session.target.processorNote ?? 'its context is not in the dump';
    throw new CommandError(`Unable to get the stack of processor ${session.processor}: ${why}`);
  }
  let limit = DEFAULT_FRAMES;
  if (rest.trim() !== '') {
    const { value, end } = evaluateExpression(rest, sessionScope(session));
    if (rest.slice(end).trim() !== '')
      throw new CommandError('Extra character error', { at: args.length - rest.length + end });
    limit = Math.min(Number(value), MAX_FRAMES);
  }
  const trace = walk(session, start, limit);
  const lines = session.context === null ? [] : [LAST_CONTEXT];
  lines.push(...stackLines(session, trace, optionsOf(session, letters)));
  return result(frameRows(session, trace), lines);
}

/** `kd`: the raw stack, one pointer a line with symbols. */
function rawStack(session: Session, args: string): CommandResult<FrameRow> {
  const registers = currentRegisters(session);
  if (registers === null) throw new CommandError(`Unable to get the stack of processor ${session.processor}`);
  const sp = va(registers.sp).toString(16);
  const count = args === '' ? '' : ` L${args}`;
  return displayMemory.run(session, `0\`${sp}${count}`, 'dps') as CommandResult<FrameRow>;
}

export const stackCommand: Command = defineCommand({
  names: ['k', 'kb', 'kc', 'kd', 'kf', 'kL', 'kn', 'kp', 'kP', 'kv'],
  pattern: /^k[bcfLMnpPv]+$/,
  summary: 'show the stack',
  usage: 'k[b|p|P|v][c][n][f][L] [count] | k = [ebp] sp ip [count] | kd [count]',
  effective: true,
  fidelity:
    "32-bit rows as XP's debuggers print them (numbers only with n and c), 64-bit rows as today's. p and P show parameters where a private PDB has them. With --json each frame says how far it can be trusted.",
  run,
});
