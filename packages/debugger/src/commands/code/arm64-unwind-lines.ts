import { va } from '@dumpscope/core';
import type { RuntimeFunction } from '@dumpscope/symbols';
import type { Module } from '../../target/model.ts';
import { type ArmCode, type ArmUnwindData, readArmUnwindData } from '../../unwind/arm64-unwind-data.ts';
import type { Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';

const x = (n: number): string => (n === 29 ? 'fp' : n === 30 ? 'lr' : `x${n}`);

function place(offset: number): string {
  return offset < 0 ? `[sp,#-0x${(-offset).toString(16)}]!` : offset === 0 ? '[sp]' : `[sp,#0x${offset.toString(16)}]`;
}

/** The instruction of a prologue that a code stands for. */
export function armCodeText(code: ArmCode): string {
  switch (code.op) {
    case 'alloc':
      return `sub sp,sp,#0x${code.size.toString(16)}`;
    case 'save':
      return code.count === 1
        ? `str ${x(code.first)},${place(code.offset)}`
        : `stp ${x(code.first)},${x(code.first + 1)},${place(code.offset)}`;
    case 'save-lr-pair':
      return `stp ${x(code.first)},lr,${place(code.offset)}`;
    case 'save-fp': {
      const r = code.width === 8 ? 'd' : 'q';
      return code.count === 1
        ? `str ${r}${code.first},${place(code.offset)}`
        : `stp ${r}${code.first},${r}${code.first + 1},${place(code.offset)}`;
    }
    case 'set-fp':
      return 'mov fp,sp';
    case 'add-fp':
      return `add fp,sp,#0x${code.offset.toString(16)}`;
    case 'pac-sign-lr':
      return 'pacibsp';
    case 'save-next':
      return 'stp of the next pair';
    case 'invalid':
      return `not a code (${hexDigits(code.byte, 2)})`;
    default:
      return code.op.replace(/-/g, ' ');
  }
}

/** Unwind data of an entry of .pdata, packed or in .xdata, in words. */
export function arm64UnwindLines(
  session: Session,
  module: Module,
  entry: RuntimeFunction,
): { readonly info: ArmUnwindData | { readonly error: string }; readonly lines: string[] } {
  const { target } = session;
  const packed = entry.packed !== 0;
  const head = packed
    ? `Packed data       = ${hexDigits(entry.unwindData >>> 0, 8)}`
    : `UnwindInfoAddress = ${engineAddress(BigInt(entry.unwindData >>> 0), { pointerSize: 8 })}`;
  const info = readArmUnwindData(target.memory, module.base, entry.unwindData);
  if (typeof info === 'string') return { info: { error: info }, lines: [head, '', info] };
  const where = packed ? '' : ` at ${engineAddress(va(module.base + BigInt(entry.unwindData >>> 0)), target)}`;
  const lines = [head, '', `Unwind info${where}`];
  lines.push(
    `  length ${info.functionLength.toString(16)}, ${info.hasProlog ? 'prolog' : 'no prolog here'}, codes ${info.codes.length}`,
  );
  for (const { index, code } of info.codes) lines.push(`  ${hexDigits(index, 2)}: ${armCodeText(code)}`);
  if (info.tailEpilog !== null) lines.push(`  epilog at the end, its codes from ${hexDigits(info.tailEpilog, 2)}`);
  for (const epilog of info.epilogs)
    lines.push(`  epilog at +0x${epilog.start.toString(16)}, its codes from ${hexDigits(epilog.index, 2)}`);
  return { info, lines };
}
