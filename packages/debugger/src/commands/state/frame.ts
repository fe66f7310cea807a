import { evaluateExpression } from '../../expressions/evaluate.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { sessionScope } from '../session/scope.ts';
import { currentRegisters } from '../session/session.ts';
import { frameLine, frameRow, shownFrames, walk } from '../stack/stack-format.ts';
import { registerBlock } from './register-block.ts';

/** Registers that unwinding did not recover print as 0, as WinDbg prints those of a trap frame. */
const UNKNOWN_NOTE = ['NOTE: Registers that the unwinder could not recover are printed as 0.'];

export const frameCommand: Command = defineCommand({
  names: ['.frame'],
  summary: 'choose the stack frame; /c takes its registers as context',
  usage: '.frame [/c] [/r] [number]',
  effective: true,
  fidelity: 'The frame line as in WinDbg. Registers of older frames are those the unwinder recovered.',
  run(session, args) {
    const option = /^\/([cr])\s*/.exec(args);
    const text = option === null ? args : args.slice(option[0].length);
    const start = currentRegisters(session);
    if (start === null) throw new CommandError(`Unable to get the stack of processor ${session.processor}`);
    const number = text === '' ? session.frame : Number(evaluateExpression(text, sessionScope(session)).value);
    const trace = walk(session, start, Math.min(number, 0xffff) + 1);
    const shown = shownFrames(session, trace)[number];
    if (shown === undefined)
      throw new CommandError(`Cannot find frame 0x${number.toString(16)}, previous scope unchanged`);
    const options = { args: false, verbose: false, clean: false, numbers: true, distance: false, sourceLines: true };
    const { frame } = shown;
    const lines = [frameLine(session, shown, undefined, options, { legacy: false, process: null })];
    session.frame = number;
    if (option?.[1] === 'c') {
      session.context = frame.registers;
      session.contextCommand = `.frame /c ${hexDigits(number, 2)}`;
      session.frame = 0;
    }
    if (option !== null)
      lines.push(...(frame.registers.partial ? UNKNOWN_NOTE : []), ...registerBlock(frame.registers));
    return result([frameRow(session, shown)], lines);
  },
});
