import { type Command, type CommandResult, defineCommand } from '../command.ts';
import { hexDigits, masmValueText } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { fileTime, stampTime } from '../format/time.ts';
import { general } from '../memory/display-format.ts';
import { evaluateArgument } from './evaluate.ts';

/** Six significant digits: C's default for %g. */
const DIGITS = 6;

function groupsOf(value: bigint, bytes: number): string {
  const groups: string[] = [];
  for (let i = bytes - 1; i >= 0; i--) {
    groups.push(((value >> BigInt(i * 8)) & 0xffn).toString(2).padStart(8, '0'));
  }
  return groups.join(' ');
}

function charsOf(value: bigint, bytes: number): string {
  let text = '';
  for (let i = bytes - 1; i >= 0; i--) {
    const c = Number((value >> BigInt(i * 8)) & 0xffn);
    text += c >= 0x20 && c < 0x7f ? String.fromCharCode(c) : '.';
  }
  return text;
}

/** A 32-bit value is a CRT time stamp, a wider one a FILETIME. */
function timeOf(value: bigint): string {
  if (value <= 0xffff_ffffn) return value > 0x7fff_ffffn ? '***** Invalid' : stampTime(value);
  return value > 0x7fff_ffff_ffff_ffffn ? '***** Invalid FILETIME' : fileTime(value);
}

export const formatsCommand: Command = defineCommand({
  names: ['.formats'],
  summary: 'show a number in every format',
  usage: '.formats expression',
  fidelity: 'As in WinDbg, but times are UTC: the answer must not depend on the time zone of the host.',
  run(session, args): CommandResult {
    const value = evaluateArgument(session, args);
    const high = value >> 32n;
    const narrow =
      session.target.pointerSize === 4 && (high === 0n || (high === 0xffff_ffffn && ((value >> 31n) & 1n) === 1n));
    const bytes = narrow ? 4 : 8;
    const shown = BigInt.asUintN(bytes * 8, value);
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, shown, true);
    const [low, upper] = [view.getFloat32(0, true), view.getFloat32(4, true)];
    const row = { value, signed: BigInt.asIntN(bytes * 8, value).toString() };
    return result(
      [row],
      [
        'Evaluate expression:',
        `  Hex:     ${narrow ? hexDigits(shown, 8) : masmValueText(shown, { pointerSize: 8 })}`,
        `  Decimal: ${BigInt.asIntN(bytes * 8, value)}`,
        `  Octal:   ${shown.toString(8).padStart(narrow ? 11 : 22, '0')}`,
        `  Binary:  ${groupsOf(shown, bytes)}`,
        `  Chars:   ${charsOf(shown, bytes)}`,
        `  Time:    ${timeOf(shown)}`,
        `  Float:   low ${general(low, DIGITS)} high ${general(upper, DIGITS)}`,
        `  Double:  ${general(view.getFloat64(0, true), DIGITS)}`,
      ],
    );
  },
});
