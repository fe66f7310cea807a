import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { findLoopAround } from '../src/cfg/find-loop.ts';
import { createDisassembler } from '../src/disassembler.ts';
import { Program } from '../src/execute/program.ts';
import { run } from '../src/execute/run.ts';
import type { MemoryPort } from '../src/execute/state.ts';
import { analyzeLoop } from '../src/loop/analyze-loop.ts';
import { codeAt } from '../src/testing/code.ts';
import { Random } from './native-cases.ts';

const BASE = 0x80001000n;
const MEMORY: MemoryPort = {
  read: (a, size) => (a >= 0x90000000n && a < 0x90010000n ? BigInt.asUintN(8 * size, a * 0x9e3779b97f4a7c15n) : null),
};

/** Random bytes, chains of branches, and chains of loads and stores, all inside one loop. */
function hostileCode(r: Random): Uint8Array {
  const bytes = new Uint8Array(64 + r.below(600));
  for (let i = 0; i < bytes.length; i++) bytes[i] = r.below(256);
  const fill = (part: readonly number[]): void => {
    for (let o = 0; o < bytes.length - 16; o += part.length) bytes.set(part, o);
    bytes[bytes.length - 5] = 0xe9;
    new DataView(bytes.buffer).setInt32(bytes.length - 4, -bytes.length, true);
  };
  switch (r.below(4)) {
    case 0:
      fill([0x85, 0xc0, 0x74, 0x02, 0x8b, r.below(4)]);
      break;
    case 1:
      fill([0x8b, 0x00, 0x89, 0x18, 0x8b, 0x09, 0x39, 0xc8, 0x74, 0x10]);
      break;
    default:
      for (let i = 0; i < bytes.length / 6; i++)
        bytes.set([0x70 | r.below(16), r.below(256)], r.below(bytes.length - 3));
      bytes.set([0xeb, 0x80 | r.below(128)], r.below(bytes.length - 2));
  }
  return bytes;
}

describe('hostile code', () => {
  it('ends in an analysis, never in an exception', () => {
    const r = new Random(99);
    let loops = 0;
    for (let n = 0; n < 250; n++) {
      const arch = r.chance(50) ? 'x86' : 'x64';
      const disassembler = createDisassembler(arch);
      const bytes = hostileCode(r);
      const code = codeAt(BASE, bytes);
      const pc = va(BASE + BigInt(r.chance(50) ? 0 : r.below(bytes.length)));
      const { graph, loop } = findLoopAround(code, disassembler, pc, r.chance(50) ? { start: va(BASE) } : {});
      if (!loop) continue;
      loops++;
      const names =
        arch === 'x86' ? ['eax', 'ecx', 'edx', 'ebx', 'esp', 'esi'] : ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'r8'];
      const registers = new Map(names.filter(() => r.chance(85)).map((x) => [x, 0x90000000n + BigInt(r.below(4096))]));
      const state = { arch, pc, registers, flags: r.chance(50) ? 0x202 : null } as const;
      const analysis = analyzeLoop(new Program(code, disassembler), graph, loop, state, MEMORY, { maxSteps: 20_000 });
      expect(analysis.execution.steps).toBeLessThanOrEqual(20_000);
      expect(analysis.text).not.toBe('');
    }
    expect(loops).toBeGreaterThan(20);
  });

  it('an endless run of instructions ends with its limit and bounded memory', () => {
    const nops = () => new Uint8Array(15).fill(0x90);
    const program = new Program(nops, createDisassembler('x64'));
    const state = { arch: 'x64', pc: va(BASE), registers: new Map(), flags: null } as const;
    expect(run(program, state, MEMORY)).toMatchObject({ end: 'limit' });
  });

  it('a run that writes over all of memory ends', () => {
    // L: mov [rax],rax; add rax,8; jmp L
    const code = codeAt(BASE, '488900 4883c008 ebf7');
    const program = new Program(code, createDisassembler('x64'));
    const state = { arch: 'x64', pc: va(BASE), registers: new Map([['rax', 0n]]), flags: null } as const;
    const result = run(program, state, { read: () => 0n }, { maxSteps: 3_000_000 });
    expect(result).toMatchObject({ end: 'unknown', why: expect.stringContaining('more memory') });
  });

  it('recursion without end ends with the limit', () => {
    const program = new Program(codeAt(BASE, 'e8fbffffff'), createDisassembler('x64'));
    const state = { arch: 'x64', pc: va(BASE), registers: new Map([['rsp', 0x90008000n]]), flags: null } as const;
    expect(run(program, state, MEMORY, { maxSteps: 10_000 }).end).toBe('limit');
  });

  it('a non-canonical address is a fault, an absent one unknown', () => {
    const program = new Program(codeAt(BASE, '488b00 ebfb'), createDisassembler('x64'));
    const at = (rax: bigint) =>
      run(program, { arch: 'x64', pc: va(BASE), registers: new Map([['rax', rax]]), flags: null }, MEMORY);
    expect(at(0x123456789abcdef0n)).toMatchObject({ end: 'fault', why: 'non-canonical address' });
    expect(at(0x1000n)).toMatchObject({ end: 'unknown', why: expect.stringContaining('a load comes from') });
  });
});
