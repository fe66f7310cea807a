/**
 * The interrupt whose spin lock an address is: the SpinLock inside a KINTERRUPT, or what ActualLock of one points at,
 * shared by the interrupts of a device. x64 kernels from 7 on list their interrupts in KPRCB.InterruptObject.
 */
import { type Va, va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';
import { Structure } from './structure.ts';

export interface InterruptLock {
  readonly interrupt: Va;
  readonly serviceRoutine: Va | null;
  readonly irql: number | null;
  readonly synchronizeIrql: number | null;
  /** `SpinLock` or `ActualLock`. */
  readonly by: 'SpinLock' | 'ActualLock';
}

/** KOBJECTS.InterruptObject, KINTERRUPT.Type. */
const TYPE = 22;
/** Vectors of a processor. */
const VECTORS = 256;

export function interruptLockAt(target: Target, lock: bigint): InterruptLock | null {
  const inside = new Structure(target, '_KINTERRUPT', lock).field('SpinLock');
  if (inside !== undefined) {
    const interrupt = new Structure(target, '_KINTERRUPT', lock - BigInt(inside.offset));
    if (interrupt.number('Type') === TYPE) return describe(interrupt, 'SpinLock');
  }
  const seen = new Set<bigint>();
  for (const processor of target.processors) {
    const table = new Structure(target, '_KPRCB', processor.prcb).field('InterruptObject');
    if (table?.type.kind !== 'array') continue;
    const first = processor.prcb + BigInt(table.offset);
    for (let i = 0; i < Math.min(table.type.count, VECTORS); i++) {
      const at = target.memory.pointer(first + BigInt(i * target.pointerSize));
      if (at === undefined || at === 0n || seen.has(at)) continue;
      seen.add(at);
      const interrupt = new Structure(target, '_KINTERRUPT', at);
      if (interrupt.value('ActualLock') === lock && interrupt.number('Type') === TYPE)
        return describe(interrupt, 'ActualLock');
    }
  }
  return null;
}

function describe(interrupt: Structure, by: InterruptLock['by']): InterruptLock {
  const routine = interrupt.value('ServiceRoutine');
  return {
    interrupt: interrupt.address,
    serviceRoutine: routine === undefined || routine === 0n ? null : va(routine),
    irql: interrupt.number('Irql') ?? null,
    synchronizeIrql: interrupt.number('SynchronizeIrql') ?? null,
    by,
  };
}
