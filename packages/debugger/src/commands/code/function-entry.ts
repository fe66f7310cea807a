import { findRuntimeFunction, tryParsePe } from '@dumpscope/symbols';
import { parseAddress } from '../../expressions/range.ts';
import { readUnwindInfo, type UnwindInfo, uwop, x64RegisterNames } from '../../unwind/x64-unwind-info.ts';
import { type Command, CommandError, defineCommand } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { nameIn } from '../session/names.ts';
import { sessionScope } from '../session/scope.ts';

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

function detail(code: UnwindInfo['codes'][number], info: UnwindInfo): string {
  const register = x64RegisterNames[code.info] ?? '?';
  switch (code.op) {
    case uwop.pushNonvol:
      return ` reg: ${register}`;
    case uwop.allocLarge:
    case uwop.allocSmall:
      return ` 0x${code.operand.toString(16)} bytes`;
    case uwop.setFpreg:
      return ` ${x64RegisterNames[info.frameRegister] ?? '?'} = rsp+0x${info.frameOffset.toString(16)}`;
    case uwop.saveNonvol:
    case uwop.saveNonvolFar:
      return ` reg: ${register} at rsp+0x${code.operand.toString(16)}`;
    case uwop.saveXmm128:
    case uwop.saveXmm128Far:
      return ` xmm${code.info} at rsp+0x${code.operand.toString(16)}`;
    default:
      return '';
  }
}

export const functionEntryCommand: Command = defineCommand({
  names: ['.fnent'],
  summary: "show a function's .pdata entry and unwind information",
  usage: '.fnent address',
  fidelity: 'In the manner of WinDbg; x64 in full, of ARM64 the entry alone. x86 has no such entries.',
  run(session, args) {
    const { target } = session;
    if (target.arch === 'x86') throw new CommandError('No function entry: x86 images have no .pdata');
    const { address } = parseAddress(args === '' ? '.' : args, sessionScope(session));
    const { module } = nameIn(session, address);
    if (module === null) throw new CommandError(`No function entry for ${engineAddress(address, target)}`);
    const read = (rva: number, length: number): Uint8Array | null =>
      rva < 0 || rva + length > module.size ? null : (target.memory.bytes(module.base + BigInt(rva), length) ?? null);
    const directory = tryParsePe(read)?.directory(3);
    if (directory === undefined || directory.rva === 0) {
      throw new CommandError(
        `No function entry for ${engineAddress(address, target)}: the headers of ${module.imageName} are not in the dump`,
      );
    }
    const machine = target.arch === 'x64' ? 0x8664 : 0xaa64;
    const at = Number(address - module.base);
    const found = findRuntimeFunction(read, directory.rva, directory.size, at, machine);
    if (found.status !== 'found') {
      const why = found.status === 'unreadable' ? '.pdata is not in the dump' : 'a leaf, or no code';
      throw new CommandError(`No function entry for ${engineAddress(address, target)}: ${why}`);
    }
    const entry = found.entry;
    const wide = (rva: number): string => engineAddress(BigInt(rva), { pointerSize: 8 });
    const lines = [
      `Debugger function entry for ${nameIn(session, address).text}`,
      '',
      `BeginAddress      = ${wide(entry.begin)}`,
      `EndAddress        = ${wide(entry.end)}`,
      `UnwindInfoAddress = ${wide(entry.unwindData)}`,
    ];
    const info = target.arch === 'x64' ? readUnwindInfo(target.memory, module.base, entry.unwindData) : null;
    if (typeof info === 'string') lines.push('', info);
    else if (info !== null) {
      const where = engineAddress(module.base + BigInt(entry.unwindData), target);
      lines.push('', `Unwind info at ${where}`);
      lines.push(
        `  version ${info.version}, flags ${info.flags}, prolog ${info.prologSize.toString(16)}, codes ${info.codes.length}`,
      );
      info.codes.forEach((code, i) => {
        lines.push(
          `  ${hexDigits(i, 2)}: offs ${code.offset.toString(16)}, unwind op ${code.op}, op info ${code.info.toString(16)}\t${OPERATIONS[code.op] ?? '?'}${detail(code, info)}`,
        );
      });
      if (info.chained !== null) {
        lines.push(
          `  chained to ${wide(info.chained.begin)} - ${wide(info.chained.end)}, unwind info ${wide(info.chained.unwindData)}`,
        );
      }
    }
    return result(
      [{ module: module.name, ...entry, unwind: typeof info === 'string' ? { error: info } : info }],
      lines,
    );
  },
});
