/**
 * A processor that waits for others to take its interprocessor request: told by the cell, which is a field of a processor
 * block, and never by the name of the code. Whether a target can take it follows from its own interrupted state.
 */
import { type IpiCell, ipiCellAt, type Processor, pendingTargets, type Target } from '@dumpscope/debugger';
import type { Diagnosis } from '../engine/diagnosis.ts';
import { irqlName } from '../engine/words.ts';
import type { WaitCell } from '../facts/loop-view.ts';
import type { SpinSite } from '../facts/spin-sites.ts';

/**
 * `off`: interrupts disabled. `raised`: at the level of IPIs or above. `unanswered`: it did not answer the freeze either.
 * `able`: nothing keeps it from taking the interrupt. `unknown`: its state could not be read.
 */
export type TargetState = 'off' | 'raised' | 'unanswered' | 'able' | 'unknown';

export interface IpiTarget {
  readonly processor: Processor;
  readonly state: TargetState;
  /** Clause: `runs with interrupts off`. */
  readonly text: string;
  /** The record of the pending request; null where the target was found by its state alone. */
  readonly record: { readonly address: bigint; readonly size: number; readonly how: string } | null;
}

export interface IpiWait {
  readonly cell: WaitCell;
  readonly where: IpiCell;
  readonly targets: readonly IpiTarget[];
  /** The records of pending requests were all read. */
  readonly complete: boolean;
}

/** EFLAGS.IF. */
const INTERRUPT_FLAG = 0x200;
/** IPI_LEVEL: wdm.h of each architecture; drivers never run there. */
const IPI_LEVEL = { x86: 29, x64: 14, arm64: 14 } as const;

const waits = new WeakMap<SpinSite, IpiWait | null>();

/** The IPI wait of a site; null where none of its exits looks at such a field, or one of them is open. */
export function ipiWaitOf(diagnosis: Diagnosis, site: SpinSite): IpiWait | null {
  let wait = waits.get(site);
  if (wait === undefined) {
    wait = read(diagnosis.target, site);
    waits.set(site, wait);
  }
  return wait;
}

function read(target: Target, site: SpinSite): IpiWait | null {
  const self = site.waiter.processor;
  if (site.loop.exits.some((exit) => exit.taken === true)) return null;
  for (const exit of site.loop.exits) {
    for (const cell of exit.cells) {
      const where = ipiCellAt(target, cell.address);
      if (where === null) continue;
      if (where.owner.number !== self.number)
        return {
          cell,
          where,
          targets: [
            targetOf(target, where.owner, {
              address: cell.address,
              size: cell.size,
              how: `${where.field} of its block`,
            }),
          ],
          complete: true,
        };
      if (where.role !== 'sender') continue;
      const pending = pendingTargets(target, self);
      const named = pending.targets.map(({ processor, ...record }) => targetOf(target, processor, record));
      // A target that has taken the request and not finished it has no record any more: who cannot run remains.
      const others =
        named.length > 0
          ? named
          : target.processors
              .filter((processor) => processor.number !== self.number && processor.idle !== true)
              .map((processor) => targetOf(target, processor, null))
              .filter(({ state }) => state === 'off' || state === 'raised' || state === 'unanswered');
      return { cell, where, targets: others, complete: pending.complete };
    }
  }
  return null;
}

function targetOf(target: Target, processor: Processor, record: IpiTarget['record']): IpiTarget {
  const base = { processor, record };
  const registers = processor.interrupted;
  if (registers === null) {
    return processor.contextTrust === 'stale'
      ? { ...base, state: 'unanswered', text: 'did not answer the freeze either' }
      : { ...base, state: 'unknown', text: `is not readable (${processor.contextReason})` };
  }
  if (processor.contextTrust === 'stale')
    return { ...base, state: 'unanswered', text: `did not answer (${processor.contextReason})` };
  if (registers.flags !== null && (registers.flags & INTERRUPT_FLAG) === 0)
    return {
      ...base,
      state: 'off',
      text: `runs ${target.nameOf(registers.pc).text} with interrupts off (IF=0 in EFLAGS ${registers.flags.toString(16).padStart(8, '0')})`,
    };
  const { irql } = processor;
  if (irql !== null && irql.level >= IPI_LEVEL[target.arch])
    return { ...base, state: 'raised', text: `runs at IRQL ${irqlName(irql.level)}, the level of IPIs or above` };
  return registers.flags === null
    ? { ...base, state: 'unknown', text: 'may have interrupts off: its flags were not captured' }
    : { ...base, state: 'able', text: 'has interrupts on, so that it can take the request' };
}

/** Targets that cannot take the request as they stand. */
export function blockedTargets(wait: IpiWait): readonly IpiTarget[] {
  return wait.targets.filter(({ state }) => state === 'off' || state === 'raised' || state === 'unanswered');
}
