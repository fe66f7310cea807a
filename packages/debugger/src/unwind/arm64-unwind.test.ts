import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { fakePorts, registerMap, SparseMemory } from '../../test/target-support.ts';
import { stripPac, unwindArm64 } from './arm64-unwind.ts';

const BASE = 0xfffff80310000000n;
const XDATA = 0x8000;
const SP = 0xffffe00e12340000n;
const RET = 0xfffff80310002468n;

function xdata(
  length: number,
  codes: number[],
  options: { single?: number; epilogs?: [number, number][] } = {},
): number[] {
  const padded = [...codes];
  while (padded.length % 4 !== 0) padded.push(0xe3);
  const count = options.single ?? options.epilogs?.length ?? 0;
  const word =
    (length / 4) | (options.single === undefined ? 0 : 1 << 21) | (count << 22) | ((padded.length / 4) << 27);
  const out = [word, ...(options.epilogs ?? []).map(([start, index]) => (start / 4) | (index << 22))];
  return [...out.flatMap((w) => [w & 255, (w >>> 8) & 255, (w >>> 16) & 255, (w >>> 24) & 255]), ...padded];
}

function unwind(
  memory: SparseMemory,
  unwindData: number,
  offset: number,
  interrupted: boolean,
  extra: Record<string, bigint> = {},
) {
  return unwindArm64(
    fakePorts({ memory, code: [[BASE, BASE + 0x10000n]] }),
    { kind: 'entry', imageBase: va(BASE), begin: 0x1000, end: 0x1100, unwindData },
    registerMap({
      pc: BASE + 0x1000n + BigInt(offset),
      sp: SP,
      lr: 0x77n,
      x0: 5n,
      x19: 0x19n,
      fp: SP + 0x10n,
      ...extra,
    }),
    interrupted,
  );
}

describe('ARM64 unwind data', () => {
  it('undoes a full frame: fp chain, pairs, allocation', () => {
    // stp x19,x20,[sp,#-32]!; stp fp,lr,[sp,#16]; add fp,sp,#16; sub sp,#64
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), xdata(0x100, [0x04, 0xe2, 0x02, 0x42, 0x24, 0xe4], { single: 0 }))
      .u64(SP + 0x40n, 0x1119n, 0x1120n, 0xf9n, RET);
    const step = unwind(memory, XDATA, 0x80, false, { fp: SP + 0x50n });
    expect(step).toMatchObject({ kind: 'caller', trust: 'unwind-data', returnSlot: SP + 0x58n });
    if (step.kind !== 'caller') return;
    expect(step.registers.get('pc')).toBe(RET);
    expect(step.registers.get('sp')).toBe(SP + 0x60n);
    expect(step.registers.get('x19')).toBe(0x1119n);
    expect(step.registers.get('fp')).toBe(0xf9n);
    expect(step.registers.has('x0')).toBe(false);
    expect(step.registers.has('lr')).toBe(false);
  });

  it('undoes an interrupted prologue and epilogue as far as they ran', () => {
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), xdata(0x100, [0x04, 0xe2, 0x02, 0x42, 0x24, 0xe4], { single: 0 }))
      .u64(SP, 0x1119n, 0x1120n, 0xf9n, RET);
    // before the first instruction: nothing is saved, lr is the return address
    const start = unwind(memory, XDATA, 0, true);
    expect(start.kind === 'caller' && start.registers.get('pc')).toBe(0x77n);
    expect(start.kind === 'caller' && start.registers.get('sp')).toBe(SP);
    // after stp x19,x20,[sp,#-32]!: x19 is saved, lr is not
    const one = unwind(memory, XDATA, 4, true);
    expect(one.kind === 'caller' && one.registers.get('x19')).toBe(0x1119n);
    expect(one.kind === 'caller' && one.registers.get('pc')).toBe(0x77n);
    expect(one.kind === 'caller' && one.registers.get('sp')).toBe(SP + 0x20n);
    // the epilogue has 5 instructions (4 codes and ret): at its last pair fp and lr are already restored
    const last = unwind(memory, XDATA, 0x100 - 8, true);
    expect(last.kind === 'caller' && last.registers.get('pc')).toBe(0x77n);
    expect(last.kind === 'caller' && last.registers.get('sp')).toBe(SP + 0x20n);
    // at the return nothing is left
    const ret = unwind(memory, XDATA, 0x100 - 4, true);
    expect(ret.kind === 'caller' && ret.registers.get('sp')).toBe(SP);
  });

  it('finds the epilogue scope that holds the pc', () => {
    // two epilogues that begin at code 4 (after the prologue's four codes): stp pair only
    const memory = new SparseMemory(8)
      .put(
        BASE + BigInt(XDATA),
        xdata(0x100, [0x04, 0x42, 0x24, 0xe4, 0x24, 0xe4], {
          epilogs: [
            [0x40, 4],
            [0x80, 4],
          ],
        }),
      )
      .u64(SP, 0x1119n, 0x1120n);
    const inside = unwind(memory, XDATA, 0x80, true);
    expect(inside.kind === 'caller' && inside.registers.get('sp')).toBe(SP + 0x20n);
    expect(inside.kind === 'caller' && inside.registers.get('pc')).toBe(0x77n);
  });

  it('expands packed data', () => {
    // RegI 2, CR 3 (chained), frame 64: stp x19,x20,[sp,#-16]!; stp fp,lr,[sp,#-48]!; mov fp,sp
    const word = 1 | ((0x100 / 4) << 2) | (2 << 16) | (3 << 21) | ((64 / 16) << 23);
    const memory = new SparseMemory(8).u64(SP, 0xf9n, RET, 0n, 0n, 0n, 0n, 0x1119n, 0x1120n);
    const step = unwind(memory, word >>> 0, 0x80, false, { fp: SP });
    expect(step.kind).toBe('caller');
    if (step.kind !== 'caller') return;
    expect(step.registers.get('sp')).toBe(SP + 0x40n);
    expect(step.registers.get('pc')).toBe(RET);
    expect(step.registers.get('x20')).toBe(0x1120n);
  });

  it('counts save_next pairs', () => {
    // stp x19,x20,[sp,#-96]! and four more pairs
    const memory = new SparseMemory(8)
      .put(BASE + BigInt(XDATA), xdata(0x100, [0xe6, 0xe6, 0xe6, 0xe6, 0x2c, 0xe4], { single: 0 }))
      .u64(SP, ...Array.from({ length: 10 }, (_, i) => 0x100n + BigInt(i)));
    const step = unwind(memory, XDATA, 0x80, false);
    expect(step.kind === 'caller' && step.registers.get('x19')).toBe(0x100n);
    expect(step.kind === 'caller' && step.registers.get('x28')).toBe(0x109n);
    expect(step.kind === 'caller' && step.registers.get('sp')).toBe(SP + 0x60n);
  });

  it('goes through trap frames, machine frames and contexts', () => {
    const codes = (code: number) =>
      new SparseMemory(8)
        .put(BASE + BigInt(XDATA), xdata(0x100, [code, 0xe4], { single: 0 }))
        .put(SP, new Uint8Array(0x400));
    const trap = codes(0xe8)
      .u32(SP + 0x90n, 0x60400005)
      .u64(SP + 0x98n, SP + 0x1000n, 0xa0n)
      .u64(SP + 0x138n, 0x1bn, 0xfbn, RET);
    expect(unwind(trap, XDATA, 0x80, false)).toMatchObject({
      kind: 'caller',
      trust: 'trap-frame',
      trapFrame: SP,
      interrupted: true,
    });
    const machine = codes(0xe9).u64(SP, SP + 0x2000n, RET);
    const step = unwind(machine, XDATA, 0x80, false);
    expect(step.kind === 'caller' && step.registers.get('sp')).toBe(SP + 0x2000n);
    const context = codes(0xea).u64(SP + 0x100n, SP + 0x3000n, RET);
    const other = unwind(context, XDATA, 0x80, false);
    expect(other.kind === 'caller' && other.registers.get('pc')).toBe(RET);
  });

  it('strips pointer authentication and refuses unknown codes', () => {
    expect(stripPac(0x12b4f80310002468n)).toBe(0xfffff80310002468n);
    expect(stripPac(0x7f00_0003_1000_2468n)).toBe(0x310002468n);
    const bad = new SparseMemory(8).put(BASE + BigInt(XDATA), xdata(0x100, [0xdf, 0x01, 0xe4], { single: 0 }));
    expect(unwind(bad, XDATA, 0x80, false)).toMatchObject({ kind: 'end', reason: 'bad-unwind-data' });
  });
});
