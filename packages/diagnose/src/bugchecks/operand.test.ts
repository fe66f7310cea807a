import { va } from '@dumpscope/core';
import { createDisassembler, type Instruction } from '@dumpscope/cpu';
import type { Registers, Target } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { accessesOf, alignmentOf, registerValue } from './operand.ts';

const target = { arch: 'x64', pointerSize: 8, layouts: { table: { struct: () => undefined } } } as unknown as Target;

function registers(values: Readonly<Record<string, bigint>>): Registers {
  return {
    arch: 'x64',
    values: new Map(Object.entries(values)),
    pc: va(0),
    sp: va(0),
    fp: null,
    flags: null,
    source: 'test',
    address: null,
    partial: false,
  };
}

function decode(hex: string): Instruction {
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  const instruction = createDisassembler('x64').decode(bytes, 0, va(0x1000));
  if (instruction === null) throw new Error(hex);
  return instruction;
}

describe('accessesOf', () => {
  it('recomputes base, index and displacement, wrapped to the address size', () => {
    const [access] = accessesOf(target, registers({ r8: 0xffff9b0003360008n, r9: 0x44n }), decode('43891401'), null);
    expect(access).toMatchObject({
      kind: 'write',
      size: 4,
      text: 'r9+r8',
      address: 0xffff9b000336004cn,
      missing: null,
    });
    const [wrapped] = accessesOf(target, registers({ rcx: 0xffffffffffffffffn }), decode('488b4118'), null);
    expect(wrapped?.address).toBe(0x17n);
  });

  it('is unknown where a register was not captured', () => {
    const [access] = accessesOf(target, registers({}), decode('44394310'), null);
    expect(access).toMatchObject({ address: null, missing: 'rbx', text: 'rbx+10h' });
  });

  it('takes the base of gs from the PRCB, and is unknown without it', () => {
    const code = decode('658b042588010000');
    expect(accessesOf(target, registers({}), code, 0xfffff80000001180n)[0]?.address).toBe(0xfffff80000001188n);
    expect(accessesOf(target, registers({}), code, null)[0]).toMatchObject({ address: null, missing: 'gs' });
  });

  it('counts the stack writes of a call, and not lea', () => {
    const call = accessesOf(target, registers({ rsp: 0x1000n }), decode('e800000000'), null);
    expect(call).toMatchObject([{ kind: 'write', address: 0xff8n, implicit: true }]);
    expect(accessesOf(target, registers({ rbx: 1n }), decode('488d4310'), null)).toEqual([]);
  });
});

describe('registerValue', () => {
  it('cuts to the width of the name', () => {
    const r = registers({ rax: 0x1122334455667788n, r10: 0xffffffffffffffffn });
    expect([registerValue(r, 'eax'), registerValue(r, 'ah'), registerValue(r, 'al'), registerValue(r, 'r10d')]).toEqual(
      [0x55667788n, 0x77n, 0x88n, 0xffffffffn],
    );
    expect(registerValue(r, 'rbx')).toBeUndefined();
  });
});

describe('alignmentOf', () => {
  it('is the size for aligned moves, 1 for others', () => {
    expect(alignmentOf(decode('0f294110'), 16)).toBe(16);
    expect(alignmentOf(decode('f30f6f00'), 16)).toBe(1);
    expect(alignmentOf(decode('0fae00'), 512)).toBe(16);
  });
});
