import { targetAddress } from '../../expressions/scope.ts';
import {
  driverOfDevice,
  IO_TYPE_IRP,
  type IrpLocation,
  irpLocations,
  readIrp,
  SL_PENDING_RETURNED,
} from '../../nt/irp.ts';
import { IRP_MAJOR_NAMES } from '../../nt/irp-names.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { symbolText } from '../session/names.ts';
import { extensionArgs } from './thread.ts';

function pointerOrZero(value: bigint | null, session: Session): string {
  return value === 0n ? '00000000' : plainAddress(value, session.target);
}

/** A stack location with the name of the device's driver. */
type NamedLocation = IrpLocation & { readonly driver: string | null };

function stackText(session: Session, row: NamedLocation, named: boolean): string[] {
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
  const pending = (control & SL_PENDING_RETURNED) !== 0 ? 'pending' : '';
  const tail = `${byte(row.flags).padStart(2)} ${byte(row.control).padStart(2)} ${p(row.device)} ${p(row.file)} ${p(row.completion)}-${p(row.context)} ${when}${when === '' ? '   ' : ' '}${pending}`;
  const lines: string[] = [];
  if (named) {
    const major = empty ? 'N/A(0)' : `IRP_MJ_${IRP_MAJOR_NAMES[row.major ?? -1] ?? '?'}(${byte(row.major)})`;
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
    const irp = readIrp(target, values[0]);
    if (irp === null) {
      throw new CommandError(
        `${plainAddress(targetAddress(values[0], target.pointerSize), target)} Could not read Irp`,
      );
    }
    if (irp.type !== IO_TYPE_IRP) throw new CommandError(`IRP signature does not match, probably not an IRP`);
    const { locationsAt, locationSize, mdl, systemBuffer, thread } = irp;
    if (locationsAt === null || locationSize === null)
      throw new CommandError('!irp: nt!_IO_STACK_LOCATION is not in the layouts');
    const count = irp.stackCount;
    const current = irp.currentLocation;
    const locations = irpLocations(target, irp).map((location) => ({
      ...location,
      driver: location.device ? (driverOfDevice(target, location.device)?.name ?? null) : null,
    }));
    const named = target.dump.header.minorVersion >= 9600;
    const at = plainAddress(locationsAt + BigInt((current - 1) * locationSize), target);
    const head =
      current > count
        ? `Irp is complete (CurrentLocation ${current} > StackCount ${count})`
        : `Irp is active with ${count} stacks ${current} is current (= 0x${at})`;
    const mdlText = mdl === 0n ? 'No Mdl:' : `Mdl=${plainAddress(mdl, target)}:`;
    const bufferText =
      systemBuffer === 0n ? 'No System Buffer:' : `System buffer=${plainAddress(systemBuffer, target)}:`;
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
      systemBuffer,
      thread,
      flags: irp.flags,
      cancel: irp.cancel,
      status: irp.status,
      locations: locations.map(({ address: _, ...location }) => location),
    };
    return result([row], lines);
  },
});
