/**
 * The device in whose extension an address lies. IoCreateDevice puts the extension behind the DEVICE_OBJECT in one
 * block, and DEVICE_OBJECT.Size counts both: an object before the address that says so, and whose DriverObject is one.
 */
import { type Va, va } from '@dumpscope/core';
import type { Module, Target } from '../target/model.ts';
import { Structure, unicodeStringAt } from './structure.ts';

export interface DeviceExtension {
  readonly device: Va;
  readonly extension: Va;
  readonly offset: bigint;
  readonly driver: Va;
  /** `\Driver\MyDriver`; null where its buffer is not in the dump. */
  readonly driverName: string | null;
  /** Module that DriverStart lies in. */
  readonly module: Module | null;
}

/** IO_TYPE_DEVICE and IO_TYPE_DRIVER of the WDK. */
const DEVICE = 3;
const DRIVER = 4;
/** DEVICE_OBJECT.Size is a USHORT. */
const REACH = 0x10000;

export function deviceExtensionAt(target: Target, address: bigint): DeviceExtension | null {
  const object = new Structure(target, '_DEVICE_OBJECT', address);
  const sizeAt = object.field('Size')?.offset;
  const typeAt = object.field('Type')?.offset;
  if (sizeAt === undefined || typeAt === undefined) return null;
  const step = target.pointerSize === 8 ? 16 : 8;
  const top = (address - 1n) & ~BigInt(step - 1);
  const page = new Uint8Array(0x1000);
  const view = new DataView(page.buffer);
  let held: bigint | null = null;
  for (let back = 0; back < REACH; back += step) {
    const at = top - BigInt(back);
    const base = at & ~0xfffn;
    if (base !== held) {
      // The object must be whole with the extension: a page that is missing ends the search.
      if (target.memory.readInto(va(base), page) !== 0x1000) return null;
      held = base;
    }
    const offset = Number(at - base);
    if (offset + sizeAt + 2 > 0x1000 || view.getUint16(offset + typeAt, true) !== DEVICE) continue;
    if (back + step > view.getUint16(offset + sizeAt, true)) continue;
    const found = deviceAt(target, at, address);
    if (found !== null) return found;
  }
  return null;
}

function deviceAt(target: Target, at: bigint, address: bigint): DeviceExtension | null {
  const device = new Structure(target, '_DEVICE_OBJECT', at);
  const size = device.number('Size') ?? 0;
  const extension = device.value('DeviceExtension');
  const driver = device.follow('DriverObject', '_DRIVER_OBJECT');
  if (extension === undefined || extension <= at || extension > address || address >= at + BigInt(size)) return null;
  if (driver === undefined || driver.number('Type') !== DRIVER) return null;
  const start = driver.value('DriverStart');
  const name = driver.addressOf('DriverName');
  return {
    device: va(at),
    extension: va(extension),
    offset: address - extension,
    driver: driver.address,
    driverName: name === undefined ? null : (unicodeStringAt(target, target.memory, name, 256) ?? null),
    module: start === undefined || start === 0n ? null : (target.moduleAt(start) ?? null),
  };
}
