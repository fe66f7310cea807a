import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Memory, va } from '@dumpscope/core';
import { createDisassembler, type Instruction } from '@dumpscope/cpu';
import { ImageFile, listRuntimeFunctions } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { FunctionTable } from '../src/unwind/function-table.ts';
import { unwindX64 } from '../src/unwind/x64-unwind.ts';
import { readUnwindInfo } from '../src/unwind/x64-unwind-info.ts';
import { fakePorts, here, SparseMemory, shared } from './target-support.ts';

/**
 * The prologues and epilogues of real functions are acted out instruction by instruction; at each of them unwinding must
 * give back the caller's registers.
 */

const dis = createDisassembler('x64');
const RET = 0x7ff612345678n;
const SP = 0xffffa80012347ff8n;
const NONVOLATILE = ['rbx', 'rbp', 'rsi', 'rdi', 'r12', 'r13', 'r14', 'r15'];

interface Machine {
  readonly regs: Map<string, bigint>;
  readonly memory: SparseMemory;
}

function fresh(code: SparseMemory): Machine {
  const regs = new Map<string, bigint>([['rsp', SP]]);
  for (const [i, name] of NONVOLATILE.entries()) regs.set(name, 0x1111000011110000n + BigInt(i));
  for (const name of ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11']) regs.set(name, 0x2222n);
  code.u64(SP, RET);
  return { regs, memory: code };
}

/** Runs the instructions that prologues and epilogues are made of; false for one that it cannot act out. */
function run(machine: Machine, instruction: Instruction): boolean {
  const { regs, memory } = machine;
  const [a, b] = instruction.operands;
  const value = (operand: typeof a): bigint | undefined =>
    operand?.kind === 'register'
      ? regs.get(operand.register)
      : operand?.kind === 'immediate'
        ? operand.value
        : undefined;
  const address = (operand: typeof a): bigint | undefined => {
    if (operand?.kind !== 'memory' || operand.index !== null || operand.base === null || operand.ripRelative)
      return undefined;
    const base = regs.get(operand.base);
    return base === undefined ? undefined : BigInt.asUintN(64, base + operand.displacement);
  };
  const sp = regs.get('rsp') ?? 0n;
  switch (instruction.mnemonic) {
    case 'push': {
      const v = value(a);
      if (v === undefined) return false;
      regs.set('rsp', sp - 8n);
      memory.u64(sp - 8n, v);
      return true;
    }
    case 'pop': {
      if (a?.kind !== 'register') return false;
      const v = new Memory(memory).u64(sp);
      if (v === undefined) return false;
      regs.set(a.register, v);
      regs.set('rsp', sp + 8n);
      return true;
    }
    case 'sub':
    case 'add':
      if (a?.kind === 'register' && a.size === 8 && b?.kind === 'immediate') {
        const sign = instruction.mnemonic === 'sub' ? -1n : 1n;
        regs.set(a.register, BigInt.asUintN(64, (regs.get(a.register) ?? 0n) + sign * b.value));
        return true;
      }
      if (a?.kind === 'register' && a.register === 'rsp') return false;
      break;
    case 'lea': {
      const at = address(b);
      if (a?.kind !== 'register') return false;
      if (at === undefined) regs.set(a.register, 0x3333n);
      else regs.set(a.register, at);
      return a.register !== 'rsp' || at !== undefined;
    }
    case 'mov': {
      if (a?.kind === 'register' && a.size === 8) {
        const at = b?.kind === 'memory' ? address(b) : undefined;
        const v = b?.kind === 'memory' ? (at === undefined ? undefined : new Memory(memory).u64(at)) : value(b);
        regs.set(a.register, v ?? 0x4444n);
        return a.register !== 'rsp' || v !== undefined;
      }
      if (a?.kind === 'memory') {
        const at = address(a);
        const v = value(b);
        if (at !== undefined && v !== undefined && a.size === 8) memory.u64(at, v);
        return true;
      }
      break;
    }
    case 'call':
      return false; // __chkstk and friends
    default:
      break;
  }
  // Anything else may change volatile registers, not the frame.
  for (const name of instruction.writes) {
    if (name === 'rsp') return false;
    if (regs.has(name)) regs.set(name, 0x5555n);
  }
  return true;
}

const pdbs = join(shared ?? '/nowhere', 'symbols', 'pdb');
const nodePty = join(
  process.env['DUMPSCOPE_NODE_PTY'] ?? join(here, '..', '..', '..', 'node_modules', 'node-pty'),
  'prebuilds',
  'win32-x64',
);
const images = [
  ...['breakpad-dump_syms_regtest64.exe', 'rizin-xcpt4-x64.exe', 'syzygy-test_types_x64.dll'].map((n) => join(pdbs, n)),
  ...['conpty.node', 'pty.node', 'winpty-agent.exe', 'winpty.dll', 'conpty/OpenConsole.exe', 'conpty/conpty.dll'].map(
    (n) => join(nodePty, n),
  ),
].filter((path) => existsSync(path));
if (images.length < 9) console.log('skipped: not every image of ../shared and of node-pty is there');

describe.skipIf(images.length === 0)('prologues and epilogues acted out', () => {
  it.each(images.map((path) => [basename(path), path]))('%s', (name, path) => {
    const image = new ImageFile(readFileSync(path), name);
    const base = image.pe.headers.imageBase;
    const code = new SparseMemory(8);
    const whole = image.read(0, image.pe.headers.sizeOfImage) ?? new Uint8Array(0);
    const imageReader = {
      pointerSize: 8 as const,
      readInto(address: bigint, into: Uint8Array) {
        const rva = Number(address - base);
        if (rva >= 0 && rva + into.length <= whole.length) {
          into.set(whole.subarray(rva, rva + into.length));
          return into.length;
        }
        return code.readInto(va(address), into);
      },
      gapAt: () => null,
    };
    const memory = new Memory(imageReader);
    const pdata = image.pe.pdata ?? { rva: 0, size: 0 };
    const table = new FunctionTable(memory, 'x64', { base: va(base), size: whole.length }, pdata);
    const entries = listRuntimeFunctions((rva, n) => image.read(rva, n), pdata.rva, pdata.size, 0x8664).entries;
    let prologues = 0;
    let epilogues = 0;
    const check = (machine: Machine, rva: number, what: string) => {
      const lookup = table.lookup(rva);
      if (lookup.kind !== 'entry') throw new Error(`no entry at ${rva.toString(16)}`);
      const ports = {
        ...fakePorts({ memory: code, code: [[base, base + BigInt(whole.length)]] }),
        memory,
        code: (at: bigint, n: number) => memory.bytes(at, n) ?? null,
      };
      const step = unwindX64(ports, lookup, new Map([...machine.regs, ['rip', base + BigInt(rva)]]), true);
      expect(step.kind, what).toBe('caller');
      if (step.kind !== 'caller') return;
      expect(step.registers.get('rip'), what).toBe(RET);
      expect(step.registers.get('rsp'), what).toBe(SP + 8n);
      for (const [i, register] of NONVOLATILE.entries())
        expect(step.registers.get(register), `${what} ${register}`).toBe(0x1111000011110000n + BigInt(i));
    };
    for (const entry of entries) {
      const info = readUnwindInfo(memory, va(base), entry.unwindData);
      if (typeof info === 'string' || info.chained !== null) continue;
      const machine = fresh(code);
      let rva = entry.begin;
      let whole_ = true;
      while (rva < entry.begin + info.prologSize) {
        check(machine, rva, `${rva.toString(16)} in the prologue of ${entry.begin.toString(16)}`);
        const instruction = dis.decode(
          memory.bytes(base + BigInt(rva), 15) ?? new Uint8Array(0),
          0,
          va(base + BigInt(rva)),
        );
        if (instruction === null || !run(machine, instruction)) {
          whole_ = false;
          break;
        }
        rva += instruction.length;
      }
      if (!whole_) continue;
      check(machine, rva, `${rva.toString(16)}, the body of ${entry.begin.toString(16)}`);
      prologues++;
      // Epilogues: back from each return over pops and stack adjustments.
      const body: Instruction[] = [];
      for (let at = rva; at < entry.end; ) {
        const instruction = dis.decode(
          memory.bytes(base + BigInt(at), Math.min(15, entry.end - at)) ?? new Uint8Array(0),
          0,
          va(base + BigInt(at)),
        );
        if (instruction === null || !instruction.valid) break;
        body.push(instruction);
        at += instruction.length;
      }
      for (const [index, instruction] of body.entries()) {
        if (instruction.flow !== 'return') continue;
        let first = index;
        let adjusted = !info.codes.some((saved) => saved.op === 1 || saved.op === 2 || saved.op === 3);
        while (first > 0) {
          const before = body[first - 1];
          const isPop = before?.mnemonic === 'pop';
          const isAdd =
            (before?.mnemonic === 'add' || before?.mnemonic === 'lea') &&
            before.operands[0]?.kind === 'register' &&
            before.operands[0].register === 'rsp';
          if (!isPop && !isAdd) break;
          first--;
          if (isAdd) {
            adjusted = true;
            break;
          }
        }
        // `mov rsp,r11` and the like: where the epilogue begins cannot be told from here.
        if (!adjusted) continue;
        const copy: Machine = { regs: new Map(machine.regs), memory: code };
        // Registers saved by mov are restored before the epilogue proper.
        for (const saved of info.codes)
          if (saved.op === 4) {
            const register =
              [
                'rax',
                'rcx',
                'rdx',
                'rbx',
                'rsp',
                'rbp',
                'rsi',
                'rdi',
                'r8',
                'r9',
                'r10',
                'r11',
                'r12',
                'r13',
                'r14',
                'r15',
              ][saved.info] ?? '';
            copy.regs.set(register, 0x1111000011110000n + BigInt(NONVOLATILE.indexOf(register)));
          }
        if (info.frameRegister !== 0 && body[first]?.mnemonic === 'add') continue;
        for (let i = first; i <= index; i++) {
          const at = Number((body[i]?.address ?? 0n) - base);
          check(copy, at, `${at.toString(16)} in an epilogue of ${entry.begin.toString(16)}`);
          const current = body[i];
          if (current === undefined || i === index) break;
          run(copy, current);
        }
        epilogues++;
      }
    }
    expect(prologues).toBeGreaterThan(2);
    expect(epilogues).toBeGreaterThan(2);
    console.log(`${name}: ${prologues} prologues, ${epilogues} epilogues`);
  });
});
