/** IRPs and devices as far as a driver can be named: by the image range of its DRIVER_OBJECT, never by its text name. */
import type { Module, Target } from '@dumpscope/debugger';
import { type Member, member } from '../kernel-struct.ts';

export interface DeviceView {
  readonly device: bigint;
  readonly driverObject: Member | null;
  /** Module that DriverStart lies in; null where it cannot be read. */
  readonly module: Module | null;
}

export function deviceView(target: Target, device: bigint): DeviceView | null {
  if (device === 0n) return null;
  const driverObject = member(target, '_DEVICE_OBJECT', device, 'DriverObject');
  const start =
    driverObject?.value == null || driverObject.value === 0n
      ? null
      : (member(target, '_DRIVER_OBJECT', driverObject.value, 'DriverStart')?.value ?? null);
  return { device, driverObject, module: start === null ? null : (target.moduleAt(start) ?? null) };
}

export interface IrpLocation {
  readonly address: bigint;
  readonly number: number;
  readonly major: number | null;
  readonly minor: number | null;
  readonly control: number | null;
  readonly device: DeviceView | null;
}

export interface IrpView {
  readonly address: bigint;
  readonly stackCount: number;
  readonly current: number;
  readonly complete: boolean;
  /** From the current location to the last: whoever holds it first. */
  readonly locations: readonly IrpLocation[];
}

const IO_TYPE_IRP = 6n;
const MAX_LOCATIONS = 64;

/** Null where the address holds no IRP or it cannot be read. */
export function irpView(target: Target, address: bigint): IrpView | null {
  const read = (path: string): bigint | null => member(target, '_IRP', address, path)?.value ?? null;
  const count = read('StackCount');
  const current = read('CurrentLocation');
  if (read('Type') !== IO_TYPE_IRP || count === null || current === null) return null;
  const irpSize = target.layouts.table.struct('_IRP')?.size;
  const size = target.layouts.table.struct('_IO_STACK_LOCATION')?.size;
  if (irpSize === undefined || size === undefined || count > BigInt(MAX_LOCATIONS)) return null;
  const locations: IrpLocation[] = [];
  for (let i = Number(current); i >= 1 && i <= Number(count); i++) {
    const at = address + BigInt(irpSize + (i - 1) * size);
    const field = (path: string): bigint | null => member(target, '_IO_STACK_LOCATION', at, path)?.value ?? null;
    const number = (value: bigint | null): number | null => (value === null ? null : Number(value));
    const device = field('DeviceObject');
    locations.push({
      address: at,
      number: i,
      major: number(field('MajorFunction')),
      minor: number(field('MinorFunction')),
      control: number(field('Control')),
      device: device === null ? null : deviceView(target, device),
    });
  }
  return { address, stackCount: Number(count), current: Number(current), complete: current > count, locations };
}

const powerMinors = ['WAIT_WAKE', 'POWER_SEQUENCE', 'SET_POWER', 'QUERY_POWER'];

/** `IRP_MJ_POWER, SET_POWER`, or numbers. */
export function functionText(location: IrpLocation): string {
  if (location.major === 0x16) return `IRP_MJ_POWER, ${powerMinors[location.minor ?? -1] ?? `minor ${location.minor}`}`;
  if (location.major === 0x1b) return `IRP_MJ_PNP, minor ${location.minor?.toString(16) ?? '?'}`;
  return `major ${location.major?.toString(16) ?? '?'}, minor ${location.minor?.toString(16) ?? '?'}`;
}
