/** Where a lock lives, and with that who designed it and whether the memory is still anybody's. */
import { deviceExtensionAt, interruptLockAt, type Module, poolBlockAt, type Target } from '@dumpscope/debugger';
import { viewAddress } from '../bugchecks/address-view.ts';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { address, argument, irqlName } from '../engine/words.ts';
import { knownStacks, stackHolding } from '../facts/stacks.ts';

export type LockPlaceKind =
  | 'image'
  | 'processor-block'
  | 'stack'
  | 'interrupt-object'
  | 'device-extension'
  | 'pool'
  | 'freed-pool'
  | 'unmapped'
  | 'other';

export interface LockPlace {
  readonly kind: LockPlaceKind;
  /** Clause behind "it lies ": `in the image of MyDriver`, `in a pool block tagged 'Ndis'`. */
  readonly text: string;
  /** Module that the place names. */
  readonly module: Module | null;
  /** The memory does not belong to a lock any more: freed, unmapped, or a part of a stack that no frame uses. */
  readonly gone: boolean;
  readonly proof: { readonly address: bigint; readonly length: number; readonly command: string } | null;
}

const places = new WeakMap<Target, Map<bigint, LockPlace>>();

export function lockPlace(diagnosis: Diagnosis, lock: bigint): LockPlace {
  const { target } = diagnosis;
  let known = places.get(target);
  if (known === undefined) places.set(target, (known = new Map()));
  let place = known.get(lock);
  if (place === undefined) known.set(lock, (place = find(diagnosis, lock)));
  return place;
}

function find(diagnosis: Diagnosis, lock: bigint): LockPlace {
  const { target } = diagnosis;
  const none = { module: null, gone: false, proof: null };
  const module = target.moduleAt(lock);
  if (module !== undefined)
    return { ...none, kind: 'image', text: `in the image of ${module.name} (${target.nameOf(lock).text})`, module };
  const block = processorBlock(target, lock);
  if (block !== null) return { ...none, kind: 'processor-block', text: block };
  const stack = onStack(diagnosis, lock);
  if (stack !== null) return stack;
  const view = viewAddress(target, lock, null);
  if (view.presence === 'not-present')
    return {
      ...none,
      kind: 'unmapped',
      text: `at an address where nothing is mapped: ${view.presenceText}`,
      gone: true,
    };
  const interrupt = interruptLockAt(target, lock);
  if (interrupt !== null) {
    const routine = interrupt.serviceRoutine;
    const level = interrupt.synchronizeIrql ?? interrupt.irql;
    return {
      ...none,
      kind: 'interrupt-object',
      text: `in the interrupt object ${address(target, interrupt.interrupt)} (${interrupt.by}${routine === null ? '' : ` of ${target.nameOf(routine).text}`}${level === null ? '' : `, taken at IRQL ${irqlName(level)}`})`,
      module: routine === null ? null : (target.moduleAt(routine) ?? null),
      proof: {
        address: interrupt.interrupt,
        length: 4,
        command: `dt nt!_KINTERRUPT ${argument(target, interrupt.interrupt)}`,
      },
    };
  }
  const extension = deviceExtensionAt(target, lock);
  if (extension !== null)
    return {
      ...none,
      kind: 'device-extension',
      text: `at +0x${extension.offset.toString(16)} of the device extension ${address(target, extension.extension)}${extension.driverName === null ? '' : ` of ${extension.driverName}`}`,
      module: extension.module,
      proof: {
        address: extension.device,
        length: 4,
        command: `dt nt!_DEVICE_OBJECT ${argument(target, extension.device)}`,
      },
    };
  return inPool(target, lock) ?? { ...none, kind: 'other', text: 'in memory whose owner nothing names' };
}

function processorBlock(target: Target, lock: bigint): string | null {
  const struct = target.layouts.table.struct('_KPRCB');
  if (struct === undefined) return null;
  for (const { number, prcb } of target.processors) {
    if (lock < prcb || lock >= prcb + BigInt(struct.size)) continue;
    const offset = Number(lock - prcb);
    let best: { readonly name: string; readonly offset: number } | null = null;
    for (const [name, field] of struct.fields)
      if (field.offset <= offset && (best === null || field.offset > best.offset))
        best = { name, offset: field.offset };
    const past = best === null ? 0 : offset - best.offset;
    return `in the block of processor ${number}${best === null ? '' : ` (${best.name}${past === 0 ? '' : `+0x${past.toString(16)}`})`}`;
  }
  return null;
}

function onStack(diagnosis: Diagnosis, lock: bigint): LockPlace | null {
  const { target } = diagnosis;
  const stack = stackHolding(diagnosis.fact(knownStacks), lock);
  if (stack === undefined) return null;
  const dead = stack.liveFrom !== null && lock < stack.liveFrom;
  const whose =
    stack.runningOn !== null
      ? `processor ${stack.runningOn}`
      : stack.thread !== null
        ? `thread ${argument(target, stack.thread)}`
        : stack.processor !== null
          ? `processor ${stack.processor}`
          : 'an unknown owner';
  return {
    kind: 'stack',
    text: `on the ${stack.kind} stack of ${whose}${dead ? ', in a part that no frame uses any more' : ''}`,
    module: null,
    gone: dead,
    proof: null,
  };
}

function inPool(target: Target, lock: bigint): LockPlace | null {
  const block = poolBlockAt(target, lock);
  if (block === null) return null;
  const sure = block.trust === 'chain' ? '' : ', by what lies before it';
  return {
    kind: block.free ? 'freed-pool' : 'pool',
    text: `in a ${block.free ? 'freed' : block.paged ? 'paged' : 'non-paged'} pool block of 0x${block.size.toString(16)} bytes tagged '${block.tag}'${sure}`,
    module: null,
    gone: block.free,
    proof: { address: block.header, length: 8, command: `dt nt!_POOL_HEADER ${argument(target, block.header)}` },
  };
}
