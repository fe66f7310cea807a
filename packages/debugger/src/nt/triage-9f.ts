/**
 * The triage blocks that 0x9F DRIVER_POWER_STATE_FAILURE names since Windows 7, so that a small dump still tells what was
 * outstanding. TRIAGE_9F_POWER (signature 8000): lists of power IRPs and of threads that wait for them. TRIAGE_9F_PNP
 * (8001): a queue of devices whose PnP completion is awaited. Field offsets follow the public types, which few layouts
 * hold; what is found counts only where it reads as an IRP or a device.
 */
import { type Va, va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';
import { type ListEnd, unicodeStringAt, walkList } from './structure.ts';

export interface PowerTriage {
  readonly kind: 'power';
  /** IRPs of PopIrpList in order; those that do not read as IRPs are left out and counted. */
  readonly irps: readonly { readonly entry: Va; readonly irp: Va }[];
  readonly unread: number;
  /** Threads that wait for power IRPs; null where the list could not be followed. */
  readonly threads: number | null;
  readonly end: ListEnd;
}

export interface PnpTriage {
  readonly kind: 'pnp';
  readonly devices: readonly {
    readonly entry: Va;
    readonly device: Va;
    readonly instance: string | null;
    readonly service: string | null;
  }[];
  readonly unread: number;
  readonly end: ListEnd;
}

const POWER = 0x8000;
const PNP = 0x8001;
/** IO_TYPE_IRP, IO_TYPE_DEVICE. */
const IRP = 6;
const DEVICE = 3;
const MAX_ENTRIES = 256;

/** Null where the parameter is no such block (Windows Vista, or its page is not in the dump). */
export function triage9f(target: Target, address: bigint): PowerTriage | PnpTriage | null {
  const { memory } = target;
  const pointer = BigInt(target.pointerSize);
  const signature = address === 0n ? undefined : memory.u16(address);
  const revision = memory.u16(address + 2n);
  if (revision === undefined || revision === 0 || revision > 0xff) return null;
  const first = memory.pointer(address + pointer);
  const second = memory.pointer(address + 2n * pointer);
  if (first === undefined || first === 0n) return null;
  if (signature === POWER) return powerOf(target, first, second ?? 0n);
  return signature === PNP ? pnpOf(target, first) : null;
}

/** An entry: Link, the IRP behind it. */
function powerOf(target: Target, head: bigint, threads: bigint): PowerTriage {
  const { memory } = target;
  const { entries, end } = walkList(target, memory, head, MAX_ENTRIES);
  const irps: { entry: Va; irp: Va }[] = [];
  for (const entry of entries) {
    const irp = memory.pointer(entry + BigInt(2 * target.pointerSize));
    if (irp !== undefined && memory.u16(irp) === IRP) irps.push({ entry, irp: va(irp) });
  }
  const waiting = threads === 0n ? null : walkList(target, memory, threads, MAX_ENTRIES);
  return {
    kind: 'power',
    irps,
    unread: entries.length - irps.length,
    threads: waiting === null || waiting.end !== 'head' ? null : waiting.entries.length,
    end,
  };
}

/** An entry: ListEntry, the device node behind it: four links, PhysicalDeviceObject, InstancePath, ServiceName. */
function pnpOf(target: Target, queue: bigint): PnpTriage {
  const { memory } = target;
  const size = target.pointerSize;
  const { entries, end } = walkList(target, memory, queue, MAX_ENTRIES);
  const devices: PnpTriage['devices'][number][] = [];
  for (const entry of entries) {
    const node = memory.pointer(entry + BigInt(2 * size));
    const device = node === undefined ? undefined : memory.pointer(node + BigInt(4 * size));
    if (node === undefined || device === undefined || memory.u16(device) !== DEVICE) continue;
    const text = (offset: number): string | null => unicodeStringAt(target, memory, node + BigInt(offset), 256) ?? null;
    devices.push({ entry, device: va(device), instance: text(5 * size), service: text(7 * size) });
  }
  return { kind: 'pnp', devices, unread: entries.length - devices.length, end };
}
