import { Memory, va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { SparseMemory } from '../../test/target-support.ts';
import type { StructReader } from './fields.ts';
import { type IrqlInput, interruptedIrql } from './irql.ts';
import { makeRegisters } from './registers.ts';

const FRAME = 0xf78d6cb8n;
const INTERRUPT = 0x86e4b008n;

function input(memory: SparseMemory, more: Partial<IrqlInput> = {}): IrqlInput {
  return {
    arch: 'x86',
    memory: new Memory(memory),
    prcb: { number: () => null, fieldAddress: () => null } as unknown as StructReader,
    trust: 'bugchecking',
    interrupted: {
      registers: makeRegisters('x86', new Map([['eip', 0x806e4a37n]]), 'trap frame', va(FRAME), false),
      from: 'trap frame',
      trapFrame: va(FRAME),
      byInterrupt: true,
      handler: va(0x805448e5n),
      interruptObject: va(INTERRUPT),
    },
    bugcheck: null,
    stack: 'thread',
    dpcActive: null,
    userMode: false,
    x86IrqlOffset: null,
    dispatchedBy: null,
    interruptIrqlOffset: 0x28,
    interruptVectorOffset: 0x24,
    ...more,
  };
}

/** KINTERRUPT of XP: Vector 93 at +24, Irql 8 at +28. */
function interrupt(): SparseMemory {
  return new SparseMemory(4).u32(INTERRUPT + 0x24n, 0x93, 8);
}

describe('OldIrql beside an x86 interrupt frame', () => {
  it('is the byte below the vector; the bytes above it are what lay there', () => {
    const memory = interrupt().u32(FRAME - 8n, 0x105ecd02, 0x93);
    expect(interruptedIrql(input(memory))).toMatchObject({ level: 2, kind: 'exact', address: FRAME - 8n });
  });

  it('is not taken when the word above it is not the vector of this interrupt', () => {
    const memory = interrupt().u32(FRAME - 8n, 0x105ecd02, 0x71);
    expect(interruptedIrql(input(memory))).toBeNull();
  });

  it('is not taken at or above the level of the interrupt itself', () => {
    expect(interruptedIrql(input(interrupt().u32(FRAME - 8n, 0x105ecd08, 0x93)))).toBeNull();
  });

  it('by the name of the dispatcher alone needs a vector beside it', () => {
    const memory = new SparseMemory(4).u32(FRAME - 8n, 0x105ecd01, 0xd1);
    const named = {
      ...input(memory),
      dispatchedBy: 'KiInterruptDispatch',
      interruptIrqlOffset: null,
      interruptVectorOffset: null,
    };
    expect(interruptedIrql(named)).toMatchObject({ level: 1 });
    expect(interruptedIrql({ ...named, dispatchedBy: 'KiTrap0E', interrupted: null })).toBeNull();
  });
});
