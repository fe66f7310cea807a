import { va } from '@dumpscope/core';
import type { Module } from '../../target/model.ts';
import {
  readUnwindInfo,
  type UnwindCode,
  type UnwindInfo,
  uwop,
  x64RegisterNames,
} from '../../unwind/x64-unwind-info.ts';
import type { Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { symbolText } from '../session/names.ts';

const OPERATIONS: Readonly<Record<number, string>> = {
  [uwop.pushNonvol]: 'UWOP_PUSH_NONVOL',
  [uwop.allocLarge]: 'UWOP_ALLOC_LARGE',
  [uwop.allocSmall]: 'UWOP_ALLOC_SMALL',
  [uwop.setFpreg]: 'UWOP_SET_FPREG',
  [uwop.saveNonvol]: 'UWOP_SAVE_NONVOL',
  [uwop.saveNonvolFar]: 'UWOP_SAVE_NONVOL_FAR',
  [uwop.epilog]: 'UWOP_EPILOG',
  [uwop.saveXmm128]: 'UWOP_SAVE_XMM128',
  [uwop.saveXmm128Far]: 'UWOP_SAVE_XMM128_FAR',
  [uwop.pushMachframe]: 'UWOP_PUSH_MACHFRAME',
};

/** Chained entries that are listed below one another; Windows follows 32. */
const MAX_CHAIN = 32;

function codeText(code: UnwindCode): string {
  const name = OPERATIONS[code.op] ?? '?';
  const offset = ` FrameOffset: ${code.operand.toString(16)}`;
  switch (code.op) {
    case uwop.pushNonvol:
      return `${name} reg: ${x64RegisterNames[code.info] ?? '?'}.`;
    case uwop.allocLarge:
      return `${name}${offset}.`;
    case uwop.saveNonvol:
    case uwop.saveNonvolFar:
      return `${name}${offset} reg: ${x64RegisterNames[code.info] ?? '?'}.`;
    case uwop.saveXmm128:
    case uwop.saveXmm128Far:
      return `${name}${offset} reg: xmm${code.info}.`;
    default:
      return `${name}.`;
  }
}

/** Bytes of the UNWIND_INFO: header, codes and, behind their padding, a handler with its first data word or a chain. */
function sizeOf(info: UnwindInfo): number {
  const padded = 4 + ((info.slots + 1) & ~1) * 2;
  return (info.flags & 4) !== 0 ? padded + 12 : (info.flags & 3) !== 0 ? padded + 8 : 4 + info.slots * 2;
}

function handlerLine(session: Session, module: Module, rva: number, info: UnwindInfo): string | null {
  if ((info.flags & 3) === 0 || (info.flags & 4) !== 0) return null;
  const { memory } = session.target;
  const at = module.base + BigInt(rva + 4 + ((info.slots + 1) & ~1) * 2);
  const handler = memory.u32(at);
  const data = memory.u32(at + 4n);
  if (handler === undefined) return '  handler routine: ????????';
  const address = va(module.base + BigInt(handler));
  const name = symbolText(session, address);
  const shown = `${name === null ? '' : `${name} (`}${engineAddress(address, session.target)}${name === null ? '' : ')'}`;
  return `  handler routine: ${shown}, data ${data === undefined ? '????????' : data.toString(16)}`;
}

/** `Unwind info at …` and what follows it in `.fnent`, the entries that it is chained to below. */
export function x64UnwindLines(session: Session, module: Module, rva: number, first: UnwindInfo): string[] {
  const lines: string[] = [];
  const wide = (value: number): string => engineAddress(BigInt(value), { pointerSize: 8 });
  let at = rva;
  let info: UnwindInfo | string = first;
  for (let i = 0; i < MAX_CHAIN && typeof info !== 'string'; i++) {
    const where = engineAddress(va(module.base + BigInt(at)), session.target);
    lines.push(
      `Unwind info at ${where}, ${sizeOf(info).toString(16)} bytes`,
      `  version ${info.version}, flags ${info.flags.toString(16)}, prolog ${info.prologSize.toString(16)}, codes ${info.slots.toString(16)}`,
    );
    if (info.frameRegister !== 0) {
      const name = x64RegisterNames[info.frameRegister] ?? '?';
      lines.push(
        `  frame reg ${info.frameRegister.toString(16)} (${name}), frame offs ${info.frameOffset.toString(16)}h`,
      );
    }
    const handler = handlerLine(session, module, at, info);
    if (handler !== null) lines.push(handler);
    for (const code of info.codes) {
      lines.push(
        `  ${hexDigits(code.slot, 2)}: offs ${code.offset.toString(16)}, unwind op ${code.op.toString(16)}, op info ${code.info.toString(16)}\t${codeText(code)}`,
      );
    }
    for (const epilog of info.epilogs) {
      lines.push(`  epilog of ${epilog.size} bytes, ${epilog.fromEnd.toString(16)} before the end\tUWOP_EPILOG.`);
    }
    const { chained } = info;
    if (chained === null) return lines;
    lines.push(
      '',
      'Chained info:',
      `BeginAddress      = ${wide(chained.begin)}`,
      `EndAddress        = ${wide(chained.end)}`,
      `UnwindInfoAddress = ${wide(chained.unwindData)}`,
      '',
    );
    at = chained.unwindData;
    info = readUnwindInfo(session.target.memory, module.base, at);
  }
  lines.push(typeof info === 'string' ? info : 'the chain of entries does not end');
  return lines;
}
