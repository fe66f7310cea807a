import type { Dump, Memory, Va } from '@dumpscope/core';
import { type FieldFinder, StructReader } from './fields.ts';
import type { ContextTrust, Registers } from './model.ts';
import { contextRecord, contextRegisters } from './registers.ts';

/** Saved registers of a processor and how far they can be believed. */

export interface SavedContext {
  readonly registers: Registers | null;
  readonly trust: ContextTrust;
  readonly reason: string;
}

/** KPRCB.IpiFrozen without its flags. */
export const ipiState = { running: 0, targetFreeze: 1, frozen: 2, thaw: 3, freezeOwner: 4 } as const;

const stateNames = ['running', 'asked to freeze, not answered', 'frozen', 'thawed', 'freeze owner'] as const;

export interface FreezeState {
  /** Low nibble of IpiFrozen; null where it cannot be read. */
  readonly state: number | null;
  readonly raw: number | null;
  /** The layout has the field; without a value its page is missing. */
  readonly placed: boolean;
}

export function freezeState(prcb: StructReader): FreezeState {
  const raw = prcb.number('IpiFrozen');
  return { raw, state: raw === null ? null : raw & 0xf, placed: prcb.place('IpiFrozen') !== null };
}

export interface ContextInput {
  readonly dump: Dump;
  readonly memory: Memory;
  readonly fields: FieldFinder;
}

/** A CONTEXT that was never written is zeros. */
function written(registers: Registers | null): registers is Registers {
  return registers !== null && registers.pc !== 0n;
}

/** KPRCB.Context (Windows 7 and later) where it was written, else KPRCB.ProcessorState.ContextFrame. */
export function savedContext(input: ContextInput, prcb: Va): Registers | null {
  const { dump, memory, fields } = input;
  const reader = new StructReader(memory, fields, '_KPRCB', prcb);
  const pointer = reader.pointer('Context');
  const byPointer =
    pointer === null ? null : contextRecord(memory, dump.arch, pointer, `KPRCB.Context ${pointer.toString(16)}`);
  if (written(byPointer)) return byPointer;
  const inline = reader.fieldAddress('ProcessorState.ContextFrame');
  const frame = inline === null ? null : contextRecord(memory, dump.arch, inline, 'PRCB.ProcessorState.ContextFrame');
  return written(frame) ? frame : null;
}

/** The header's CONTEXT; null where it was not written. */
export function headerContext(dump: Dump): Registers | null {
  if (dump.header.context === null) return null;
  const registers = contextRegisters(dump.arch, dump.header.context, 'header CONTEXT', null);
  return written(registers) ? registers : null;
}

/**
 * Trust of a processor that did not write the dump. A freeze leaves IpiFrozen = 2 (whatever the flag 0x20); 1 means that
 * the request went out and was never taken. Where nobody is frozen no freeze happened (acquisition tools, a dump that
 * was written before the other processors were stopped).
 */
export function judgeContext(
  registers: Registers | null,
  freeze: FreezeState,
  anyFrozen: boolean,
  bugcheckHappened: boolean,
): SavedContext {
  if (registers === null) return { registers: null, trust: 'missing', reason: 'its saved context is not in the dump' };
  if (freeze.state === null) {
    // Without the layout of KPRCB the field is not to be found. Windows writes these contexts when it freezes a
    // processor, and leaves them zero before.
    if (freeze.placed)
      return {
        registers,
        trust: 'stale',
        reason: 'KPRCB.IpiFrozen is not in the dump: whether it was frozen is not known',
      };
    return bugcheckHappened
      ? {
          registers,
          trust: 'frozen',
          reason: 'KPRCB.IpiFrozen is not known; its context was saved, so it is taken as frozen',
        }
      : { registers, trust: 'stale', reason: 'nothing tells whether the processor was frozen' };
  }
  const name = stateNames[freeze.state] ?? `state ${freeze.state}`;
  const field = `IpiFrozen ${freeze.raw?.toString(16)} (${name})`;
  if (freeze.state === ipiState.frozen) return { registers, trust: 'frozen', reason: field };
  if (!anyFrozen)
    return {
      registers,
      trust: 'stale',
      reason: `${field}: no processor was frozen, the context is of an earlier moment`,
    };
  return { registers, trust: 'stale', reason: `${field}: the processor never stopped for the dump` };
}
