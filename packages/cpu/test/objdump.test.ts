import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { va } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import { prepareArm64 } from '../src/arm64/prepare-arm64.ts';
import { createDisassembler } from '../src/disassembler.ts';
import type { Instruction, Operand } from '../src/instruction.ts';

const here = dirname(fileURLToPath(import.meta.url));
const shared = process.env['DUMPSCOPE_SHARED'] ?? join(here, '../../../../shared');
const OBJDUMP = 'llvm-objdump-19';
const CLANG = 'clang-19';
const has = (tool: string): boolean => spawnSync(tool, ['--version']).status === 0;
const hasObjdump = has(OBJDUMP);
const hasClang = hasObjdump && has(CLANG);
const images = join(shared, 'symbols/pdb');
if (!hasObjdump) console.log(`SKIPPED: decoding against ${OBJDUMP}: not installed`);
else if (!hasClang) console.log(`SKIPPED: decoding of built code: ${CLANG} is not installed`);
if (!existsSync(images)) console.log('SKIPPED: decoding of shared images: ../shared is not there');

interface Row {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

function disassemble(file: string): { arch: 'x86' | 'x64' | null; rows: Row[] } {
  const output = execFileSync(OBJDUMP, ['-d', '--x86-asm-syntax=intel', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const arch = output.includes('file format coff-i386') ? 'x86' : output.includes('coff-x86-64') ? 'x64' : null;
  const rows: Row[] = [];
  for (const line of output.split('\n')) {
    const match = /^\s*([0-9a-f]+): ((?:[0-9a-f]{2} )+)\s*(?:\t(.*))?$/.exec(line);
    if (!match?.[1] || !match[2]) continue;
    rows.push({
      address: BigInt(`0x${match[1]}`),
      bytes: Uint8Array.from(match[2].trim().split(' '), (x) => Number.parseInt(x, 16)),
      text: (match[3] ?? '').replaceAll('\t', ' ').trim(),
    });
  }
  return { arch, rows: joinPrefixes(rows) };
}

/** LLVM gives some prefixes a row of their own. */
function joinPrefixes(rows: readonly Row[]): Row[] {
  const result: Row[] = [];
  for (const row of rows) {
    const last = result.at(-1);
    if (
      last &&
      /^(?:lock|rep|repne|repe|data16|rex64|[cdefgs]s)$/.test(last.text) &&
      last.address + BigInt(last.bytes.length) === row.address
    ) {
      result[result.length - 1] = {
        address: last.address,
        bytes: Uint8Array.from([...last.bytes, ...row.bytes]),
        text: `${last.text} ${row.text}`,
      };
    } else result.push(row);
  }
  return result;
}

/** LLVM's spelling -> ours: what is the same instruction under two names. */
const SAME: Readonly<Record<string, string>> = {
  movabs: 'mov',
  lcall: 'call',
  ljmp: 'jmp',
  pushal: 'pushad',
  popal: 'popad',
  iretd: 'iretd',
  retf: 'retf',
  xlatb: 'xlat',
  fucompi: 'fucomip',
  fcompi: 'fcomip',
  fstsw: 'fnstsw',
  fld: 'fld',
  fwait: 'wait',
  sal: 'shl',
};
const STRINGS = /^(movs|cmps|stos|lods|scas|ins|outs)[bwdq]?$/;

function llvmMnemonic(text: string): { mnemonic: string; prefixes: string[]; operands: string } {
  const words = text.split(/ +/);
  const prefixes: string[] = [];
  while (
    words[0] !== undefined &&
    /^(?:lock|rep|repe|repne|repz|repnz|data16|addr32|addr16|notrack|bnd|xacquire|xrelease|cs|ds|es|ss|fs|gs|rex64|\{evex\}|\{vex\}|\{vex3\})$/.test(
      words[0],
    ) &&
    words.length > 1
  )
    prefixes.push(words.shift() ?? '');
  const mnemonic = words.shift() ?? '';
  return { mnemonic, prefixes, operands: words.join(' ') };
}

function sameMnemonic(i: Instruction, text: string): boolean {
  const { mnemonic } = llvmMnemonic(text);
  const theirs = SAME[mnemonic] ?? mnemonic;
  const ours = SAME[i.mnemonic] ?? i.mnemonic;
  if (ours === theirs) return true;
  const string = STRINGS.exec(theirs);
  if (string && i.mnemonic === string[1]) return true;
  // cmpps with a predicate has a name of its own in LLVM; xchg eax,eax is nop in both spellings.
  const predicate = /^(v?cmp)(eq|lt|le|unord|neq|nlt|nle|ord|false|true|ge|gt|\w+_\w+)?(ps|pd|ss|sd)$/.exec(theirs);
  if (predicate && ours === `${predicate[1]}${predicate[3]}`) return true;
  if (theirs === 'xchg' && ours === 'nop') return true;
  // fxch and the like print no operand difference; waiting forms of x87 are two instructions here.
  return theirs === 'nop' && ours === 'nop';
}

const REGISTER =
  /^(?:[re]?(?:ax|bx|cx|dx|si|di|bp|sp)|[abcd][lh]|(?:sp|bp|si|di)l|r\d+[dwb]?|[xyz]?mm\d+|[cdefgs]s|cr\d+|dr\d+|st(?:\(\d\))?)$/;
const SIZES: Readonly<Record<string, number>> = {
  byte: 1,
  word: 2,
  dword: 4,
  qword: 8,
  tbyte: 10,
  xmmword: 16,
  ymmword: 32,
  zmmword: 64,
};

function number(text: string): bigint | null {
  const match = /^(-?)(0x[0-9a-f]+|\d+)$/.exec(text);
  if (!match?.[2]) return null;
  return match[1] ? -BigInt(match[2]) : BigInt(match[2]);
}

/** Null when LLVM's operand is the same as ours, else what differs. */
function compareOperand(op: Operand, text: string, i: Instruction): string | null {
  const plain = text
    .replace(/<[^>]*>/g, '')
    .replace(/^(?:short|near|far|offset) /, '')
    .trim();
  if (op.kind === 'register')
    return op.register === plain || (op.register === 'st(0)' && plain === 'st') ? null : `${op.register} is ${plain}`;
  if (op.kind === 'branch' || op.kind === 'immediate') {
    const theirs = number(plain);
    const ours = op.kind === 'branch' ? op.target : op.value;
    if (theirs === null) return `${ours} is ${plain}`;
    const bits = op.kind === 'branch' ? 64 : op.size * 8;
    return BigInt.asUintN(bits, theirs) === BigInt.asUintN(bits, ours) ? null : `${ours.toString(16)} is ${plain}`;
  }
  const memory = /^(?:(\w+) ptr )?(?:(\w\w):)?(?:(\w\w):)?\[([^\]]*)\]$/.exec(plain);
  if (!memory) return `memory is ${plain}`;
  const size = SIZES[memory[1] ?? ''];
  if (size !== undefined && op.size !== 0 && op.size !== size) return `size ${op.size} is ${memory[1]}`;
  const parts = (memory[4] ?? '')
    .replaceAll('- ', '+ -')
    .split('+')
    .map((p) => p.trim());
  let base: string | null = null;
  let index: string | null = null;
  let scale = 1;
  let displacement = 0n;
  for (const part of parts) {
    const scaled = /^(?:(\d)\*(\w+)|(\w+)\*(\d))$/.exec(part);
    const value = number(part.replace('- ', '-'));
    if (scaled) {
      index = scaled[2] ?? scaled[3] ?? null;
      scale = Number(scaled[1] ?? scaled[4]);
    } else if (value !== null) displacement = value;
    else if (base === null) base = part;
    else index = part;
  }
  if (base === 'rip' || base === 'eip') {
    displacement += i.address + BigInt(i.length);
    base = null;
    if (!op.ripRelative) return 'not RIP-relative';
  }
  if (index === 'eiz' || index === 'riz') index = null;
  // One register with scale 1 may be called base or index.
  const ours = op.index !== null && op.base === null && op.scale === 1 ? { ...op, base: op.index, index: null } : op;
  const theirs = index !== null && base === null && scale === 1 ? { base: index, index: null } : { base, index };
  if (ours.base !== theirs.base || ours.index !== theirs.index || (index !== null && ours.scale !== scale))
    return `${ours.base}+${ours.index}*${ours.scale} is ${plain}`;
  const bits = op.addressSize * 8;
  if (BigInt.asUintN(bits, ours.displacement) !== BigInt.asUintN(bits, displacement))
    return `displacement ${op.displacement} is ${plain}`;
  const segment = memory[2];
  if (segment && segment !== op.segment) return `${op.segment} is ${segment}`;
  return null;
}

function splitOperands(text: string): string[] {
  return text
    .replace(/<[^>]*>/g, '')
    .replace(/\s*#.*$/, '')
    .split(',')
    .map((p) => p.trim())
    .filter((p) => p !== '');
}

/** Whose operands are compared: general-purpose ones, in the same order on both sides. */
function hasPlainOperands(i: Instruction, texts: readonly string[]): boolean {
  if (
    STRINGS.test(i.mnemonic) ||
    i.mnemonic === 'xlat' ||
    i.mnemonic === 'xchg' ||
    // 16-bit registers for llvm, full ones for iced; the field is the same
    i.mnemonic === 'arpl' ||
    i.mnemonic === 'nop' ||
    texts.some((t) => t.startsWith('far'))
  )
    return false;
  if (i.mnemonic.startsWith('f') || i.bytes[0] === 0x62) return false;
  if (i.bytes[0] === 0x9a || i.bytes[0] === 0xea) return false;
  return (
    texts.length === i.operands.length &&
    texts.every((t) => !t.includes('{') && (REGISTER.test(t) || /ptr|\[|^-?(?:0x)?[0-9a-f]+/.test(t)))
  );
}

interface Verdict {
  readonly rows: number;
  readonly operands: number;
  readonly differences: string[];
}

/** Padding and empty pages: one instruction over and over. */
const FILLER = /^(?:(?:00)+|(?:cc)+|90)$/;

function check(file: string, isCode: (address: bigint) => boolean = () => true): Verdict {
  const { arch, rows } = disassemble(file);
  const differences: string[] = [];
  let operands = 0;
  if (!arch) return { rows: 0, operands, differences: ['not an x86 image'] };
  const d = createDisassembler(arch);
  const seen = new Set<string>();
  let compared = 0;
  rows.forEach((row, n) => {
    const hex = Buffer.from(row.bytes).toString('hex');
    if (!isCode(row.address) || (FILLER.test(hex) && seen.has(hex))) return;
    seen.add(hex);
    compared++;
    // Up to 15 bytes from this row on: a decoder that takes more than the row has would show.
    const bytes: number[] = [...row.bytes];
    for (let k = n + 1; bytes.length < 15 && rows[k]; k++) bytes.push(...(rows[k]?.bytes ?? []));
    const i = d.decode(Uint8Array.from(bytes), 0, va(row.address));
    const where = `${row.address.toString(16)} ${hex} ${row.text}`;
    if (row.text === '' || row.text.includes('<unknown>')) return;
    if (!i?.valid) differences.push(`${where}: not decoded`);
    else if (i.length !== row.bytes.length) differences.push(`${where}: ${i.mnemonic} of ${i.length} bytes`);
    else if (!sameMnemonic(i, row.text)) differences.push(`${where}: ${i.mnemonic}`);
    else {
      const texts = splitOperands(llvmMnemonic(row.text).operands);
      if (!hasPlainOperands(i, texts)) return;
      operands++;
      i.operands.forEach((op, k) => {
        const wrong = compareOperand(op, texts[k] ?? '', i);
        if (wrong) differences.push(`${where}: operand ${k}: ${wrong}`);
      });
    }
  });
  return { rows: compared, operands, differences };
}

function checkArm(
  file: string,
  isCode: (address: bigint) => boolean = () => true,
): { readonly rows: number; readonly differences: string[] } {
  const output = execFileSync(OBJDUMP, ['-d', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const d = createDisassembler('arm64');
  const differences: string[] = [];
  let rows = 0;
  for (const line of output.split('\n')) {
    const match = /^\s*([0-9a-f]+): ([0-9a-f]{8})\s+(\S+)\s*(.*)$/.exec(line);
    if (!match?.[1] || !match[2] || !match[3] || match[3] === '<unknown>') continue;
    if (!isCode(BigInt(`0x${match[1]}`))) continue;
    rows++;
    const bytes = Uint8Array.from(match[2].match(/../g) ?? [], (x) => Number.parseInt(x, 16)).reverse();
    const i = d.decode(bytes, 0, va(BigInt(`0x${match[1]}`)));
    if (i?.mnemonic !== match[3]) differences.push(`${line.trim()}: ${i?.mnemonic}`);
    // Registers of both texts in order, whatever the spelling of immediates.
    const registers = (t: string): string =>
      (t.match(/\b(?:[xw]\d+|sp|[xw]zr|fp|lr)\b/g) ?? [])
        .map((r) => (r === 'x29' ? 'fp' : r === 'x30' ? 'lr' : r))
        .join();
    const ours = i ? registers(d.format(i).operands) : '';
    if (ours !== registers((match[4] ?? '').replace(/<[^>]*>|\/\/.*/g, '')))
      differences.push(`${line.trim()}: ${ours}`);
  }
  return { rows, differences };
}

const repository = join(here, '../../..');
/** Images of MSVC, those that the forge builds, and of node-pty what is ARM64 and not large. */
const folders = [
  images,
  join(repository, 'packages/forge/images'),
  join(process.env['DUMPSCOPE_NODE_PTY'] ?? join(repository, 'node_modules/node-pty'), 'prebuilds'),
];

/** IMAGE_FILE_HEADER.Machine; 0 for what is no image. */
function machineOf(path: string): number {
  const bytes = readFileSync(path);
  const header = bytes.length > 0x40 && bytes.readUInt16LE(0) === 0x5a4d ? bytes.readUInt32LE(0x3c) : -1;
  return header > 0 && header + 6 <= bytes.length ? bytes.readUInt16LE(header + 4) : 0;
}

/**
 * Whether an address lies in a function of .pdata: between them lie jump tables and literals, which llvm-objdump sweeps
 * over as if they were code. Images without .pdata are code everywhere.
 */
function functionsOf(path: string): (address: bigint) => boolean {
  const bytes = readFileSync(path);
  const header = bytes.readUInt32LE(0x3c);
  const machine = bytes.readUInt16LE(header + 4);
  if (machine === 0x14c) return () => true;
  const optional = header + 24;
  const sections = optional + bytes.readUInt16LE(header + 20);
  const at = (rva: number): number => {
    for (let i = 0; i < bytes.readUInt16LE(header + 6); i++) {
      const section = sections + i * 40;
      const start = bytes.readUInt32LE(section + 12);
      if (rva >= start && rva < start + bytes.readUInt32LE(section + 16)) {
        return rva - start + bytes.readUInt32LE(section + 20);
      }
    }
    throw new Error(`${path}: no section holds ${rva.toString(16)}`);
  };
  const base = bytes.readBigUInt64LE(optional + 24);
  const [rva, size] = [bytes.readUInt32LE(optional + 112 + 24), bytes.readUInt32LE(optional + 112 + 28)];
  if (size === 0) return () => true;
  const table = at(rva);
  const stride = machine === 0x8664 ? 12 : 8;
  const starts: number[] = [];
  const ends: number[] = [];
  for (let entry = table; entry + stride <= table + size; entry += stride) {
    const begin = bytes.readUInt32LE(entry);
    const second = bytes.readUInt32LE(entry + 4);
    const length =
      (second & 3) !== 0 ? (second >>> 2) & 0x7ff : machine === 0xaa64 ? bytes.readUInt32LE(at(second)) & 0x3ffff : 0;
    starts.push(begin);
    ends.push(machine === 0x8664 ? second : begin + length * 4);
  }
  return (address) => {
    const wanted = Number(address - base);
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if ((starts[mid] ?? 0) <= wanted) low = mid + 1;
      else high = mid;
    }
    return low > 0 && wanted < (ends[low - 1] ?? 0);
  };
}

function imagesOf(...machines: number[]): [string, string][] {
  if (!hasObjdump) return [];
  return folders.flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
          .filter((name) => /\.(?:exe|dll|sys|node)$/.test(name) && !/OpenConsole|win32-x64/.test(name))
          .sort()
          .map((name): [string, string] => [name, join(folder, name)])
          .filter(([, path]) => machines.includes(machineOf(path)))
      : [],
  );
}

const x86Files = imagesOf(0x14c, 0x8664);
const armFiles = imagesOf(0xaa64);

describe.skipIf(x86Files.length === 0)('x86 and x64 images decode as llvm-objdump decodes them', () => {
  it.each(x86Files)('%s', (_, path) => {
    const { rows, operands, differences } = check(path, functionsOf(path));
    expect(differences.slice(0, 20)).toEqual([]);
    expect(rows).toBeGreaterThan(0);
    if (rows > 200) expect(operands).toBeGreaterThan(rows * 0.3);
  });
});

describe.skipIf(armFiles.length === 0)('ARM64 images decode as llvm-objdump decodes them', () => {
  it.each(armFiles)('%s', async (_, path) => {
    await prepareArm64();
    const { rows, differences } = checkArm(path, functionsOf(path));
    expect(differences.slice(0, 20)).toEqual([]);
    expect(rows).toBeGreaterThan(0);
  });
});

describe.skipIf(!hasClang)('built ARM64 code decodes as llvm-objdump decodes it', () => {
  it.each([['-O0'], ['-O2'], ['-O3', '-march=armv8.1-a+lse']])('%s', async (...flags) => {
    await prepareArm64();
    const folder = mkdtempSync(join(tmpdir(), 'dumpscope-objdump-'));
    try {
      const object = join(folder, 'code.o');
      const target = '--target=aarch64-pc-windows-msvc';
      const source = join(here, 'objdump-source.c');
      execFileSync(CLANG, [target, '-c', '-ffreestanding', '-DARM', ...flags, '-o', object, source]);
      const { rows, differences } = checkArm(object);
      expect(differences.slice(0, 20)).toEqual([]);
      expect(rows).toBeGreaterThan(200);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(!hasClang)('built code decodes as llvm-objdump decodes it', () => {
  it.each([
    ['i686-pc-windows-msvc', ['-O2', '-msse2']],
    ['i686-pc-windows-msvc', ['-O0', '-mno-sse']],
    ['x86_64-pc-windows-msvc', ['-O2', '-mcx16']],
    ['x86_64-pc-windows-msvc', ['-O0']],
    ['x86_64-pc-windows-msvc', ['-O3', '-mavx2', '-mbmi', '-mbmi2', '-mlzcnt', '-mpopcnt', '-mmovbe', '-madx']],
    ['x86_64-pc-windows-msvc', ['-O3', '-mavx512f', '-mavx512vl', '-mprefer-vector-width=512']],
  ])('%s %s', (target, flags) => {
    const folder = mkdtempSync(join(tmpdir(), 'dumpscope-objdump-'));
    try {
      const object = join(folder, 'code.o');
      execFileSync(CLANG, [
        `--target=${target}`,
        '-c',
        '-ffreestanding',
        ...flags,
        '-o',
        object,
        join(here, 'objdump-source.c'),
      ]);
      const { rows, differences } = check(object);
      expect(differences.slice(0, 20)).toEqual([]);
      expect(rows).toBeGreaterThan(200);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
