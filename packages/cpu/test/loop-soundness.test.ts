import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { findLoopAround } from '../src/cfg/find-loop.ts';
import { createDisassembler } from '../src/disassembler.ts';
import { Program } from '../src/execute/program.ts';
import { run } from '../src/execute/run.ts';
import type { CpuState, MemoryPort } from '../src/execute/state.ts';
import { analyzeLoop } from '../src/loop/analyze-loop.ts';
import { codeAt } from '../src/testing/code.ts';
import { Random } from './native-cases.ts';

const CODE = 0x80001000n;
const DATA = 0x90000000n;
const LOOPS = Number(process.env['DUMPSCOPE_LOOPS'] ?? 2500);

/** One random instruction on eax…edi without esp, with memory at [base+disp8]. */
function instruction(r: Random, is64: boolean): number[] {
  const reg = (): number => r.pick([0, 1, 2, 3, 6, 7]);
  const wide = is64 && r.chance(50) ? [0x48] : [];
  const modrm = (field: number, memory: boolean): number[] =>
    memory ? [0x40 | (field << 3) | r.pick([6, 7, 3]), r.below(8) * 4] : [0xc0 | (field << 3) | reg()];
  switch (r.below(12)) {
    case 0:
    case 1:
      return [...wide, (r.below(8) << 3) | 1 | (r.below(2) << 1), ...modrm(reg(), r.chance(30))];
    case 2:
      return [...wide, 0x83, ...modrm(r.below(8), r.chance(30)), r.below(256)];
    case 3:
      return [...wide, 0x8b, ...modrm(reg(), true)];
    case 4:
      return [...wide, 0x89, ...modrm(reg(), true)];
    case 5:
      return [...wide, 0xff, ...modrm(r.below(2), r.chance(40))];
    case 6:
      return [0xf6, ...modrm(0, true), 1 << r.below(8)];
    case 7:
      return [0x0f, 0xba, ...modrm(4 + r.below(4), r.chance(60)), r.below(32)];
    case 8:
      return [...wide, 0xc1, ...modrm(r.pick([4, 5, 7]), false), r.below(6)];
    case 9:
      return [0x0f, r.pick([0xb6, 0xb7, 0xbe]), ...modrm(reg(), true)];
    case 10:
      return [...wide, 0x85, ...modrm(reg(), r.chance(40))];
    default:
      return r.chance(50) ? [0xf3, 0x90] : [...wide, 0x0f, 0x40 | r.below(16), ...modrm(reg(), false)];
  }
}

/** A loop with an optional skip inside and one or two exits: `L: … [jcc skip] … jcc out … jmp L; out: ret`. */
function makeLoop(r: Random, is64: boolean): Uint8Array {
  const parts: { bytes: number[]; jump?: 'out' | number }[] = [];
  const body = 2 + r.below(6);
  for (let i = 0; i < body; i++) parts.push({ bytes: instruction(r, is64) });
  const exits = 1 + r.below(2);
  for (let i = 0; i < exits; i++)
    parts.splice(1 + r.below(parts.length), 0, { bytes: [0x70 | r.below(16), 0], jump: 'out' });
  if (r.chance(60) && parts.length > 3) {
    const at = 1 + r.below(parts.length - 2);
    const skip = at + 1 + r.below(parts.length - at - 1);
    parts.splice(at, 0, { bytes: [0x70 | r.below(16), 0], jump: skip + 1 });
  }
  const offsets: number[] = [];
  let size = 0;
  for (const p of parts) {
    offsets.push(size);
    size += p.bytes.length;
  }
  offsets.push(size);
  const out = size + 2;
  parts.forEach((p, i) => {
    if (p.jump === undefined) return;
    const to = p.jump === 'out' ? out : (offsets[p.jump] ?? size);
    p.bytes[1] = (to - ((offsets[i] ?? 0) + 2)) & 0xff;
  });
  return Uint8Array.from([...parts.flatMap((p) => p.bytes), 0xeb, (-size - 2) & 0xff, 0xc3]);
}

describe.each(['x86', 'x64'] as const)('loop proofs on random %s loops', (arch) => {
  const is64 = arch === 'x64';
  it('what decides is enough: the proof agrees with plain execution of the whole state', () => {
    const r = new Random(is64 ? 7001 : 7002);
    const disassembler = createDisassembler(arch);
    const ends = { cycle: 0, exit: 0, unknown: 0, limit: 0, fault: 0 };
    const failures: string[] = [];
    let undecided = 0;
    let told = 0;
    for (let n = 0; n < LOOPS; n++) {
      const bytes = makeLoop(r, is64);
      const code = codeAt(CODE, bytes);
      const data = new DataView(new ArrayBuffer(128));
      for (let i = 0; i < 32; i++)
        data.setUint32(
          4 * i,
          r.chance(50) ? Number(DATA) + 4 * r.below(12) : r.below(r.pick([2, 16, 0xffffffff])),
          true,
        );
      const memory: MemoryPort = {
        read(address, size) {
          const at = Number(address - DATA);
          if (at < 0 || at + size > 128) return null;
          let value = 0n;
          for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(data.getUint8(at + i));
          return value;
        },
      };
      const value = (): bigint =>
        r.chance(60) ? DATA + BigInt(4 * r.below(12)) : BigInt(r.below(r.pick([2, 8, 300, 0xffffffff])));
      const names = is64 ? ['rax', 'rcx', 'rdx', 'rbx', 'rsi', 'rdi'] : ['eax', 'ecx', 'edx', 'ebx', 'esi', 'edi'];
      const registers = new Map(names.filter(() => r.chance(95)).map((name) => [name, value()]));
      // Base registers are usually pointers.
      for (const name of names.slice(3)) if (r.chance(80)) registers.set(name, DATA + BigInt(4 * r.below(10)));
      registers.set(is64 ? 'rsp' : 'esp', 0x95000000n);
      const decoded = [];
      for (let at = 0; at < bytes.length; ) {
        const i = disassembler.decode(bytes, at, va(CODE + BigInt(at)));
        if (!i?.valid) break;
        decoded.push(i);
        at += i.length;
      }
      const pc = r.pick(decoded).address;
      const state: CpuState = { arch, pc, registers, flags: r.chance(80) ? 0x202 | (r.u32() & 0x8d5) : null };
      const { graph, loop } = findLoopAround(code, disassembler, pc);
      if (!loop) continue;
      const program = new Program(code, disassembler);
      const analysis = analyzeLoop(program, graph, loop, state, memory, { maxSteps: 8_000 });
      const proof = analysis.execution;
      ends[proof.end]++;
      const inside = new Set(loop.instructions.map((i) => i.address));
      const plain = run(program, state, memory, { inside, header: loop.header, maxSteps: 20_000 });
      const where = `#${n} ${Buffer.from(bytes).toString('hex')} pc ${pc.toString(16)}`;
      if (proof.end === 'cycle') {
        // A branch whose outcome is unknown and decides nothing ends plain execution but not the proof.
        if (plain.end === 'unknown') undecided++;
        else if (plain.end !== 'cycle' && plain.end !== 'limit')
          failures.push(`${where}: proof cycle, plain ${plain.end}`);
      } else if (proof.end === 'exit') {
        if (plain.end !== 'exit' || plain.from !== proof.from || plain.iterations !== proof.iterations)
          failures.push(`${where}: proof exit, plain ${plain.end}`);
      } else if (plain.end !== proof.end && !(proof.end === 'limit' && plain.steps >= proof.steps))
        failures.push(`${where}: proof ${proof.end}, plain ${plain.end}`);

      // From the header, the exit that execution takes in the first turn must be the one whose conditions hold.
      if (pc === loop.header && proof.end === 'exit' && proof.iterations === 0) {
        for (const exit of analysis.exits) {
          if (exit.taken !== null) told++;
          if (exit.taken === true && (exit.exit.from !== proof.from || exit.exit.to !== proof.to))
            failures.push(
              `${where}: exit at ${exit.exit.from.toString(16)} said to be taken, execution leaves elsewhere`,
            );
          if (exit.taken === false && exit.exit.from === proof.from && exit.exit.to === proof.to)
            failures.push(
              `${where}: exit at ${exit.exit.from.toString(16)} said to be shut, execution takes it: ${exit.text}`,
            );
        }
      }
      if (analysis.witness.verdict === 'disagree' && state.flags !== null && analysis.witness.setter === null)
        failures.push(`${where}: a verdict without a setter`);
    }
    expect(failures.slice(0, 15)).toEqual([]);
    // All ends occur, or the generator has lost its variety.
    expect(ends.cycle).toBeGreaterThan(LOOPS * 0.05);
    expect(ends.exit).toBeGreaterThan(LOOPS * 0.2);
    expect(ends.unknown).toBeGreaterThan(10);
    expect(undecided).toBeLessThan(LOOPS * 0.002);
    expect(told).toBeGreaterThan(20);
  });
});
