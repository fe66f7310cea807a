import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { va } from '@dumpscope/core';
import { ImageFile, type SymbolRequest } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { createRegistry, createSession, executeLine } from '../src/commands/index.ts';
import type { SymbolAnswers } from '../src/target/answers.ts';
import { openTarget } from '../src/target/open.ts';
import { makeRegisters } from '../src/target/registers.ts';
import { fakeDump, putModuleList, SparseMemory } from './target-support.ts';

/** Modules built by clang and lld: names, unwind data and code from the dump, from the PDB, from the image. */

function have(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log(`skipped: ${tool} is not there`);
    return false;
  }
}

const source = `
volatile int sink;
__attribute__((noinline)) static int inner(int a) { volatile int buf[40]; for (int i = 0; i < 40; i++) buf[i] = a + i; return buf[a & 31]; }
__attribute__((noinline)) static int hidden(int a, int b) { int r = inner(a) * inner(b) + inner(a + b); sink = r; return r + inner(r); }
__declspec(dllexport) int Exported(int a) { int r = hidden(a, a + 1) + hidden(a + 2, 3); sink = r; return r; }
__declspec(dllexport) int Leaf(int a) { return a * 3 + 1; }
`;

const BASE = 0xfffff80012340000n;
const HEAD = 0xfffff80099990000n;
const STACK = 0xffffa80000010000n;

interface Built {
  readonly dll: Uint8Array;
  readonly pdb: Uint8Array;
}

function build(): Built {
  const dir = mkdtempSync(join(tmpdir(), 'dumpscope-images-'));
  writeFileSync(join(dir, 'a.c'), source);
  execFileSync('clang-19', [
    '--target=x86_64-pc-windows-msvc',
    '-O1',
    '-g',
    '-gcodeview',
    '-ffreestanding',
    '-fasynchronous-unwind-tables',
    '-fno-inline',
    '-c',
    join(dir, 'a.c'),
    '-o',
    join(dir, 'a.obj'),
  ]);
  execFileSync(
    'lld-link-19',
    [
      '/dll',
      '/noentry',
      '/debug',
      '/Brepro',
      `/pdb:${join(dir, 'a.pdb')}`,
      '/pdbaltpath:a.pdb',
      `/out:${join(dir, 'a.dll')}`,
      join(dir, 'a.obj'),
    ],
    { stdio: 'ignore' },
  );
  return { dll: readFileSync(join(dir, 'a.dll')), pdb: readFileSync(join(dir, 'a.pdb')) };
}

function answersOf(
  files: { pdb?: Uint8Array | undefined; image?: Uint8Array | undefined },
  asked: SymbolRequest[] = [],
): SymbolAnswers {
  return {
    answer(request) {
      asked.push(request);
      return request.kind === 'pdb' ? files.pdb : files.image;
    },
  };
}

describe.skipIf(!have('clang-19') || !have('lld-link-19'))('modules of a built image', () => {
  const built = build();
  const image = new ImageFile(built.dll, 'a.dll');
  const size = image.pe.headers.sizeOfImage;
  const whole = image.readAt(BASE, 0, size) ?? new Uint8Array(0);
  const exported = image.pe.exports?.entries.find((entry) => entry.name === 'Exported')?.rva ?? 0;
  const text = image.pe.sections?.find((section) => section.name === '.text');

  /** `pages`: which pages of the image the dump holds. */
  function memoryWith(pages: (rva: number) => boolean): SparseMemory {
    const memory = new SparseMemory(8);
    putModuleList(memory, HEAD, HEAD + 0x1000n, [
      { name: 'ntoskrnl.exe', base: 0xfffff80001000000n, size: 0x100000 },
      { name: 'my-driver.v2.sys', base: BASE, size },
    ]);
    for (let rva = 0; rva < whole.length; rva += 0x1000)
      if (pages(rva)) memory.put(BASE + BigInt(rva), whole.subarray(rva, rva + 0x1000));
    return memory;
  }

  const open = (memory: SparseMemory, answers?: SymbolAnswers) =>
    openTarget(fakeDump('x64', memory, { psLoadedModuleList: va(HEAD) }), answers === undefined ? {} : { answers });

  it('names modules as WinDbg does and finds them by address', () => {
    const target = open(memoryWith(() => true));
    expect(target.modules.map((module) => module.name)).toEqual(['nt', 'my_driver_v2']);
    expect(target.kernel?.name).toBe('nt');
    expect(target.moduleAt(BASE + 0x10n)?.imageName).toBe('my-driver.v2.sys');
    expect(target.moduleAt(BASE + BigInt(size))).toBeUndefined();
    expect(target.resolve('my_driver_v2!Exported')).toBe(BASE + BigInt(exported));
    expect(target.resolve('my_driver_v2')).toBe(BASE);
    expect(target.modules[1]?.pdb).toMatchObject({ name: 'a.pdb', age: 1 });
    expect(target.requests).toContainEqual(
      expect.objectContaining({ kind: 'pdb', name: 'a.pdb', module: 'my_driver_v2' }),
    );
  });

  it('never takes the nearest export below for a function', () => {
    const target = open(memoryWith(() => true));
    const module = target.modules[1];
    expect(module?.symbolOrigin).toBe('export');
    const table = open(
      memoryWith(() => true),
      answersOf({ pdb: built.pdb }),
    ).modules[1];
    const rvaOf = (name: string) => Number(table?.debugInfo?.symbols.byName(name)?.rva ?? 0);
    const extent = module?.functionAt(exported + 8);
    expect(extent).toMatchObject({ start: exported, from: 'pdata' });
    expect(target.nameOf(BASE + BigInt(exported + 8)).text).toBe('my_driver_v2!Exported+0x8');
    // Static functions have .pdata of their own, and no name.
    for (const name of ['inner', 'hidden']) {
      const at = rvaOf(name);
      expect(at).toBeGreaterThan(0);
      expect(target.nameOf(BASE + BigInt(at + 4)).text).toBe(`my_driver_v2+0x${(at + 4).toString(16)}`);
    }
  });

  it('takes names from the matching PDB and refuses another one', () => {
    const target = open(
      memoryWith(() => true),
      answersOf({ pdb: built.pdb }),
    );
    const module = target.modules[1];
    expect(module?.symbolOrigin).toMatch(/^pdb-/);
    const at = module?.debugInfo?.symbols.byName('hidden')?.rva ?? 0;
    expect(target.nameOf(BASE + BigInt(at) + 4n).text).toBe('my_driver_v2!hidden+0x4');
    const wrong = new Uint8Array(built.pdb);
    const guid = image.pe.codeView?.guid ?? '';
    const first = Number.parseInt(guid.slice(0, 2), 16);
    let changed = 0;
    // every copy of the GUID's bytes in the PDB
    const bytes = guid.replace(/-/g, '');
    const le = [6, 4, 2, 0, 10, 8, 14, 12, 16, 18, 20, 22, 24, 26, 28, 30].map((i) =>
      Number.parseInt(bytes.slice(i, i + 2), 16),
    );
    for (let i = 0; i + 16 <= wrong.length; i++)
      if (le.every((byte, k) => wrong[i + k] === byte)) {
        wrong[i] = (wrong[i] ?? 0) ^ 1;
        changed++;
      }
    expect(first).toBeGreaterThanOrEqual(0);
    expect(changed).toBeGreaterThan(0);
    const refused = open(
      memoryWith(() => true),
      answersOf({ pdb: wrong }),
    );
    expect(refused.modules[1]?.symbolOrigin).toBe('export');
    expect(refused.limits.some((limit) => limit.why.includes('not used'))).toBe(true);
  });

  it('says that a PDB was made with /DEBUG:FASTLINK', () => {
    // The feature code of a full PDB (VC140) replaced by that of a minimal one.
    const mini = Buffer.from(built.pdb);
    const feature = Buffer.alloc(4);
    feature.writeUInt32LE(20140508);
    const at = mini.indexOf(feature);
    expect(at).toBeGreaterThan(0);
    mini.write('MINI', at, 'latin1');
    const target = open(
      memoryWith(() => true),
      answersOf({ pdb: new Uint8Array(mini) }),
    );
    expect(target.modules[1]?.debugInfo).not.toBeNull();
    expect(target.limits.find((limit) => limit.why.includes('FASTLINK'))?.wouldNeed).toContain('/DEBUG:FULL');
  });

  it('reads code and unwind data that the dump lacks from the image', () => {
    const asked: SymbolRequest[] = [];
    const headers = (rva: number) => rva === 0;
    const bare = open(memoryWith(headers));
    const code = BASE + BigInt(exported);
    expect(bare.memory.u8(code)).toBeUndefined();
    expect(bare.modules[1]?.functionAt(exported)).toBeNull();
    const target = open(memoryWith(headers), answersOf({ image: built.dll }, asked));
    expect(target.memory.bytes(code, 32)).toEqual(whole.subarray(exported, exported + 32));
    expect(target.memory.sourceOf(va(code))).toBe('image my-driver.v2.sys');
    expect(target.modules[1]?.functionAt(exported)).toMatchObject({ start: exported, from: 'pdata' });
    expect(asked.some((request) => request.kind === 'image')).toBe(true);
    const session = createSession(target);
    for (const command of ['u', 'uf']) {
      const [shown] = [...executeLine(createRegistry(), session, `${command} ${code.toString(16)}`)];
      expect(shown?.text).toContain('*** not in the dump, read from image my-driver.v2.sys');
      expect(JSON.stringify(shown?.rows, (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v))).toContain(
        '"source":"image my-driver.v2.sys"',
      );
    }
    const [own] = [
      ...executeLine(createRegistry(), createSession(open(memoryWith(() => true))), `u ${code.toString(16)}`),
    ];
    expect(own?.text).not.toContain('***');
    // Data that can be written is the dump's alone.
    const data = image.pe.sections?.find((section) => section.name === '.data');
    if (data !== undefined) expect(target.memory.u32(BASE + BigInt(data.virtualAddress))).toBeUndefined();
    // A file of another build is refused.
    const other = new Uint8Array(built.dll);
    const lfanew = new DataView(other.buffer, other.byteOffset).getUint32(0x3c, true);
    other[lfanew + 8] = (other[lfanew + 8] ?? 0) ^ 1;
    const refused = open(memoryWith(headers), answersOf({ image: other }));
    expect(refused.memory.u8(code)).toBeUndefined();
    expect(refused.limits.some((limit) => limit.why.includes('not used'))).toBe(true);
  });

  it.each([
    ['.pdata and code in the dump', true, undefined],
    ['the image at hand', false, 'image'],
  ] as const)('walks by unwind data: %s', (_, inDump, file) => {
    const full = open(
      memoryWith(() => true),
      answersOf({ pdb: built.pdb }),
    );
    const at = (name: string) => Number(full.modules[1]?.debugInfo?.symbols.byName(name)?.rva ?? 0);
    // The return addresses after the calls in `hidden` and `Exported`, found in the code itself.
    const afterCall = (from: string, to: string): bigint => {
      const start = at(from);
      for (let i = start; i < start + 0x80; i++)
        if (whole[i] === 0xe8 && i + 5 + new DataView(whole.buffer, whole.byteOffset).getInt32(i + 1, true) === at(to))
          return BASE + BigInt(i + 5);
      throw new Error(`no call from ${from} to ${to}`);
    };
    const memory = memoryWith((rva) => inDump || rva === 0);
    // Frames are laid out by the unwind codes that lld wrote: read here by walking from a stack of markers.
    memory.put(STACK, new Uint8Array(0x2000));
    const target = open(memory, answersOf({ image: file === undefined ? undefined : built.dll }));
    const frameSize = (rva: number): bigint => {
      const probe = new SparseMemory(8);
      for (let page = 0; page < whole.length; page += 0x1000)
        probe.put(BASE + BigInt(page), whole.subarray(page, page + 0x1000));
      putModuleList(probe, HEAD, HEAD + 0x1000n, [
        { name: 'ntoskrnl.exe', base: 0xfffff80001000000n, size: 0x100000 },
        { name: 'a.sys', base: BASE, size },
      ]);
      probe.put(STACK, new Uint8Array(0x2000));
      const one = openTarget(fakeDump('x64', probe, { psLoadedModuleList: va(HEAD) })).walkStack(
        makeRegisters(
          'x64',
          new Map([
            ['rip', BASE + BigInt(rva)],
            ['rsp', STACK],
          ]),
          'unwound',
          null,
          true,
        ),
      );
      return (one.frames[0]?.returnSlot ?? STACK) - STACK;
    };
    const inner = afterCall('hidden', 'inner');
    const hidden = afterCall('Exported', 'hidden');
    const innerSlot = STACK + frameSize(Number(inner - BASE));
    memory.u64(innerSlot, hidden);
    const outerSlot = innerSlot + 8n + frameSize(Number(hidden - BASE));
    memory.u64(outerSlot, 0n);
    const trace = target.walkStack(
      makeRegisters(
        'x64',
        new Map([
          ['rip', inner],
          ['rsp', STACK],
        ]),
        'unwound',
        null,
        true,
      ),
    );
    expect(trace.frames.map((frame) => frame.pc)).toEqual([inner, hidden]);
    expect(trace.frames[1]).toMatchObject({ trust: 'unwind-data', sp: innerSlot + 8n });
    expect(trace.frames[0]).toMatchObject({ returnSlot: innerSlot, extent: { low: STACK, high: innerSlot + 8n } });
    expect(trace.endReason).toBe('no-return-address');
  });

  it('knows which bytes are code', () => {
    const target = open(memoryWith(() => true));
    expect(text).toBeDefined();
    const trace = target.walkStack(
      makeRegisters(
        'x64',
        new Map([
          ['rip', 0xfffff80077770000n],
          ['rsp', STACK],
        ]),
        'header CONTEXT',
        null,
        false,
      ),
    );
    expect(trace).toMatchObject({ endReason: 'unreadable' });
  });
});
