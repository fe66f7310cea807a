import { type Va, va } from '@dumpscope/core';
import { addressText } from '../format/numbers.ts';
import type {
  Condition,
  Disassembler,
  Flow,
  Instruction,
  MemoryOperand,
  Operand,
  Register,
  Symbolizer,
} from '../instruction.ts';
import { type CapstoneText, startCapstone } from './capstone.ts';

/** The nearest x86 letters; NZCV has no parity and its carry is inverted for subtraction, which these letters hide. */
const CONDITIONS: Readonly<Record<string, Condition>> = {
  eq: 'e',
  ne: 'ne',
  hs: 'ae',
  cs: 'ae',
  lo: 'b',
  cc: 'b',
  mi: 's',
  pl: 'ns',
  vs: 'o',
  vc: 'no',
  hi: 'a',
  ls: 'be',
  ge: 'ge',
  lt: 'l',
  gt: 'g',
  le: 'le',
};

/** WinDbg prints x29 as fp and x30 as lr. */
function windbgName(name: string): string {
  return name === 'x29' || name === 'fp' ? 'fp' : name === 'x30' || name === 'lr' ? 'lr' : name;
}

/** The full register of a name (`w3` -> `x3`), or null for what is no general register (`xzr`, `nzcv`). */
function fullRegister(name: string): Register | null {
  const w = /^w(\d+)$/.exec(name);
  if (w) return windbgName(`x${w[1]}`);
  if (name === 'wsp' || name === 'sp') return 'sp';
  if (/^x\d+$/.test(name) || name === 'fp' || name === 'lr') return windbgName(name);
  const v = /^[bhsdqv](\d+)$/.exec(name);
  return v ? `v${v[1]}` : null;
}

function registerSize(name: string): number {
  const sizes: Readonly<Record<string, number>> = { w: 4, b: 1, h: 2, s: 4, d: 8, q: 16, v: 16 };
  return name === 'sp' || name === 'wsp' ? (name === 'sp' ? 8 : 4) : (sizes[name[0] ?? ''] ?? 8);
}

/** Splits at commas outside brackets and braces. */
function splitOperands(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '[' || c === '{') depth++;
    else if (c === ']' || c === '}') depth--;
    else if (c === ',' && depth === 0) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  if (start < text.length) parts.push(text.slice(start).trim());
  return parts;
}

function immediateOf(text: string): bigint | null {
  const match = /^#(-?)(0x[0-9a-f]+|\d+)$/.exec(text);
  if (!match?.[2]) return null;
  const value = BigInt(match[2]);
  return match[1] ? -value : value;
}

const REGISTER = /^(?:[xwbhsdq]\d+|v\d+.*|sp|wsp|xzr|wzr|fp|lr)$/;
const FIXED_SIZES: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4 };

/** Bytes that a load or store moves, by its suffix or its first register. */
function accessSize(mnemonic: string, parts: readonly string[]): number {
  if (mnemonic.startsWith('prf') || mnemonic.startsWith('dc') || mnemonic.startsWith('ic')) return 0;
  const suffix =
    /^(?:ldu?r|stu?r|ldap|ldar|stlr|ldtr|sttr|ldx|stx|ldax|stlx|ldlar|stllr|swp|cas|ld|st).*?s?([bhw])$/.exec(mnemonic);
  const fixed = suffix?.[1] === undefined ? undefined : FIXED_SIZES[suffix[1]];
  if (fixed !== undefined && !/p$/.test(mnemonic)) return fixed;
  const isPair = /^(?:ld|st)(?:n|x|ax|lx)?p/.test(mnemonic);
  const data = parts.filter((p) => REGISTER.test(p));
  // The first register of a store-exclusive is its status.
  const first = /^st.?xr|^stlxr|^st.?xp/.test(mnemonic) ? data[1] : data[0];
  const size = first ? registerSize(first) : 8;
  return isPair ? size * 2 : size;
}

function memoryOf(text: string, size: number): MemoryOperand | null {
  const match = /^\[([^\]]*)\]/.exec(text);
  if (!match?.[1]) return null;
  const [base, second, third] = match[1].split(',').map((p) => p.trim());
  if (!base) return null;
  let displacement = 0n;
  let index: string | null = null;
  let scale: 1 | 2 | 4 | 8 = 1;
  if (second) {
    const immediate = immediateOf(second);
    if (immediate !== null) displacement = immediate;
    else index = second;
    const shift = /#(\d)$/.exec(third ?? '');
    if (shift?.[1]) scale = (1 << Number(shift[1])) as 1 | 2 | 4 | 8;
  }
  return {
    kind: 'memory',
    base: fullRegister(base) ?? windbgName(base),
    index,
    scale,
    displacement,
    ripRelative: false,
    segment: '',
    addressSize: 8,
    size,
  };
}

/** capstone's register lists leave out the registers of addresses. */
function addressRegisters(parts: readonly string[]): string[] {
  const memory = parts.find((p) => p.startsWith('['));
  if (!memory) return [];
  return memory
    .replace(/[[\]!]/g, '')
    .split(',')
    .map((p) => p.trim())
    .filter((p) => REGISTER.test(p));
}

/** The base register of `[x0,#8]!` and `[x0],#8`. */
function writtenBack(parts: readonly string[]): string[] {
  const at = parts.findIndex((p) => p.startsWith('['));
  if (at < 0 || (!parts[at]?.endsWith('!') && at === parts.length - 1)) return [];
  return addressRegisters(parts).slice(0, 1);
}

function accessOf(mnemonic: string): 'read' | 'write' | 'read-write' | 'none' {
  if (/^(?:cas|swp|ldadd|ldclr|ldeor|ldset|ldsmax|ldsmin|ldumax|ldumin|stadd|stclr|steor|stset)/.test(mnemonic))
    return 'read-write';
  if (mnemonic.startsWith('ld')) return 'read';
  return mnemonic.startsWith('st') ? 'write' : 'none';
}

function isConditional(mnemonic: string): boolean {
  return mnemonic.startsWith('b.') || mnemonic.startsWith('bc.') || /^(?:cbn?z|tbn?z)$/.test(mnemonic);
}

function flowOf(c: CapstoneText): Flow {
  const { mnemonic } = c;
  if (isConditional(mnemonic)) return 'conditional';
  if (mnemonic === 'b') return 'jump';
  if (mnemonic === 'bl') return 'call';
  if (mnemonic.startsWith('blr')) return 'indirect-call';
  if (c.isReturn || mnemonic.startsWith('ret') || mnemonic.startsWith('eret') || mnemonic === 'drps') return 'return';
  if (/^br(?:a[ab]z?)?$/.test(mnemonic)) return 'indirect-jump';
  if (mnemonic === 'brk' || mnemonic === 'hlt' || mnemonic === 'udf') return 'exception';
  if (mnemonic === 'svc' || mnemonic === 'hvc' || mnemonic === 'smc') return 'interrupt';
  return 'next';
}

/** Branches and PC-relative addresses: the operand that is an absolute address in capstone's text. */
function isAddressOperand(mnemonic: string, index: number, count: number): boolean {
  if (mnemonic === 'b' || mnemonic === 'bl' || mnemonic === 'adr' || mnemonic === 'adrp' || isConditional(mnemonic))
    return index === count - 1;
  return false;
}

const full = (names: readonly string[]): Register[] => [
  ...new Set(names.map(fullRegister).filter((n): n is Register => n !== null)),
];

function toInstruction(c: CapstoneText, bytes: Uint8Array, address: Va): Instruction {
  const parts = splitOperands(c.operands);
  const operands: Operand[] = [];
  let target: Va | null = null;
  const size = accessSize(c.mnemonic, parts);
  const flow = flowOf(c);
  let memory: MemoryOperand | null = null;
  parts.forEach((part, i) => {
    const immediate = immediateOf(part);
    if (part.startsWith('[')) {
      memory = memoryOf(part, size);
      if (memory) operands.push(memory);
    } else if (immediate !== null) {
      if (isAddressOperand(c.mnemonic, i, parts.length) && flow !== 'next') {
        target = va(immediate);
        operands.push({ kind: 'branch', target });
      } else operands.push({ kind: 'immediate', value: BigInt.asUintN(64, immediate), size: 8 });
    } else if (REGISTER.test(part))
      operands.push({ kind: 'register', register: windbgName(part), size: registerSize(part) });
  });
  // A literal load has its address as a plain immediate.
  const literal =
    c.mnemonic.startsWith('ldr') && memory === null ? operands.findIndex((o) => o.kind === 'immediate') : -1;
  const at = operands[literal];
  if (at?.kind === 'immediate') {
    memory = {
      kind: 'memory',
      base: null,
      index: null,
      scale: 1,
      displacement: at.value,
      ripRelative: true,
      segment: '',
      addressSize: 8,
      size,
    };
    operands[literal] = memory;
  }
  const access = accessOf(c.mnemonic);
  const suffix = /^b?c?\.?/.test(c.mnemonic) ? c.mnemonic.split('.')[1] : undefined;
  const selected = /^(?:csel|cset|csetm|cinc|cinv|cneg|csinc|csinv|csneg|ccmp|ccmn|fcsel)$/.test(c.mnemonic)
    ? parts.at(-1)
    : suffix;
  return {
    address,
    length: 4,
    bytes,
    mnemonic: c.mnemonic,
    operands,
    flow,
    target,
    condition: CONDITIONS[selected ?? ''] ?? null,
    lock: false,
    rep: null,
    reads: full([...c.reads, ...addressRegisters(parts), ...(flow === 'return' && parts.length === 0 ? ['lr'] : [])]),
    writes: full([...c.writes, ...writtenBack(parts), ...(c.mnemonic.startsWith('bl') ? ['lr'] : [])]),
    memory: memory === null ? [] : [{ operand: memory, access }],
    flagsRead: c.reads.includes('nzcv') ? 'ocsz' : '',
    flagsWritten: c.writes.includes('nzcv') ? 'ocsz' : '',
    flagsUndefined: '',
    valid: true,
  };
}

/** Puts WinDbg's spelling over capstone's text: no blank after a comma, fp and lr, names for targets. */
function format(
  instruction: Instruction,
  text: string,
  symbolize: Symbolizer | undefined,
): { mnemonic: string; operands: string } {
  if (!instruction.valid) return { mnemonic: '???', operands: '' };
  const parts = splitOperands(text);
  const shown = parts.map((part, i) => {
    const immediate = immediateOf(part);
    const literal =
      instruction.memory.length > 0 &&
      !part.startsWith('[') &&
      immediate !== null &&
      instruction.memory[0]?.operand.ripRelative;
    if (immediate !== null && (isAddressOperand(instruction.mnemonic, i, parts.length) || literal)) {
      const address = va(immediate);
      const name = symbolize?.(address);
      return name === undefined ? addressText(address, 8) : `${name} (${addressText(address, 8)})`;
    }
    return part
      .replaceAll(', ', ',')
      .replace(/\bx29\b/g, 'fp')
      .replace(/\bx30\b/g, 'lr');
  });
  return { mnemonic: instruction.mnemonic, operands: shown.join(',') };
}

/** The ARM64 disassembler; starts capstone, which takes about 100 ms. */
export function createArm64Disassembler(): Disassembler {
  const decode = startCapstone();
  return {
    arch: 'arm64',
    maxLength: 4,
    decode(bytes, offset, address) {
      if (offset + 4 > bytes.length) return null;
      const own = bytes.slice(offset, offset + 4);
      const text = decode(own, 0, address);
      if (text) return toInstruction(text, own, address);
      return {
        address,
        length: 4,
        bytes: own,
        mnemonic: '???',
        operands: [],
        flow: 'exception',
        target: null,
        condition: null,
        lock: false,
        rep: null,
        reads: [],
        writes: [],
        memory: [],
        flagsRead: '',
        flagsWritten: '',
        flagsUndefined: '',
        valid: false,
      };
    },
    format(instruction, symbolize) {
      const text = instruction.valid ? decode(instruction.bytes, 0, instruction.address) : null;
      return format(instruction, text?.operands ?? '', symbolize);
    },
  };
}
