/** IRPs: whose they are, which driver has them now, and which event their completion sets. */
import type { Va } from '@dumpscope/core';
import type { Target, Thread } from '../target/model.ts';
import { type ListEnd, Structure, unicodeStringAt, walkList } from './structure.ts';

export const IO_TYPE_IRP = 6;
/** IO_STACK_LOCATION.Control: the driver marked the IRP pending. */
export const SL_PENDING_RETURNED = 1;
/** More stack locations than any device stack has. */
const MAX_STACKS = 64;

export interface IrpLocation {
  /** 1-based, as CurrentLocation counts. */
  readonly index: number;
  readonly address: Va;
  readonly current: boolean;
  readonly major: number | null;
  readonly minor: number | null;
  readonly flags: number | null;
  readonly control: number | null;
  readonly device: bigint | null;
  readonly file: bigint | null;
  readonly completion: bigint | null;
  readonly context: bigint | null;
  readonly args: readonly (bigint | null)[];
}

export interface Irp {
  readonly address: Va;
  readonly type: number;
  readonly stackCount: number;
  /** `stackCount` + 1 once every driver is through with it. */
  readonly currentLocation: number;
  readonly thread: bigint | null;
  readonly mdl: bigint | null;
  readonly systemBuffer: bigint | null;
  readonly flags: number | null;
  readonly cancel: number | null;
  readonly status: bigint | null;
  readonly pendingReturned: boolean | null;
  /** KEVENT that completion sets in place of the file object's. */
  readonly userEvent: bigint | null;
  readonly originalFile: bigint | null;
  /** Address of the first stack location; null where the layouts do not tell. */
  readonly locationsAt: Va | null;
  readonly locationSize: number | null;
}

/** Null where the header of an IRP cannot be read; `type` says whether it is one. */
export function readIrp(target: Target, address: bigint): Irp | null {
  const irp = new Structure(target, '_IRP', address);
  const type = irp.number('Type');
  const stackCount = irp.number('StackCount');
  const currentLocation = irp.number('CurrentLocation');
  if (type === undefined || stackCount === undefined || currentLocation === undefined) return null;
  const size = target.layouts.table.struct('_IRP')?.size;
  const pending = irp.number('PendingReturned');
  return {
    address: irp.address,
    type,
    stackCount,
    currentLocation,
    thread: irp.value('Tail.Overlay.Thread') ?? null,
    mdl: irp.value('MdlAddress') ?? null,
    systemBuffer: irp.value('AssociatedIrp.SystemBuffer') ?? irp.value('AssociatedIrp') ?? null,
    flags: irp.number('Flags') ?? null,
    cancel: irp.number('Cancel') ?? null,
    status: irp.value('IoStatus.Status') ?? null,
    pendingReturned: pending === undefined ? null : pending !== 0,
    userEvent: irp.value('UserEvent') ?? null,
    originalFile: irp.value('Tail.Overlay.OriginalFileObject') ?? null,
    locationsAt: size === undefined ? null : ((irp.address + BigInt(size)) as Va),
    locationSize: target.layouts.table.struct('_IO_STACK_LOCATION')?.size ?? null,
  };
}

export function irpLocations(target: Target, irp: Irp): IrpLocation[] {
  const count = Math.min(irp.stackCount, MAX_STACKS);
  return Array.from({ length: count }, (_, i) => irpLocation(target, irp, i + 1)).filter((l) => l !== null);
}

/** The location of the driver that has the IRP; null once it is complete, or where it cannot be read. */
export function currentIrpLocation(target: Target, irp: Irp): IrpLocation | null {
  if (irp.currentLocation < 1 || irp.currentLocation > Math.min(irp.stackCount, MAX_STACKS)) return null;
  return irpLocation(target, irp, irp.currentLocation);
}

function irpLocation(target: Target, irp: Irp, index: number): IrpLocation | null {
  if (irp.locationsAt === null || irp.locationSize === null) return null;
  const address = irp.locationsAt + BigInt((index - 1) * irp.locationSize);
  const location = new Structure(target, '_IO_STACK_LOCATION', address);
  const value = (path: string): bigint | null => location.value(path) ?? null;
  const number = (path: string): number | null => location.number(path) ?? null;
  const device = value('DeviceObject');
  const parameters = location.field('Parameters')?.offset;
  const step = BigInt(target.pointerSize);
  return {
    index,
    address: location.address,
    current: index === irp.currentLocation,
    major: number('MajorFunction'),
    minor: number('MinorFunction'),
    flags: number('Flags'),
    control: number('Control'),
    device,
    file: value('FileObject'),
    completion: value('CompletionRoutine'),
    context: value('Context'),
    args: [0n, 1n, 2n, 3n].map((i) =>
      parameters === undefined ? null : (target.memory.pointer(address + BigInt(parameters) + i * step) ?? null),
    ),
  };
}

export interface DeviceDriver {
  readonly driver: Va;
  /** `\Driver\NDIS`; null where the name is paged out. */
  readonly name: string | null;
  /** DRIVER_OBJECT.DriverStart; null for drivers without an image of their own. */
  readonly start: bigint | null;
}

export function driverOfDevice(target: Target, device: bigint): DeviceDriver | null {
  const driver = new Structure(target, '_DEVICE_OBJECT', device).follow('DriverObject', '_DRIVER_OBJECT');
  if (driver === undefined) return null;
  const name = driver.addressOf('DriverName');
  const start = driver.value('DriverStart');
  return {
    driver: driver.address,
    name: name === undefined ? null : (unicodeStringAt(target, target.memory, name, 128) ?? null),
    start: start === undefined || start === 0n ? null : start,
  };
}

/** Addresses of the IRPs on a thread's list. */
export function threadIrps(
  target: Target,
  thread: Thread,
  limit: number,
): { readonly irps: readonly Va[]; readonly end: ListEnd; readonly at: Va } | null {
  const head = thread.fieldAddress('IrpList');
  const link = new Structure(target, '_IRP', 0n).field('ThreadListEntry');
  if (head === null || link === undefined) return null;
  const { entries, end, at } = walkList(target, target.memory, head, limit);
  return { irps: entries.map((entry) => (entry - BigInt(link.offset)) as Va), end, at };
}
