import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { va } from '@dumpscope/core';
import { afterAll, describe, expect, it } from 'vitest';
import { createDisassembler } from '../src/disassembler.ts';
import { compile, isModelled } from '../src/execute/compile.ts';
import { AGAIN, DYNAMIC, Machine, TAKEN as TAKEN_WAY } from '../src/execute/machine.ts';
import type { CpuState } from '../src/execute/state.ts';
import { X64_REGISTERS, X86_REGISTERS } from '../src/execute/state.ts';
import { type Case, makeCase, Random, REGION, regionOf, TAKEN, TEST } from './native-cases.ts';

/** How many states; DUMPSCOPE_NATIVE_STATES and DUMPSCOPE_NATIVE_SEED override for longer campaigns. */
const STATES = Number(process.env['DUMPSCOPE_NATIVE_STATES'] ?? 105_000);
const SEED = Number(process.env['DUMPSCOPE_NATIVE_SEED'] ?? 20_240_117);
const BATCH = 20_000;
/** Instructions that must occur: integer, bit, string, stack, flag, branch, atomic, and the hint of every spin loop. */
const GROUPS = [
  ...['add', 'adc', 'sbb', 'imul', 'idiv', 'neg', 'cmp', 'lea', 'movzx', 'cmove', 'setb'],
  ...['bt', 'bts', 'btr', 'btc', 'bsf', 'shld', 'rcr', 'sar', 'bswap'],
  ...['movs', 'cmps', 'stos', 'lods', 'scas', 'push', 'pop', 'enter', 'leave', 'call', 'ret'],
  ...['stc', 'cmc', 'std', 'lahf', 'sahf', 'je', 'jb', 'jg', 'jp', 'jmp', 'loope'],
  ...['xchg', 'xadd', 'cmpxchg', 'cmpxchg8b', 'pause'],
];
const RECORD = 192;
const RESULT = 128 + 8 + 8 + 256;

function buildHarness(): { path: string; folder: string } | string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'this is not Linux on x86-64';
  const folder = mkdtempSync(join(tmpdir(), 'dumpscope-native-'));
  const path = join(folder, 'harness');
  const source = join(dirname(fileURLToPath(import.meta.url)), 'native-harness.c');
  try {
    execFileSync('cc', ['-O1', '-o', path, source], { stdio: 'pipe' });
    return { path, folder };
  } catch (error) {
    rmSync(folder, { recursive: true });
    return `no C compiler that works (${(error as Error).message.split('\n')[0]})`;
  }
}

const harness = buildHarness();
if (typeof harness === 'string') console.log(`SKIPPED: executor against the processor: ${harness}`);

function runNative(cases: readonly Case[]): Buffer {
  if (typeof harness === 'string') throw new Error(harness);
  const input = Buffer.alloc(cases.length * RECORD);
  cases.forEach((c, i) => {
    const at = i * RECORD;
    input[at] = c.code.length;
    input[at + 1] = c.bits;
    input.set(c.code, at + 2);
    c.registers.forEach((r, n) => {
      input.writeBigUInt64LE(r, at + 32 + 8 * n);
    });
    input.writeBigUInt64LE(BigInt(c.flags), at + 160);
    input.writeBigUInt64LE(c.seed, at + 168);
    input.writeBigUInt64LE(c.patch, at + 176);
    input.writeBigUInt64LE(BigInt(c.patchOffset), at + 184);
  });
  const inFile = join(harness.folder, 'in');
  const outFile = join(harness.folder, 'out');
  writeFileSync(inFile, input);
  execFileSync(harness.path, [inFile, outFile], { stdio: 'pipe' });
  const output = readFileSync(outFile);
  expect(output.length).toBe(cases.length * RESULT);
  return output;
}

interface Outcome {
  readonly status: number;
  readonly signal: number;
  /** Low and high words. */
  readonly words: Int32Array;
  readonly flags: number;
  readonly memory: Int32Array;
}

function outcomeAt(output: Buffer, i: number): Outcome {
  const at = i * RESULT;
  return {
    words: new Int32Array(output.buffer, output.byteOffset + at, 32),
    flags: output.readUInt32LE(at + 128),
    status: output.readUInt32LE(at + 136),
    signal: output.readUInt32LE(at + 140),
    memory: new Int32Array(output.buffer, output.byteOffset + at + 144, 64),
  };
}

interface Hidden {
  readonly registers: number;
  readonly memory: ReadonlySet<number>;
  readonly flags: boolean;
}
const NOTHING_HIDDEN: Hidden = { registers: 0, memory: new Set(), flags: false };

interface Compiled {
  readonly mnemonic: string;
  readonly modelled: boolean;
  readonly step: (m: Machine) => number;
}

function compileCase(c: Case): Compiled | null {
  const is64 = c.bits === 64;
  const instruction = createDisassembler(is64 ? 'x64' : 'x86').decode(c.code, 0, va(TEST));
  if (!instruction || instruction.length !== c.code.length) return null;
  return {
    mnemonic: instruction.mnemonic,
    modelled: isModelled(instruction, is64),
    step: compile(instruction, is64),
  };
}

interface Executed extends Compiled {
  readonly m: Machine;
  readonly way: number;
}

function execute(c: Case, compiled: Compiled, hidden: Hidden): Executed {
  const is64 = c.bits === 64;
  const page = new Uint8Array(0x1000);
  page.set(c.memory, 0x800);
  const view = new DataView(page.buffer);
  if (c.patchOffset <= 248) view.setBigUint64(0x800 + c.patchOffset, c.patch, true);
  const names = is64 ? X64_REGISTERS : X86_REGISTERS;
  const state: CpuState = {
    arch: is64 ? 'x64' : 'x86',
    pc: va(TEST),
    registers: new Map(
      names.flatMap((name, i) => (hidden.registers & (1 << i) ? [] : [[name, c.registers[i] ?? 0n] as const])),
    ),
    flags: hidden.flags ? null : c.flags,
  };
  const m = new Machine(state, {
    read(address, size) {
      const offset = Number(address - (REGION - 0x800n));
      if (offset < 0 || offset + size > 0x1000) return null;
      if (size === 8 && hidden.memory.size === 0) return view.getBigUint64(offset, true);
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) {
        if (hidden.memory.has(offset - 0x800 + i)) return null;
        value = (value << 8n) | BigInt(page[offset + i] ?? 0);
      }
      return value;
    },
  });
  m.current = va(TEST);
  let way = AGAIN;
  for (let i = 0; i < 64 && way === AGAIN && !m.halt; i++) way = compiled.step(m);
  return { ...compiled, m, way };
}

const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

/** Every known byte, flag and branch must be the processor's; returns what differs. */
function compare(c: Case, n: Outcome, r: Executed, exact: boolean): string | null {
  const { m } = r;
  const count = c.bits === 64 ? 16 : 8;
  if (n.signal !== 0) {
    // A real fault: ours must say so, or not know; where everything is known it must say so.
    if (m.halt?.kind === 'fault') return null;
    return exact && r.modelled ? `signal ${n.signal}, executor did not fault` : null;
  }
  if (m.halt?.kind === 'fault') return `executor faults (${m.halt.what}), the processor does not`;
  if (m.halt) return exact && r.modelled ? `executor stops: ${m.halt.what}` : null;
  const jumped =
    r.way === TAKEN_WAY || (r.way === DYNAMIC && ((BigInt(m.jumpHi >>> 0) << 32n) | BigInt(m.jumpLo >>> 0)) === TAKEN);
  if ((n.status === 1) !== jumped) return `branch: processor ${n.status}, executor way ${r.way}`;
  const full = c.bits === 64 ? 0xff : 0x0f;
  // What the architecture leaves undefined, or what differs between processors.
  const loose = /^bs[fr]|^sh[lr]d|^cmpxchg$/.test(r.mnemonic);
  for (let i = 0; i < count; i++) {
    const known = (m.knownBytes[i] ?? 0) & full;
    if (known !== full && exact && r.modelled && !loose) return `register ${i} has unknown bytes ${known.toString(16)}`;
    for (let b = 0; b < c.bits / 8; b++) {
      if (!(known & (1 << b))) continue;
      const ours = b < 4 ? (m.lo[i] ?? 0) : (m.hiWords[i] ?? 0);
      const theirs = n.words[2 * i + (b < 4 ? 0 : 1)] ?? 0;
      if (((ours ^ theirs) >>> (8 * (b & 3))) & 0xff)
        return `register ${i} byte ${b}: processor ${(theirs >>> 0).toString(16)}, executor ${(ours >>> 0).toString(16)}`;
    }
  }
  const difference = (m.flags ^ n.flags) & m.flagsKnown & 0xcd5;
  if (difference) return `flags differ in ${difference.toString(16)}: processor ${n.flags.toString(16)}`;
  for (let i = 0; i < 64; i++) {
    const ours = m.cells.load(Number(REGION) + 4 * i, 0, 4, false);
    const { known } = m.cells;
    if (known !== 15 && exact && r.modelled && !loose)
      return `memory at ${4 * i} has unknown bytes ${known.toString(16)}`;
    const theirs = n.memory[i] ?? 0;
    for (let b = 0; b < 4; b++)
      if (known & (1 << b) && ((ours ^ theirs) >>> (8 * b)) & 0xff)
        return `memory at ${4 * i}: processor ${(theirs >>> 0).toString(16)}, executor ${(ours >>> 0).toString(16)}`;
  }
  return null;
}

/** False where the kernel gives no code segment for 32-bit code. */
function runs(bits: 32 | 64): boolean {
  const nop: Case = {
    bits,
    code: Uint8Array.of(0x90),
    registers: Array.from({ length: 16 }, () => REGION + 0x80n),
    flags: 0x202,
    seed: 1n,
    memory: regionOf(1n),
    patch: 0n,
    patchOffset: 0xffff,
  };
  return outcomeAt(runNative([nop]), 0).signal === 0;
}

/** SIGILL: an instruction that this processor does not have says nothing. */
const SIGILL = 4;
const SIGSEGV = 11;

describe.skipIf(typeof harness === 'string')('executor against this processor', () => {
  afterAll(() => {
    if (typeof harness !== 'string') rmSync(harness.folder, { recursive: true });
  });

  it.for([64, 32] as const)('%i-bit code', (bits, { skip }) => {
    if (!runs(bits)) {
      console.log(`SKIPPED: executor against the processor: no ${bits}-bit code segment here`);
      skip('no such code segment');
      return;
    }
    const r = new Random(SEED + bits);
    const seeds = Array.from({ length: 256 }, () => {
      const seed = (BigInt(r.u32()) << 32n) | BigInt(r.u32()) | 1n;
      return { seed, memory: regionOf(seed) };
    });
    const failures: string[] = [];
    const perMnemonic = new Map<string, number>();
    const missing = new Map<string, number>();
    let compared = 0;
    let faults = 0;
    let partial = 0;
    for (let done = 0; done < STATES && failures.length < 40; done += BATCH) {
      const cases = Array.from({ length: Math.min(BATCH, STATES - done) }, () => makeCase(r, bits, seeds));
      const output = runNative(cases);
      cases.forEach((c, i) => {
        const native = outcomeAt(output, i);
        const compiled = compileCase(c);
        if (!compiled) {
          if (native.signal !== SIGILL) failures.push(`${hex(c.code)} is not decoded`);
          return;
        }
        if (native.signal === SIGILL || native.signal === SIGSEGV) {
          missing.set(compiled.mnemonic, (missing.get(compiled.mnemonic) ?? 0) + 1);
          return;
        }
        const full = execute(c, compiled, NOTHING_HIDDEN);
        compared++;
        if (native.signal) faults++;
        perMnemonic.set(full.mnemonic, (perMnemonic.get(full.mnemonic) ?? 0) + 1);
        const wrong = compare(c, native, full, true);
        if (wrong) failures.push(`${full.mnemonic} ${hex(c.code)} flags ${c.flags.toString(16)}: ${wrong}`);
        // The same state with a part of it hidden: what is still claimed must still be true.
        const hidden: Hidden = {
          registers: r.u32() & r.u32() & 0xffef,
          memory: new Set(Array.from({ length: r.below(3) * 40 }, () => r.below(256))),
          flags: r.chance(30),
        };
        const less = execute(c, compiled, hidden);
        partial++;
        const claim = compare(c, native, less, false);
        if (claim) failures.push(`${full.mnemonic} ${hex(c.code)} with parts hidden: ${claim}`);
      });
    }
    expect(failures.slice(0, 40)).toEqual([]);
    // The campaign must not be empty: most states are compared, faults are rare, every group of instructions occurs.
    expect(compared).toBeGreaterThan(STATES * 0.85);
    expect(partial).toBe(compared);
    expect(faults).toBeLessThan(compared * 0.05);
    for (const name of GROUPS) expect(perMnemonic.get(name) ?? 0, name).toBeGreaterThan(10);
  });
});
