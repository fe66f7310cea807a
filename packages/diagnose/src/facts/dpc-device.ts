/** The device object that a KDPC is part of: IoRequestDpc queues that one, and its driver completes I/O there. */
import type { Target } from '@dumpscope/debugger';
import { member } from '../bugchecks/kernel-struct.ts';

/** IO_TYPE_DEVICE and IO_TYPE_DRIVER of wdm.h. */
const DEVICE_OBJECT = 3;
const DRIVER_OBJECT = 4;

/** Null where the bytes around it are no DEVICE_OBJECT with a DRIVER_OBJECT. */
export function deviceOfDpc(target: Target, dpc: bigint): bigint | null {
  const place = member(target, '_DEVICE_OBJECT', 0n, 'Dpc.Type');
  if (place === null) return null;
  const device = dpc - place.address;
  const driver = member(target, '_DEVICE_OBJECT', device, 'DriverObject')?.value ?? 0n;
  if (target.memory.u16(device) !== DEVICE_OBJECT || driver === 0n) return null;
  return target.memory.u16(driver) === DRIVER_OBJECT ? device : null;
}

/** Null where it has none, or where that cannot be read. */
export function currentIrpOf(
  target: Target,
  device: bigint,
): { readonly address: bigint; readonly value: bigint } | null {
  const irp = member(target, '_DEVICE_OBJECT', device, 'CurrentIrp');
  return irp?.value == null || irp.value === 0n ? null : { address: irp.address, value: irp.value };
}
