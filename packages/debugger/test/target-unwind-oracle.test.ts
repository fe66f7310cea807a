import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Memory, va } from '@dumpscope/core';
import { ImageFile, listRuntimeFunctions } from '@dumpscope/symbols';
import { describe, expect, it } from 'vitest';
import { type ArmCode, readArmUnwindData } from '../src/unwind/arm64-unwind-data.ts';
import { readUnwindInfo, type UnwindInfo, uwop, x64RegisterNames } from '../src/unwind/x64-unwind-info.ts';
import { here, shared } from './target-support.ts';

/** Our decoders against llvm-readobj, function by function. */

function have(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log(`skipped: ${tool} is not there`);
    return false;
  }
}

const readobj = have('llvm-readobj-19');

function imageMemory(path: string): { image: ImageFile; memory: Memory; base: bigint } {
  const image = new ImageFile(readFileSync(path), path);
  const base = image.pe.headers.imageBase;
  const memory = new Memory({
    pointerSize: 8,
    readInto(address, into) {
      const bytes = image.read(Number(address - base), into.length);
      if (bytes === null) return 0;
      into.set(bytes);
      return into.length;
    },
    gapAt: () => null,
  });
  return { image, memory, base };
}

const hex = (value: bigint | number) => `0x${value.toString(16).toUpperCase()}`;

/** One function the way llvm-readobj prints it. */
function x64Text(base: bigint, begin: number, end: number, info: UnwindInfo): string[] {
  const out = [
    `${hex(base + BigInt(begin))} ${hex(base + BigInt(end))} v${info.version} f${info.flags} p${info.prologSize}`,
  ];
  for (const code of info.codes) {
    const at = `0x${code.offset.toString(16).toUpperCase().padStart(2, '0')}`;
    const name = (x64RegisterNames[code.info] ?? '').toUpperCase();
    switch (code.op) {
      case uwop.pushNonvol:
        out.push(`${at}: PUSH_NONVOL reg=${name}`);
        break;
      case uwop.allocLarge:
        out.push(`${at}: ALLOC_LARGE size=${code.operand}`);
        break;
      case uwop.allocSmall:
        out.push(`${at}: ALLOC_SMALL size=${code.operand}`);
        break;
      case uwop.setFpreg:
        out.push(
          `${at}: SET_FPREG reg=${(x64RegisterNames[info.frameRegister] ?? '').toUpperCase()}, offset=${hex(info.frameOffset)}`,
        );
        break;
      case uwop.saveNonvol:
      case uwop.saveNonvolFar:
        out.push(`${at}: SAVE_NONVOL reg=${name}, offset=${hex(code.operand)}`);
        break;
      case uwop.saveXmm128:
      case uwop.saveXmm128Far:
        out.push(`${at}: SAVE_XMM128 reg=XMM${code.info}, offset=${hex(code.operand)}`);
        break;
      default:
        out.push(`${at}: PUSH_MACHFRAME errcode=${code.info ? 'yes' : 'no'}`);
    }
  }
  return out;
}

/** llvm-readobj 19 dies at the first chained entry: `complete` is false, the functions before it are there. */
function readobjX64(path: string): { readonly functions: string[][]; readonly complete: boolean } {
  const run = spawnSync('llvm-readobj-19', ['--unwind', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const complete = run.status === 0;
  const functions = run.stdout
    .split(/^ {2}RuntimeFunction \{$/m)
    .slice(1, complete ? undefined : -1)
    .map((part) => {
      const address = (name: string) =>
        hex(BigInt(new RegExp(`${name}: .*?\\(?(0x[0-9A-F]+)\\)?\\s*$`, 'm').exec(part)?.[1] ?? '0'));
      const number = (name: string) => /\d+/.exec(new RegExp(`${name}: (\\d+)`).exec(part)?.[1] ?? '0')?.[0];
      const flags = Number(/Flags \[ \((0x[0-9A-F]+)\)/.exec(part)?.[1] ?? 0);
      return [
        `${address('StartAddress')} ${address('EndAddress')} v${number('Version')} f${flags} p${number('PrologSize')}`,
        ...[...part.matchAll(/^ +(0x[0-9A-F]{2}: [A-Z].*?)\s*$/gm)].map((match) => match[1] ?? ''),
      ];
    });
  return { functions, complete };
}

const repository = join(here, '..', '..', '..');
const folders = {
  shared: join(shared ?? '/nowhere', 'symbols', 'pdb'),
  forge: join(repository, 'packages', 'forge', 'images'),
  // Built by MSVC for both architectures.
  nodePty: join(process.env['DUMPSCOPE_NODE_PTY'] ?? join(repository, 'node_modules', 'node-pty'), 'prebuilds'),
};

/** Every image of a machine that is at hand. */
function imagesOf(machine: number): string[] {
  return Object.entries(folders).flatMap(([name, folder]) => {
    if (!existsSync(folder)) {
      console.log(`skipped: ${folder} is not there`);
      return [];
    }
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(?:exe|dll|sys|node)$/.test(file))
      .sort()
      .filter((file) => machineOf(join(folder, file)) === machine)
      .map((file) => `${name}/${file}`);
  });
}

/** IMAGE_FILE_HEADER.Machine; 0 for what is no image (the prebuilds of other systems). */
function machineOf(path: string): number {
  const bytes = readFileSync(path);
  const header = bytes.length > 0x40 && bytes.readUInt16LE(0) === 0x5a4d ? bytes.readUInt32LE(0x3c) : -1;
  return header > 0 && header + 6 <= bytes.length ? bytes.readUInt16LE(header + 4) : 0;
}

const pathOf = (name: string): string => {
  const slash = name.indexOf('/');
  return join(folders[name.slice(0, slash) as keyof typeof folders], name.slice(slash + 1));
};

/** Lists of many functions are compared whole; the first that differs is shown. */
function expectSame(ours: readonly string[][], theirs: readonly string[][]): void {
  const first = ours.findIndex((item, i) => item.join('\n') !== theirs[i]?.join('\n'));
  if (first >= 0) expect(ours[first]).toEqual(theirs[first]);
  expect(ours.length).toBe(theirs.length);
}

describe.skipIf(!readobj)('x64 unwind information of every image', () => {
  it.each(imagesOf(0x8664))('%s is read as llvm-readobj reads it', (name) => {
    const path = pathOf(name);
    const { image, memory, base } = imageMemory(path);
    const pdata = image.pe.pdata;
    const { entries } = listRuntimeFunctions((rva, n) => image.read(rva, n), pdata?.rva ?? 0, pdata?.size ?? 0, 0x8664);
    const ours = entries.map((entry) => {
      const info = readUnwindInfo(memory, va(base), entry.unwindData);
      return typeof info === 'string' ? [info] : x64Text(base, entry.begin, entry.end, info);
    });
    const { functions, complete } = readobjX64(path);
    expectSame(complete ? ours : ours.slice(0, functions.length), functions);
    // Beyond that: everything decodes, and what an entry is chained to stands in the table itself.
    // target-unwind-run.test.ts acts out the prologues and epilogues of the same images.
    const known = new Set(entries.map((entry) => `${entry.begin} ${entry.end} ${entry.unwindData}`));
    for (const entry of entries) {
      const info = readUnwindInfo(memory, va(base), entry.unwindData);
      if (typeof info === 'string') throw new Error(`${entry.begin.toString(16)}: ${info}`);
      if (info.chained === null) continue;
      const { begin, end, unwindData } = info.chained;
      expect(known.has(`${begin} ${end} ${unwindData}`), entry.begin.toString(16)).toBe(true);
    }
  });
});

const armSource = `
int g(int,...); void h(void*);
int f1(int a){ return g(a)+1; }
int f2(int a,int b,int c,int d,int e){ int x=g(a),y=g(b),z=g(c),w=g(d),v=g(e); return x+y+z+w+v+g(x,y,z,w,v)+x*y; }
int f3(int n){ char buf[5000]; h(buf); return buf[n]+g(n); }
int f4(int n){ char *p=__builtin_alloca(n); h(p); return g(p[0])+n; }
double f5(double a,double b){ double x=g((int)a), y=g((int)b); return x*a+y*b+g((int)(x+y))*x*y; }
int f6(int n,...){ __builtin_va_list l; __builtin_va_start(l,n); int s=__builtin_va_arg(l,int); __builtin_va_end(l); return s+g(n); }
int f7(int a){ if(a>1){ return g(a)*g(a+1); } return a; }
int f8(int a){ char big[70000]; h(big); return g(big[a]); }
int f9(int a,int b,int c,int d,int e,int f){ int i,s=0; for(i=0;i<a;i++) s+=g(b)*g(c)+g(d)*g(e)+g(f)*i; return s; }
`;

function armText(code: ArmCode): string {
  const x = (n: number) => (n === 29 ? 'fp' : n === 30 ? 'lr' : `x${n}`);
  const place = (offset: number) => (offset < 0 ? `[sp, #${offset}]!` : offset === 0 ? '[sp]' : `[sp, #${offset}]`);
  switch (code.op) {
    case 'alloc':
      return `sub sp, #${code.size}`;
    case 'save':
      return code.count === 2
        ? `stp ${x(code.first)}, ${x(code.first + 1)}, ${place(code.offset)}`
        : `str ${x(code.first)}, ${place(code.offset)}`;
    case 'save-lr-pair':
      return `stp ${x(code.first)}, lr, ${place(code.offset)}`;
    case 'save-fp':
      return code.count === 2
        ? `stp d${code.first}, d${code.first + 1}, ${place(code.offset)}`
        : `str d${code.first}, ${place(code.offset)}`;
    case 'set-fp':
      return 'mov fp, sp';
    case 'add-fp':
      return `add fp, sp, #${code.offset}`;
    case 'end-c':
      return 'end_c';
    case 'pac-sign-lr':
      return 'pacibsp';
    case 'save-next':
      return 'save next';
    default:
      return code.op;
  }
}

function oursArm(path: string): string[][] {
  const { image, memory, base } = imageMemory(path);
  const pdata = image.pe.pdata;
  const { entries } = listRuntimeFunctions((rva, n) => image.read(rva, n), pdata?.rva ?? 0, pdata?.size ?? 0, 0xaa64);
  return entries.map((entry) => {
    const data = readArmUnwindData(memory, va(base), entry.unwindData);
    if (typeof data === 'string') return [data];
    const codes: string[] = [];
    for (const { code } of data.codes) {
      codes.push(armText(code));
      if (code.op === 'end') break;
    }
    const scopes = data.epilogs.map((epilog) => `epilog ${epilog.start / 4} at ${epilog.index}`);
    return [`length ${data.functionLength}`, ...codes, ...scopes];
  });
}

/** The prologues that llvm-readobj prints, registers and zero offsets spelled our way. */
function readobjArm(path: string): string[][] {
  const text = execFileSync('llvm-readobj-19', ['--unwind', path], { encoding: 'utf8', maxBuffer: 1 << 28 });
  return text
    .split(/^ {2}RuntimeFunction \{$/m)
    .slice(1)
    .map((part) => {
      const length = /FunctionLength: (\d+)/.exec(part)?.[1];
      const body = /Prologue \[\n([\s\S]*?)^ *\]$/m.exec(part)?.[1] ?? '';
      const lines = body
        .split('\n')
        .map((line) => (line.includes(';') ? line.slice(line.indexOf(';') + 1) : line).trim())
        .filter((line) => line !== '')
        .map((line) =>
          line
            .replace('sub sp, sp,', 'sub sp,')
            .replace(/\bx29\b/g, 'fp')
            .replace(/\bx30\b/g, 'lr')
            .replace(/, #0\]/, ']'),
        );
      const scopes = [...part.matchAll(/StartOffset: (\d+)\s+EpilogueStartIndex: (\d+)/g)].map(
        ([, start, index]) => `epilog ${start} at ${index}`,
      );
      const start = lines.includes('INVALID!') ? [/Function: (0x[0-9A-F]+)/.exec(part)?.[1] ?? ''] : [];
      return [`length ${length}`, ...lines, ...scopes, ...start];
    });
}

describe.skipIf(!readobj)('ARM64 unwind data of every image', () => {
  it.each(imagesOf(0xaa64))('%s is read as llvm-readobj reads it', (name) => {
    const path = pathOf(name);
    const { image, base } = imageMemory(path);
    // Packed data with one register and lr (RegI 1, CR 1) is no form for llvm; MSVC writes it. The code tells what it is.
    const theirs = readobjArm(path).map((lines) => {
      const at = lines.indexOf('INVALID!');
      if (at < 0) return lines;
      const function_ = BigInt(lines.at(-1) ?? '0');
      const code = Buffer.from(image.read(Number(function_ - base), 8) ?? []).toString('hex');
      expect(code, function_.toString(16)).toBe('ff4300d1f37b00a9'); // sub sp,sp,#0x10; stp x19,lr,[sp]
      return [...lines.slice(0, at), 'stp x19, lr, [sp]', 'sub sp, #16', ...lines.slice(at + 1, -1)];
    });
    expectSame(oursArm(path), theirs);
  });
});

describe.skipIf(!readobj || !have('clang-19') || !have('lld-link-19'))('ARM64 unwind data of a built image', () => {
  it.each(['-O2', '-O1', '-O0', '-Os'])('%s is read as llvm-readobj reads it', (level) => {
    const dir = mkdtempSync(join(tmpdir(), 'dumpscope-arm-'));
    writeFileSync(join(dir, 'a.c'), armSource);
    execFileSync('clang-19', [
      '--target=aarch64-pc-windows-msvc',
      level,
      '-c',
      join(dir, 'a.c'),
      '-o',
      join(dir, 'a.obj'),
    ]);
    const path = join(dir, 'a.dll');
    execFileSync(
      'lld-link-19',
      [
        '/dll',
        '/noentry',
        '/machine:arm64',
        '/force:unresolved',
        '/opt:noref',
        ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `/export:f${i}`),
        `/out:${path}`,
        join(dir, 'a.obj'),
      ],
      { stdio: 'ignore' },
    );
    const theirs = readobjArm(path);
    expect(theirs.length).toBe(9);
    expect(oursArm(path)).toEqual(theirs);
  });
});
