import { Structure, unicodeStringAt } from '../../nt/structure.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { extensionArgs } from './thread.ts';

const MAJOR: readonly string[] = [
  'CREATE',
  'CREATE_NAMED_PIPE',
  'CLOSE',
  'READ',
  'WRITE',
  'QUERY_INFORMATION',
  'SET_INFORMATION',
  'QUERY_EA',
  'SET_EA',
  'FLUSH_BUFFERS',
  'QUERY_VOLUME_INFORMATION',
  'SET_VOLUME_INFORMATION',
  'DIRECTORY_CONTROL',
  'FILE_SYSTEM_CONTROL',
  'DEVICE_CONTROL',
  'INTERNAL_DEVICE_CONTROL',
  'SHUTDOWN',
  'LOCK_CONTROL',
  'CLEANUP',
  'CREATE_MAILSLOT',
  'QUERY_SECURITY',
  'SET_SECURITY',
  'POWER',
  'SYSTEM_CONTROL',
  'DEVICE_CHANGE',
  'QUERY_QUOTA',
  'SET_QUOTA',
  'PNP',
];
const MAX_STACKS = 64;
const IO_TYPE_IRP = 6;
const SL_PENDING = 1;

interface StackRow {
  readonly index: number;
  readonly current: boolean;
  readonly major: number | null;
  readonly minor: number | null;
  readonly flags: number | null;
  readonly control: number | null;
  readonly device: bigint | null;
  readonly file: bigint | null;
  readonly completion: bigint | null;
  readonly context: bigint | null;
  readonly driver: string | null;
  readonly args: readonly (bigint | null)[];
}

function stackLocation(session: Session, address: bigint, index: number, current: boolean): StackRow {
  const { target } = session;
  const location = new Structure(target, '_IO_STACK_LOCATION', address);
  const value = (path: string): bigint | null => location.value(path) ?? null;
  const device = value('DeviceObject');
  const driver =
    device === null || device === 0n
      ? undefined
      : new Structure(target, '_DEVICE_OBJECT', device).follow('DriverObject', '_DRIVER_OBJECT');
  const name = driver?.addressOf('DriverName');
  const parameters = location.field('Parameters')?.offset;
  const step = BigInt(target.pointerSize);
  const args = [0n, 1n, 2n, 3n].map((i) =>
    parameters === undefined ? null : (target.memory.pointer(address + BigInt(parameters) + i * step) ?? null),
  );
  const number = (path: string): number | null => location.number(path) ?? null;
  return {
    index,
    current,
    major: number('MajorFunction'),
    minor: number('MinorFunction'),
    flags: number('Flags'),
    control: number('Control'),
    device,
    file: value('FileObject'),
    completion: value('CompletionRoutine'),
    context: value('Context'),
    driver: name === undefined ? null : (unicodeStringAt(target, target.memory, name, 128) ?? null),
    args,
  };
}

function pointerOrZero(value: bigint | null, session: Session): string {
  return value === 0n ? '00000000' : plainAddress(value, session.target);
}

function stackText(session: Session, row: StackRow, named: boolean): string[] {
  const byte = (n: number | null): string => (n === null ? '?' : n.toString(16));
  const mark = row.current ? '>' : ' ';
  const empty = row.major === 0 && row.device === 0n && row.completion === 0n;
  const p = (value: bigint | null): string => pointerOrZero(value, session);
  const control = row.control ?? 0;
  const when =
    (control & 0xe0) === 0
      ? ''
      : [
          (control & 0x40) !== 0 ? 'Success' : '',
          (control & 0x80) !== 0 ? 'Error' : '',
          (control & 0x20) !== 0 ? 'Cancel' : '',
        ]
          .filter((w) => w !== '')
          .join(' ');
  const pending = (control & SL_PENDING) !== 0 ? 'pending' : '';
  const tail = `${byte(row.flags).padStart(2)} ${byte(row.control).padStart(2)} ${p(row.device)} ${p(row.file)} ${p(row.completion)}-${p(row.context)} ${when}${when === '' ? '   ' : ' '}${pending}`;
  const lines: string[] = [];
  if (named) {
    const major = empty ? 'N/A(0)' : `IRP_MJ_${MAJOR[row.major ?? -1] ?? '?'}(${byte(row.major)})`;
    const minor = row.minor === 0 || empty ? 'N/A(0)' : `(${byte(row.minor)})`;
    lines.push(`${mark}[${major}, ${minor}]`, `            ${tail}`);
  } else lines.push(`${mark}[${byte(row.major).padStart(3)},${byte(row.minor).padStart(2)}]  ${tail}`);
  const completion = row.completion === null || row.completion === 0n ? null : symbolText(session, row.completion);
  lines.push(`\t       ${row.driver ?? ''}${completion === null ? '' : `\t${completion}`}`.trimEnd());
  lines.push(`\t\t\tArgs: ${row.args.map((a) => pointerOrZero(a, session)).join(' ')}`);
  return lines;
}

export const irpCommand: Command = defineCommand({
  names: ['!irp'],
  summary: 'show an I/O request packet and its stack locations',
  usage: '!irp address [detail]',
  fidelity: "WinDbg's lines: function names from 8.1 on, numbers before. Minor functions print as numbers.",
  run(session, args) {
    const { target } = session;
    const { values } = extensionArgs(session, args, 2);
    if (values[0] === undefined) throw new CommandError("Numeric expression missing from '<EOL>'");
    const irp = new Structure(target, '_IRP', values[0]);
    const type = irp.number('Type');
    const count = irp.number('StackCount');
    const current = irp.number('CurrentLocation');
    if (type === undefined || count === undefined || current === undefined) {
      throw new CommandError(`${plainAddress(irp.address, target)} Could not read Irp`);
    }
    if (type !== IO_TYPE_IRP) throw new CommandError(`IRP signature does not match, probably not an IRP`);
    const size = target.layouts.table.struct('_IO_STACK_LOCATION')?.size;
    const irpSize = target.layouts.table.struct('_IRP')?.size;
    if (size === undefined || irpSize === undefined)
      throw new CommandError('!irp: nt!_IO_STACK_LOCATION is not in the layouts');
    const mdl = irp.value('MdlAddress') ?? null;
    const buffer = irp.value('AssociatedIrp.SystemBuffer') ?? irp.value('AssociatedIrp') ?? null;
    const thread = irp.value('Tail.Overlay.Thread') ?? null;
    const first = irp.address + BigInt(irpSize);
    const locations: StackRow[] = [];
    for (let i = 0; i < Math.min(count, MAX_STACKS); i++) {
      locations.push(stackLocation(session, first + BigInt(i * size), i + 1, i + 1 === current));
    }
    const named = target.dump.header.minorVersion >= 9600;
    const at = plainAddress(first + BigInt((current - 1) * size), target);
    const head =
      current > count
        ? `Irp is complete (CurrentLocation ${current} > StackCount ${count})`
        : `Irp is active with ${count} stacks ${current} is current (= 0x${at})`;
    const mdlText = mdl === 0n ? 'No Mdl:' : `Mdl=${plainAddress(mdl, target)}:`;
    const bufferText = buffer === 0n ? 'No System Buffer:' : `System buffer=${plainAddress(buffer, target)}:`;
    const lines = [
      head,
      ` ${mdlText} ${bufferText} Thread ${pointerOrZero(thread, session)}:  Irp stack trace.  `,
      '     cmd  flg cl Device   File     Completion-Context',
      ...locations.flatMap((location) => stackText(session, location, named)),
    ];
    const row = {
      address: irp.address,
      stackCount: count,
      currentLocation: current,
      mdl,
      systemBuffer: buffer,
      thread,
      flags: irp.number('Flags') ?? null,
      cancel: irp.number('Cancel') ?? null,
      status: irp.value('IoStatus.Status') ?? null,
      locations,
    };
    return result([row], lines);
  },
});
