/** Commands over a driver with a private PDB, built by clang and lld: types, values, lines, inlined calls, conventions. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { va } from '@dumpscope/core';
import { ImageFile } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import { openTarget } from '../src/target/open.ts';
import { fakeDump, putModuleList, SparseMemory } from './target-support.ts';

function have(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log(`skipped: ${tool} is not there`);
    return false;
  }
}

const SOURCE = `typedef unsigned long ULONG;
struct State { int count; ULONG flags : 3; ULONG rest : 29; struct State *next; };
enum Color { Red, Green = 5 };
struct State g_state = { -7, 5, 1, &g_state };
int g_number = -42; unsigned g_mask = 0xabcd; char *g_name = "driver"; enum Color g_color = Green;
int g_table[3] = { 1, 2, 3 };
int (*g_call)(int);
static __attribute__((always_inline)) int twice(volatile int *p) {
  *p = *p + 1;
  return *p * 2;
}
__attribute__((noinline)) int Plain(int a, struct State *s) { volatile int v = a; int r = twice(&v); s->count = r; return r + v; }
__attribute__((noinline)) int Print(const char *text, ...) { return text[0]; }
int Entry(void) { g_call = (int (*)(int))Entry; return Plain(g_number, &g_state) + Print(g_name, 1); }
`;

interface Machine {
  readonly arch: 'x64' | 'x86';
  readonly target: string;
  readonly base: bigint;
  readonly extra: readonly string[];
}

const X64: Machine = { arch: 'x64', target: 'x86_64-pc-windows-msvc', base: 0xfffff80012340000n, extra: [] };
const X86: Machine = { arch: 'x86', target: 'i686-pc-windows-msvc', base: 0x81340000n, extra: ['/safeseh:no'] };

function build(machine: Machine): { dll: Uint8Array; pdb: Uint8Array } {
  const dir = mkdtempSync(join(tmpdir(), 'dumpscope-private-'));
  writeFileSync(join(dir, 'drv.c'), SOURCE);
  const compile = [
    '-O1',
    '-g',
    '-gcodeview',
    '-ffreestanding',
    '-fno-stack-protector',
    '-mno-sse',
    '-w',
    '-fasynchronous-unwind-tables',
    '-c',
    'drv.c',
  ];
  execFileSync('clang-19', [`--target=${machine.target}`, ...compile, '-o', 'drv.obj'], { cwd: dir });
  const link = ['/dll', '/noentry', '/debug', '/Brepro', '/opt:noref', '/pdb:drv.pdb', '/out:drv.dll', 'drv.obj'];
  execFileSync('lld-link-19', [...link, ...machine.extra], { cwd: dir, stdio: 'ignore' });
  return { dll: readFileSync(join(dir, 'drv.dll')), pdb: readFileSync(join(dir, 'drv.pdb')) };
}

const STACK = 0xffffa80000010000n;

function session(machine: Machine) {
  const built = build(machine);
  const image = new ImageFile(built.dll, 'drv.dll');
  const size = image.pe.headers.sizeOfImage;
  const wide = machine.arch === 'x64';
  const memory = new SparseMemory(wide ? 8 : 4);
  const head = wide ? 0xfffff80099990000n : 0x80550000n;
  const modules = [
    { name: 'ntoskrnl.exe', base: wide ? 0xfffff80001000000n : 0x804d7000n, size: 0x100000 },
    { name: 'drv.sys', base: machine.base, size },
  ];
  if (wide) putModuleList(memory, head, head + 0x1000n, modules);
  else putModuleList32(memory, head, head + 0x1000n, modules);
  memory.put(machine.base, image.readAt(machine.base, 0, size) ?? new Uint8Array(0));
  const target = openTarget(fakeDump(machine.arch, memory, { psLoadedModuleList: va(head) }), {
    answers: { answer: (request) => (request.kind === 'pdb' ? built.pdb : undefined) },
  });
  const registry = createRegistry();
  const own = createSession(target);
  const run = (line: string): string =>
    [...executeLine(registry, own, line)].map((d) => `${d.text}${d.error ?? ''}`).join('');
  return { run, own, target, memory };
}

function putModuleList32(
  memory: SparseMemory,
  head: bigint,
  at: bigint,
  modules: readonly { readonly name: string; readonly base: bigint; readonly size: number }[],
): void {
  const ring = [head, ...modules.map((_, i) => at + BigInt(i) * 0x200n)];
  for (const [i, link] of ring.entries()) {
    const next = ring[(i + 1) % ring.length] ?? head;
    memory.u32(link, Number(next), Number(ring[(i + ring.length - 1) % ring.length] ?? head));
  }
  for (const [i, module] of modules.entries()) {
    const entry = ring[i + 1] ?? head;
    memory.put(entry + 8n, new Uint8Array(0x48));
    memory.u32(entry + 0x18n, Number(module.base), 0, module.size);
    const name = entry + 0x100n;
    memory.put(
      name,
      [...module.name].flatMap((c) => [c.charCodeAt(0), 0]),
    );
    for (const string of [0x24n, 0x2cn])
      memory.u32(entry + string, module.name.length * 0x20002 + 0x20000, Number(name));
  }
}

describe.skipIf(!have('clang-19') || !have('lld-link-19'))('a driver with private symbols', () => {
  const { run, own, memory } = session(X64);
  const at = (name: string): string => /([0-9a-f`]{17})/.exec(run(`x /0 drv!${name}`))?.[1] ?? '';

  it('x shows parameters, values and types', () => {
    expect(run('x drv!Plain')).toBe(`${at('Plain')} drv!Plain (int, struct State *)\n`);
    expect(run('x drv!Print')).toBe(`${at('Print')} drv!Print (char *, ...)\n`);
    expect(run('x drv!Entry')).toBe(`${at('Entry')} drv!Entry (void)\n`);
    expect(run('x drv!g_number')).toBe(`${at('g_number')} drv!g_number = 0n-42\n`);
    expect(run('x drv!g_mask')).toBe(`${at('g_mask')} drv!g_mask = 0xabcd\n`);
    expect(run('x drv!g_state')).toBe(`${at('g_state')} drv!g_state = struct State\n`);
    expect(run('x drv!g_name')).toMatch(/drv!g_name = 0xfffff800`\w+ {2}"driver"\n$/);
    expect(run('x drv!g_table')).toBe(`${at('g_table')} drv!g_table = int [3]\n`);
    expect(run('x drv!g_color')).toBe(`${at('g_color')} drv!g_color = 5 ( Green )\n`);
    expect(run('x /t drv!g_number')).toBe(`${at('g_number')} int drv!g_number = 0n-42\n`);
    expect(run('x /v drv!g_table')).toBe(`prv global ${at('g_table')}    c drv!g_table = int [3]\n`);
    expect(run('x /v /f drv!P*')).toMatch(
      /^prv func {3}\S+ +[0-9a-f]+ drv!Plain \(int, struct State \*\)\nprv func .*Print/,
    );
    expect(run('x /s c drv!g_*')).toBe(`${at('g_table')} drv!g_table = int [3]\n`);
    expect(run('x /1 /n drv!g_[mnt]*')).toBe('drv!g_mask\ndrv!g_name\ndrv!g_number\ndrv!g_table\n');
    expect(run('x /1 /N drv!g_[mt]*')).toBe('drv!g_table\ndrv!g_mask\n');
    expect(run('x /p /1 drv!Plain')).toBe('drv!Plain\n');
    expect(run('x /p drv!Plain')).toBe(`${at('Plain')} drv!Plain(int, struct State *)\n`);
    expect(run('x /q /1 drv!Plain')).toBe('@!"drv!Plain"\n');
    expect(run('x /w drv!Plain')).toMatch(/Syntax error/);
  });

  it('ln shows the line and the parameters', () => {
    const lines = run('ln drv!Plain').split('\n');
    expect(lines[0]).toMatch(
      /^ \[.*drv\.c @ 12\] \(fffff800`\w{8}\) {3}drv!Plain {3}\| {2}\(fffff800`\w{8}\) {3}drv!Print$/,
    );
    expect(lines.slice(1, 3)).toEqual(['Exact matches:', '    drv!Plain (int, struct State *)']);
  });

  it('?? and dt know variables', () => {
    expect(run('?? drv!g_number')).toBe('int 0n-42\n');
    expect(run('?? drv!g_state.next->count * 2')).toBe('int 0n-14\n');
    expect(run('?? drv!g_table[1] + sizeof(drv!g_table)')).toBe('unsigned int64 0xe\n');
    expect(run('dt drv!g_state')).toMatch(/^ {3}\+0x000 count {12}: 0n-7\n {3}\+0x004 flags {12}: 0y101\n/);
    expect(run('dt drv!g_number')).toBe('0n-42\n');
    expect(run('dt -v drv!State')).toMatch(
      /^struct State, 4 elements, 0x10 bytes\n {3}\+0x000 count {12}: Int4B\n {3}\+0x004 flags {12}: Bitfield Pos 0, 3 Bits\n/,
    );
    expect(run('dt -v drv!State')).toContain('next             : Ptr64 to struct State, 4 elements, 0x10 bytes\n');
    // The kernel's types are no types of this driver.
    expect(run('dt drv!_KTHREAD')).toBe('Symbol drv!_KTHREAD not found.');
    expect(run('dt -t drv!*')).toBe('          drv!Color\n          drv!State\n');
    // Instances first, by name, with their addresses; functions have to be asked for.
    const names = ['g_call', 'g_color', 'g_mask', 'g_name', 'g_number', 'g_state', 'g_table'];
    expect(run('dt drv!*')).toBe(
      [...names.map((name) => `${at(name)}  drv!${name}\n`), '          drv!Color\n          drv!State\n'].join(''),
    );
    expect(run('dt drv!P*')).toBe('');
    expect(run('dt -v drv!g_t*')).toBe(
      `Enumerating symbols matching drv!g_t*\nAddress            Size Symbol\n${at('g_table')}   00c drv!g_table\n`,
    );
    expect(run('dt -v drv!Plai*')).toMatch(/Symbol\nfffff800`\w{8} {3}\w{3} drv!Plain\n$/);
    expect(run('dt -y drv!g_s')).toMatch(/^ {3}\+0x000 count {12}: 0n-7\n/);
    expect(run('dt -y drv!g_n')).toBe(
      `${at('g_name')}  drv!g_name\n${at('g_number')}  drv!g_number\n${run('dt drv!g_name')}`,
    );
  });

  it('.expr /s c++ holds for addresses and counts of commands', () => {
    expect(run('.expr /s c++')).toBe('Current expression evaluator: C++ - C++ source expressions\n');
    expect(run('u 1.5')).toContain('Floating-point value where an integer is needed');
    try {
      // 10 is decimal, a variable its value, a function its address, & no prefix of a segment.
      expect(run('db &drv!g_number L(2+2)')).toMatch(/ {2}d6 ff ff ff +\.\.\.\.\n$/);
      expect(run('dd drv!g_state.next L1')).toMatch(/ {2}fffffff9\n$/);
      expect(run('u drv!Plain L1')).toMatch(/^drv!Plain \[/);
      expect(run('db &drv!g_table[0] L10').split('\n')).toHaveLength(2);
      expect(run('dd drv!nothing L1')).toMatch(/^Couldn't resolve error at 'drv!nothing/);
    } finally {
      run('.expr /s masm');
    }
    expect(run('db drv!g_table L10').split('\n')).toHaveLength(2);
    expect(run('? @@c++(drv!g_state.next->count) + 0n7')).toBe('Evaluate expression: 0 = 00000000`00000000\n');
    expect(run('.expr /q')).toContain('C++ - C++ source expressions');
  });

  it('u and uf show lines, .lines and .asm change that', () => {
    expect(run('u drv!Plain L1')).toMatch(/^drv!Plain \[.*drv\.c @ 12\]:\nfffff800`/);
    expect(run('uf drv!Plain')).toMatch(/\n {3}12 fffff800`\w+ \S+ +\w+/);
    expect(run('.lines')).toBe('Line number information will not be loaded\n');
    expect(run('u drv!Plain L1')).toMatch(/^drv!Plain:\nfffff800`/);
    expect(run('uf drv!Plain')).toMatch(/^drv!Plain:\nfffff800`/);
    expect(run('.lines')).toBe('Line number information will be loaded\n');
    expect(run('.asm source_line')).toBe('Assembly options: source_line\n');
    expect(run('u drv!Plain L1')).toMatch(/^drv!Plain \[.*\]:\n {3}12 fffff800`/);
    run('.asm- source_line');
    const calls = run('uf /c drv!Entry').split('\n');
    expect(calls[0]).toBe(`drv!Entry (${at('Entry')})`);
    expect(calls.filter((line) => line.startsWith('    call to'))).toEqual([
      `    call to drv!Plain (${at('Plain')})`,
      `    call to drv!Print (${at('Print')})`,
    ]);
  });

  it('k shows inlined calls with their lines, kp parameters', () => {
    // An instruction of the inlined body: its line is that of `*p = *p + 1`, line 9 or 10 of the source.
    const inner = run('uf drv!Plain')
      .split('\n')
      .map((line) => /^\s+12 (\S+) /.exec(line)?.[1])
      .filter((address) => address !== undefined)
      .map((address) => BigInt(`0x${address.replace('`', '')}`))
      .find((address) => own.target.modules[1]?.debugInfo?.inlineFrames?.(Number(address - X64.base)).length === 1);
    expect(inner).toBeDefined();
    memory.put(STACK, new Uint8Array(0x100));
    // The innermost of two is the inlined one; both have line numbers.
    const text = run(`kn = ${STACK.toString(16)} ${(inner ?? 0n).toString(16)} 1`).split('\n');
    expect(text[1]).toMatch(/^00 \(Inline Function\) --------`-------- {5}drv!twice \[.*drv\.c @ (?:9|10)\] $/);
    expect(text[2]).toMatch(/^01 ffffa800`00010000 \w{8}`\w{8} {5}drv!Plain\+0x\w+ \[.*drv\.c @ 12\] $/);
    expect(run(`kpnL = ${STACK.toString(16)} ${(inner ?? 0n).toString(16)} 1`)).toMatch(
      /01 .* drv!Plain\(int a = .*, struct State \* s = .*\)\+0x\w+\n/,
    );
  });

  it('.fnent shows unwind codes as WinDbg does', () => {
    const lines = run('.fnent drv!Plain').split('\n');
    expect(lines[0]).toMatch(/^Debugger function entry fffff800`\w{8} for:$/);
    expect(lines).toContain('Exact matches:');
    expect(lines.find((line) => line.startsWith('Unwind info at'))).toMatch(
      /^Unwind info at fffff800`\w{8}, \w+ bytes$/,
    );
    expect(lines.find((line) => line.includes('UWOP_'))).toMatch(
      /^ {2}00: offs \w+, unwind op \w, op info \w\tUWOP_(?:ALLOC_SMALL|PUSH_NONVOL reg: \w+)\.$/,
    );
  });
});

describe.skipIf(!have('clang-19') || !have('lld-link-19'))('an x86 driver with private symbols', () => {
  const { run, target, memory } = session(X86);

  it('kv tells the frame data and the convention', () => {
    const plain = target.resolve('drv!Plain') ?? 0n;
    const entry = target.resolve('drv!Entry') ?? 0n;
    expect(plain).toBeGreaterThan(0n);
    const stack = 0xa0000000n;
    memory.put(stack, new Uint8Array(0x200));
    // The body of Plain after its prologue, with a frame that returns into Entry.
    const frame = stack + 0x80n;
    const back = Number(entry) + 5;
    memory.u32(frame, Number(frame) + 0x40, back, 1, 2);
    const body = /^\s*\d+ (\w{8}) \S+ +mov +ebp,esp/m.exec(run('uf drv!Plain'))?.[1];
    const from = body === undefined ? Number(plain) + 6 : Number.parseInt(body, 16) + 2;
    const text = run(`kv = ${frame.toString(16)} ${(frame - 0x20n).toString(16)} ${from.toString(16)} 1`);
    expect(text).toMatch(/drv!Plain\+0x\w+ (?:\(FPO: \[.*\]\) )?\(CONV: cdecl\) \[.*drv\.c @ \d+\] \n/);
    expect(run(`k = ${frame.toString(16)} ${(frame - 0x20n).toString(16)} ${from.toString(16)} 1`)).not.toContain(
      'CONV',
    );
  });
});
