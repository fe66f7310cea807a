import { parseAddress } from '../../expressions/range.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { engineAddress, hexDigits } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { sessionScope } from '../session/scope.ts';
import { sessionMemory } from '../session/session.ts';

interface ExceptionData {
  readonly code: number;
  readonly flags: number;
  readonly address: bigint;
  readonly parameters: readonly bigint[];
}

const NAMES: Readonly<Record<number, string>> = {
  3221225477: 'Access violation',
  3221225478: 'In-page I/O error',
  3221225501: 'Illegal instruction',
  3221225620: 'Integer divide-by-zero',
  3221225725: 'Stack overflow',
  3221226505: 'Security check failure or stack buffer overrun',
  2147483651: 'Break instruction exception',
  2147483652: 'Single step exception',
};

/** EXCEPTION_RECORD32/64 at an address (dumpformat.md §3). */
function readRecord(session: Session, address: bigint): ExceptionData | null {
  const memory = sessionMemory(session);
  const wide = session.target.pointerSize === 8;
  const code = memory.u32(address);
  const flags = memory.u32(address + 4n);
  const where = memory.pointer(address + (wide ? 0x10n : 0xcn));
  const count = memory.u32(address + (wide ? 0x18n : 0x10n));
  if (code === undefined || flags === undefined || where === undefined || count === undefined) return null;
  const parameters: bigint[] = [];
  for (let i = 0; i < Math.min(count, 15); i++) {
    const value = memory.pointer(address + (wide ? 0x20n + BigInt(i) * 8n : 0x14n + BigInt(i) * 4n));
    if (value === undefined) break;
    parameters.push(value);
  }
  return { code, flags, address: where, parameters };
}

export const exceptionCommand: Command = defineCommand({
  names: ['.exr'],
  summary: 'show an exception record; -1: that of the dump header',
  usage: '.exr address | -1',
  fidelity: 'As in WinDbg.',
  run(session, args) {
    const { target } = session;
    const header = target.dump.header.exception;
    let record: ExceptionData | null;
    if (args.trim() === '-1') {
      if (header === null) throw new CommandError('The dump header holds no exception record');
      record = header;
    } else {
      const { address } = parseAddress(args, sessionScope(session));
      record = readRecord(session, address);
      if (record === null)
        throw new CommandError(`Unable to read exception record at ${engineAddress(address, target)}`);
    }
    const code = record.code >>> 0;
    const symbol = symbolText(session, record.address);
    const name = NAMES[code];
    const lines = [
      `ExceptionAddress: ${engineAddress(record.address, target)}${symbol === null ? '' : ` (${symbol})`}`,
      `   ExceptionCode: ${hexDigits(code, 8)}${name === undefined ? '' : ` (${name})`}`,
      `  ExceptionFlags: ${hexDigits(record.flags >>> 0, 8)}`,
      `NumberParameters: ${record.parameters.length}`,
    ];
    record.parameters.forEach((p, i) => {
      lines.push(`   Parameter[${i}]: ${engineAddress(p, target).replace('`', '')}`);
    });
    const [kind, where] = record.parameters;
    if ((code === 0xc0000005 || code === 0xc0000006) && kind !== undefined && where !== undefined) {
      const verb = kind === 0n ? 'read from' : kind === 1n ? 'write to' : 'execute non-executable';
      lines.push(`Attempt to ${verb} address ${engineAddress(where, target).replace('`', '')}`);
    }
    return result([record], lines);
  },
});
