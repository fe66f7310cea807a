import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { va } from '@dumpscope/core';
import { createDisassembler, Program, run } from '@dumpscope/cpu';
import { ImageFile } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { openTarget } from '../src/target/open.ts';
import { makeRegisters } from '../src/target/registers.ts';
import { minidump } from './minidump.ts';
import { fakeDump, putModuleList, SparseMemory } from './target-support.ts';

/**
 * Whole stacks against LLDB. A chain of calls is compiled, executed (so that the stack holds what real code leaves there)
 * up to its innermost function, and written as a user minidump for LLDB, which unwinds x86 by profiling the assembly and x64
 * by .pdata; ours sees the same bytes as a kernel target.
 */

function have(tool: string): boolean {
  const result = spawnSync(tool, ['--version'], { stdio: 'ignore' });
  if (!result.error) return true;
  console.log(`SKIPPED: stacks are not compared with LLDB: ${tool} is not on this machine`);
  return false;
}

const source = `
volatile int sink;
__attribute__((noinline)) void Stop(int *p) { sink = p[0]; }
__attribute__((noinline)) int Inner(int a, int b, int c) { volatile int buf[23]; for (int i = 0; i < 23; i++) buf[i] = a * i + b; Stop((int *)&buf[c & 15]); return buf[a & 15] + c; }
__attribute__((noinline)) int Middle(int a, int b) { volatile int x = a ^ b; int r = Inner(a + 1, b + 2, x) * Inner(b, a, 3); sink = r + x; return r - a; }
__attribute__((noinline)) int Deep(int n, int a) { if (n == 0) return Middle(a, a + 5) + 1; int r = Deep(n - 1, a + n); sink = r; return r * n + a; }
__declspec(dllexport) int Outer(int a) { volatile int local[3]; local[0] = a; local[1] = Deep(6, a + local[0]); sink = local[1]; return local[1] + a; }
`;

interface Form {
  readonly name: string;
  readonly arch: 'x86' | 'x64';
  readonly flags: readonly string[];
  readonly base: bigint;
  readonly stack: bigint;
  readonly nt: bigint;
}

const forms: readonly Form[] = [
  {
    name: 'x86 with frame pointers',
    arch: 'x86',
    flags: ['-O1', '-fno-omit-frame-pointer'],
    base: 0x81340000n,
    stack: 0x90010000n,
    nt: 0x80400000n,
  },
  {
    name: 'x86 without frame pointers',
    arch: 'x86',
    flags: ['-O2', '-fomit-frame-pointer'],
    base: 0x81340000n,
    stack: 0x90010000n,
    nt: 0x80400000n,
  },
  {
    name: 'x64',
    arch: 'x64',
    flags: ['-O2', '-fasynchronous-unwind-tables'],
    base: 0xfffff80012340000n,
    stack: 0xffffa80000010000n,
    nt: 0xfffff80001000000n,
  },
];

const RETURN_TO_NOBODY = 0x1000n;
const STACK_SIZE = 0x3000;

describe.skipIf(!have('clang-19') || !have('lld-link-19') || !have('lldb-19'))('stacks against LLDB', () => {
  for (const form of forms) {
    it(form.name, () => {
      const dir = mkdtempSync(join(tmpdir(), 'dumpscope-lldb-'));
      const target = form.arch === 'x86' ? 'i686-pc-windows-msvc' : 'x86_64-pc-windows-msvc';
      writeFileSync(join(dir, 'chain.c'), source);
      execFileSync(
        'clang-19',
        [
          `--target=${target}`,
          ...form.flags,
          '-g',
          '-gcodeview',
          '-ffreestanding',
          '-fno-optimize-sibling-calls',
          '-mno-sse',
          '-c',
          'chain.c',
          '-o',
          'chain.obj',
        ],
        { cwd: dir },
      );
      execFileSync(
        'lld-link-19',
        [
          '/dll',
          '/noentry',
          '/debug',
          `/base:0x${form.base.toString(16)}`,
          '/pdb:chain.pdb',
          '/pdbaltpath:chain.pdb',
          '/out:chain.dll',
          ...(form.arch === 'x86' ? ['/safeseh:no'] : []),
          'chain.obj',
        ],
        { cwd: dir, stdio: 'ignore' },
      );
      const dll = new Uint8Array(readFileSync(join(dir, 'chain.dll')));
      const pdb = new Uint8Array(readFileSync(join(dir, 'chain.pdb')));
      const image = new ImageFile(dll, 'chain.dll');
      const size = image.pe.headers.sizeOfImage;
      const pointer = form.arch === 'x86' ? 4 : 8;

      const memory = new SparseMemory(pointer);
      const whole = image.readAt(form.base, 0, size) ?? new Uint8Array(0);
      for (let at = 0; at < whole.length; at += 0x1000)
        memory.put(form.base + BigInt(at), whole.subarray(at, at + 0x1000));
      const limit = form.stack - BigInt(STACK_SIZE);
      memory.put(limit, new Uint8Array(STACK_SIZE));

      // Execute from Outer to the first instruction of Stop.
      const symbols = openSymbols(form, memory, pdb, size);
      const outer = symbols.resolve('chain!Outer');
      const stop = symbols.resolve('chain!Stop');
      expect(outer).toBeDefined();
      expect(stop).toBeDefined();
      const sp = form.stack - 0x100n;
      memory.u32(sp, Number(RETURN_TO_NOBODY), 0, 7, 0);
      const registers = new Map<string, bigint>([[form.arch === 'x86' ? 'esp' : 'rsp', sp]]);
      for (const name of form.arch === 'x86'
        ? ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp']
        : ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'])
        registers.set(name, 7n);
      const words = Array.from({ length: STACK_SIZE / pointer }, (_, i) => ({
        address: va(limit + BigInt(i * pointer)),
        size: pointer,
      }));
      const code = (address: bigint, length: number): Uint8Array | null => {
        const out = new Uint8Array(length);
        const got = memory.readInto(va(address), out);
        return got === 0 ? null : out.subarray(0, got);
      };
      const result = run(
        new Program(code, createDisassembler(form.arch)),
        { arch: form.arch, pc: va(outer ?? 0n), registers, flags: 0x202 },
        { read: (address, bytes) => readWord(memory, address, bytes) },
        { stopAt: va(stop ?? 0n), watch: words, maxSteps: 100_000 },
      );
      expect(result.end).toBe('exit');
      if (result.end !== 'exit') return;
      const stack = new Uint8Array(STACK_SIZE);
      const view = new DataView(stack.buffer);
      result.watched.forEach((word, i) => {
        if (pointer === 8) view.setBigUint64(i * 8, word ?? 0n, true);
        else view.setUint32(i * 4, Number(word ?? 0n), true);
      });
      memory.put(limit, stack);

      const at = new Map(result.registers);
      at.set(form.arch === 'x86' ? 'eip' : 'rip', stop ?? 0n);
      const opened = openSymbols(form, memory, pdb, size);
      const start = makeRegisters(form.arch, at, 'test', null, false);
      const ours = opened
        .walkStack(start, {
          stack: {
            kind: 'thread',
            base: va(form.stack),
            limit: va(limit),
            processor: null,
            thread: null,
            source: 'test',
          },
        })
        .frames.filter((frame) => frame.pc >= form.base && frame.pc < form.base + BigInt(size))
        .map((frame) => ({ pc: frame.pc.toString(16), name: opened.nameOf(frame.pc).symbol?.display ?? null }));
      // Stop, Inner, Middle, Deep seven times, Outer.
      expect(ours.map((frame) => frame.name)).toEqual([
        'Stop',
        'Inner',
        'Middle',
        ...Array<string>(7).fill('Deep'),
        'Outer',
      ]);

      const module = {
        name: 'chain.dll',
        base: form.base,
        size,
        timeDateStamp: image.pe.headers.timeDateStamp,
        codeView: image.pe.codeView,
      };
      writeFileSync(
        join(dir, 'chain.mdmp'),
        minidump({ arch: form.arch, registers: at, stackAt: limit, stack, modules: [module] }),
      );
      const lldb = spawnSync(
        'lldb-19',
        [
          '-b',
          '-o',
          `settings set target.exec-search-paths ${dir}`,
          '-o',
          // LLDB's own placeholder, not JavaScript's.
          `settings set frame-format "FRAME $\{frame.pc}\\n"`,
          '-o',
          'target create --core chain.mdmp',
          '-o',
          'bt all',
        ],
        { cwd: dir, encoding: 'utf8' },
      );
      const theirs = [...lldb.stdout.matchAll(/FRAME 0x([0-9a-f]+)/g)]
        .map((match) => BigInt(`0x${match[1]}`))
        .filter((pc) => pc >= form.base && pc < form.base + BigInt(size));
      expect(theirs.map((pc) => pc.toString(16))).toEqual(ours.map((frame) => frame.pc));
    });
  }
});

function readWord(memory: SparseMemory, address: bigint, bytes: number): bigint | null {
  const out = new Uint8Array(bytes);
  if (memory.readInto(va(address), out) !== bytes) return null;
  return out.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function openSymbols(form: Form, memory: SparseMemory, pdb: Uint8Array, size: number): ReturnType<typeof openTarget> {
  const head = form.nt + 0x10000n;
  const modules = [
    { name: 'ntoskrnl.exe', base: form.nt, size: 0x8000 },
    { name: 'chain.dll', base: form.base, size },
  ];
  if (form.arch === 'x64') putModuleList(memory, head, head + 0x1000n, modules);
  else putModuleList32(memory, head, head + 0x1000n, modules);
  const dump = fakeDump(form.arch, memory, { psLoadedModuleList: va(head) });
  return openTarget(dump, {
    answers: { answer: (request) => (request.kind === 'pdb' && request.name === 'chain.pdb' ? pdb : undefined) },
  });
}

/** KLDR_DATA_TABLE_ENTRY records of a 32-bit kernel: DllBase +18, SizeOfImage +20, FullDllName +24, BaseDllName +2c. */
function putModuleList32(
  memory: SparseMemory,
  head: bigint,
  at: bigint,
  modules: readonly { readonly name: string; readonly base: bigint; readonly size: number }[],
): void {
  const ring = [head, ...modules.map((_, i) => at + BigInt(i) * 0x200n)];
  ring.forEach((link, i) => {
    memory.u32(
      link,
      Number(ring[(i + 1) % ring.length] ?? head),
      Number(ring[(i + ring.length - 1) % ring.length] ?? head),
    );
  });
  modules.forEach((module, i) => {
    const entry = at + BigInt(i) * 0x200n;
    const name = entry + 0x100n;
    memory.put(entry + 8n, new Uint8Array(0x60)).u32(entry + 0x18n, Number(module.base), 0, module.size);
    memory.put(
      name,
      [...module.name].flatMap((c) => [c.charCodeAt(0), 0]),
    );
    for (const string of [0x24n, 0x2cn]) memory.u32(entry + string, module.name.length * 2 * 0x10001, Number(name));
  });
}
