import { va } from '@dumpscope/core';
import { findRuntimeFunction, type X86FrameRecord } from '@dumpscope/symbols';
import { parseAddress } from '../../expressions/range.ts';
import type { Module } from '../../target/model.ts';
import { readUnwindInfo } from '../../unwind/x64-unwind-info.ts';
import { type Command, CommandError, type CommandResult, defineCommand, type Session } from '../command.ts';
import { engineAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { nameIn } from '../session/names.ts';
import { sessionScope } from '../session/scope.ts';
import { nearSymbols } from '../symbols/list-near.ts';
import { arm64UnwindLines } from './arm64-unwind-lines.ts';
import { x64UnwindLines } from './x64-unwind-lines.ts';

/** The `.fnent` heading: where the entry lies, then the symbols around the address as `ln` lists them. */
function heading(session: Session, entry: bigint, address: bigint): string[] {
  return [
    `Debugger function entry ${engineAddress(va(entry), session.target)} for:`,
    ...nearSymbols(session, address).lines,
    '',
  ];
}

/** x86: the frame record of the PDB. */
function x86Entry(session: Session, module: Module, address: bigint): CommandResult {
  const at = Number(address - module.base);
  const record = module.debugInfo?.frameRecord(at);
  if (record === undefined)
    throw new CommandError(`No function entry for ${engineAddress(va(address), session.target)}`);
  const lines = heading(session, module.base + BigInt(record.rva), address);
  return result([{ module: module.name, ...record }], [...lines, ...x86Lines(record)]);
}

function x86Lines(record: X86FrameRecord): string[] {
  const isFramed = record.kind === 'fpo' ? record.frameType === 3 : record.program.includes('$T0 $ebp ');
  const dwords = (bytes: number): number => Math.floor(bytes / 4);
  const lines = isFramed
    ? ['Non-FPO']
    : [
        `Params:    ${dwords(record.paramsSize)}`,
        `Locals:    ${dwords(record.localsSize)}`,
        `Registers: ${dwords(record.savedRegsSize)}`,
      ];
  if (record.program !== '') lines.push(`Program:   ${record.program.trim()}`);
  return lines;
}

/** x64 and ARM64: the entry of .pdata and what its unwind data says. */
function tableEntry(session: Session, module: Module, address: bigint): CommandResult {
  const { target } = session;
  const read = (rva: number, length: number): Uint8Array | null =>
    rva < 0 || rva + length > module.size ? null : (target.memory.bytes(module.base + BigInt(rva), length) ?? null);
  const directory = module.pdata ?? null;
  const shown = engineAddress(va(address), target);
  if (directory === null) {
    throw new CommandError(
      `No function entry for ${shown}: neither the dump nor an image file tells where the .pdata of ${module.imageName} is`,
    );
  }
  const at = Number(address - module.base);
  const machine = target.arch === 'x64' ? 0x8664 : 0xaa64;
  const found = findRuntimeFunction(read, directory.rva, directory.size, at, machine);
  if (found.status !== 'found') {
    const why = found.status === 'unreadable' ? '.pdata is not in the dump' : 'a leaf, or no code';
    throw new CommandError(`No function entry for ${shown}: ${why}`);
  }
  const { entry } = found;
  const wide = (rva: number): string => engineAddress(BigInt(rva), { pointerSize: 8 });
  const lines = heading(
    session,
    module.base + BigInt(directory.rva + entry.index * (machine === 0x8664 ? 12 : 8)),
    address,
  );
  lines.push(`BeginAddress      = ${wide(entry.begin)}`, `EndAddress        = ${wide(entry.end)}`);
  if (target.arch === 'arm64') {
    const { info, lines: unwind } = arm64UnwindLines(session, module, entry);
    return result([{ module: module.name, ...entry, unwind: info }], [...lines, ...unwind]);
  }
  lines.push(`UnwindInfoAddress = ${wide(entry.unwindData)}`, '');
  const info = readUnwindInfo(target.memory, module.base, entry.unwindData);
  lines.push(...(typeof info === 'string' ? [info] : x64UnwindLines(session, module, entry.unwindData, info)));
  return result([{ module: module.name, ...entry, unwind: typeof info === 'string' ? { error: info } : info }], lines);
}

export const functionEntryCommand: Command = defineCommand({
  names: ['.fnent'],
  summary: "show a function's .pdata entry and unwind information, on x86 its frame record",
  usage: '.fnent address',
  fidelity:
    "As in WinDbg, but the entry's address is that in the image and not the debugger's copy. Of chained entries the parent is named; FrameData programs and the codes of ARM64 are in our own words.",
  run(session, args) {
    const { target } = session;
    const { address } = parseAddress(args === '' ? '.' : args, sessionScope(session));
    const { module } = nameIn(session, address);
    if (module === null) throw new CommandError(`No function entry for ${engineAddress(address, target)}`);
    return target.arch === 'x86' ? x86Entry(session, module, address) : tableEntry(session, module, address);
  },
});
