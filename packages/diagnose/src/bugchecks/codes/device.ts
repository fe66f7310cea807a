/** IRPs and devices as far as a driver can be named: by the image range of its DRIVER_OBJECT, never by its text name. */
import { IO_TYPE_IRP, irpLocations, type Module, readIrp, type Target } from '@dumpscope/debugger';
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

/** Null where the address holds no IRP or it cannot be read. */
export function irpView(target: Target, address: bigint): IrpView | null {
  const irp = readIrp(target, address);
  if (irp === null || irp.type !== IO_TYPE_IRP || irp.locationsAt === null || irp.locationSize === null) return null;
  const { stackCount, currentLocation } = irp;
  const locations = irpLocations(target, irp)
    .filter(({ index }) => index >= currentLocation)
    .map(({ address: at, index, major, minor, control, device }) => ({
      address: at,
      number: index,
      major,
      minor,
      control,
      device: device === null ? null : deviceView(target, device),
    }));
  return { address, stackCount, current: currentLocation, complete: currentLocation > stackCount, locations };
}

const powerMinors = ['WAIT_WAKE', 'POWER_SEQUENCE', 'SET_POWER', 'QUERY_POWER'];

/** `IRP_MJ_POWER, SET_POWER`, or numbers. */
export function functionText(location: IrpLocation): string {
  if (location.major === 0x16) return `IRP_MJ_POWER, ${powerMinors[location.minor ?? -1] ?? `minor ${location.minor}`}`;
  if (location.major === 0x1b) return `IRP_MJ_PNP, minor ${location.minor?.toString(16) ?? '?'}`;
  return `major ${location.major?.toString(16) ?? '?'}, minor ${location.minor?.toString(16) ?? '?'}`;
}
