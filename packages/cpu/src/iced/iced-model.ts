import { type Va, va } from '@dumpscope/core';
import type { Condition, Flow, Instruction, MemoryOperand, Operand, Register } from '../instruction.ts';
import * as glue from './iced-glue.gen.ts';
import { iced, type UsedMemory } from './iced-runtime.ts';
import {
  FlowControl,
  FULL_REGISTERS,
  MEMORY_SIZES,
  MNEMONICS,
  OpAccess,
  OpKind,
  REGISTER_NAMES,
  REGISTER_SIZES,
  RflagsBits,
} from './iced-tables.gen.ts';

/** By iced's ConditionCode. */
const CONDITIONS: readonly (Condition | null)[] = [
  null,
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
];

const COUNTED: Readonly<Record<string, Condition>> = {
  loop: 'loop',
  loope: 'loope',
  loopne: 'loopne',
  jcxz: 'cxz',
  jecxz: 'cxz',
  jrcxz: 'cxz',
};

/** iced's per-size names of string instructions -> WinDbg's one name; the SSE movsd and cmpsd are told apart by operands. */
const STRING_NAMES: Readonly<Record<string, string>> = {
  movsb: 'movs',
  movsw: 'movs',
  movsd: 'movs',
  movsq: 'movs',
  cmpsb: 'cmps',
  cmpsw: 'cmps',
  cmpsd: 'cmps',
  cmpsq: 'cmps',
  stosb: 'stos',
  stosw: 'stos',
  stosd: 'stos',
  stosq: 'stos',
  lodsb: 'lods',
  lodsw: 'lods',
  lodsd: 'lods',
  lodsq: 'lods',
  scasb: 'scas',
  scasw: 'scas',
  scasd: 'scas',
  scasq: 'scas',
  insb: 'ins',
  insw: 'ins',
  insd: 'ins',
  outsb: 'outs',
  outsw: 'outs',
  outsd: 'outs',
  xlatb: 'xlat',
};

const FLAG_LETTERS: readonly [number, string][] = [
  [RflagsBits.OF, 'o'],
  [RflagsBits.CF, 'c'],
  [RflagsBits.SF, 's'],
  [RflagsBits.ZF, 'z'],
  [RflagsBits.AF, 'a'],
  [RflagsBits.PF, 'p'],
];
const flagTexts = new Map<number, string>();

function flagText(bits: number): string {
  let text = flagTexts.get(bits);
  if (text === undefined) {
    text = FLAG_LETTERS.reduce((s, [bit, letter]) => (bits & bit ? s + letter : s), '');
    flagTexts.set(bits, text);
  }
  return text;
}

function registerName(id: number): Register {
  return REGISTER_NAMES[id] ?? '';
}

/** iced names segment registers with ids around es..gs; these four are read by every access and say nothing. */
const QUIET_SEGMENTS = new Set(['es', 'cs', 'ss', 'ds']);

type MemoryAccess = Instruction['memory'][number]['access'];
const ACCESS: Readonly<Record<number, MemoryAccess>> = {
  [OpAccess.None]: 'none',
  [OpAccess.Read]: 'read',
  [OpAccess.CondRead]: 'read',
  [OpAccess.Write]: 'write',
  [OpAccess.CondWrite]: 'write',
  [OpAccess.ReadWrite]: 'read-write',
  [OpAccess.ReadCondWrite]: 'read-write',
  [OpAccess.NoMemAccess]: 'none',
};

const REGISTER_READS = new Set<number>([
  OpAccess.Read,
  OpAccess.CondRead,
  OpAccess.ReadWrite,
  OpAccess.ReadCondWrite,
  // The old value survives when the condition is false, so the result depends on it.
  OpAccess.CondWrite,
]);
const REGISTER_WRITES = new Set<number>([
  OpAccess.Write,
  OpAccess.CondWrite,
  OpAccess.ReadWrite,
  OpAccess.ReadCondWrite,
]);

function memoryOperand(
  base: number,
  index: number,
  scale: number,
  displacement: bigint,
  segment: number,
  size: number,
  bitness: 32 | 64,
  displacementSize: number,
): MemoryOperand {
  const from = REGISTER_SIZES[base] || REGISTER_SIZES[index] || displacementSize;
  const addressSize = from === 2 || from === 4 || from === 8 ? from : bitness / 8;
  return {
    kind: 'memory',
    base: base ? registerName(base) : null,
    index: index ? registerName(index) : null,
    scale: scale as 1 | 2 | 4 | 8,
    displacement: BigInt.asIntN(addressSize * 8, displacement),
    ripRelative: false,
    segment: registerName(segment),
    addressSize,
    size,
  };
}

function explicitMemory(p: number, bitness: 32 | 64): MemoryOperand {
  const size = MEMORY_SIZES[glue.instructionMemorySize(p)] ?? 0;
  if (glue.instructionIsIpRelMemoryOperand(p))
    return {
      kind: 'memory',
      base: null,
      index: null,
      scale: 1,
      displacement: glue.instructionIpRelMemoryAddress(p),
      ripRelative: true,
      segment: registerName(glue.instructionMemorySegment(p)),
      addressSize: 8,
      size,
    };
  return memoryOperand(
    glue.instructionMemoryBase(p),
    glue.instructionMemoryIndex(p),
    glue.instructionMemoryIndexScale(p),
    glue.instructionMemoryDisplacementU64(p),
    glue.instructionMemorySegment(p),
    size,
    bitness,
    glue.instructionMemoryDisplSize(p),
  );
}

/** iced's Register ids of the string pointers, by name. */
const ID = new Map(REGISTER_NAMES.map((name, id) => [name, id]));
const idOf = (name: string): number => ID.get(name) ?? 0;
const STRING_POINTERS = new Map<number, { pointer: number; segment: number | null }>([
  [OpKind.MemorySegSI, { pointer: idOf('si'), segment: null }],
  [OpKind.MemorySegESI, { pointer: idOf('esi'), segment: null }],
  [OpKind.MemorySegRSI, { pointer: idOf('rsi'), segment: null }],
  [OpKind.MemorySegDI, { pointer: idOf('di'), segment: null }],
  [OpKind.MemorySegEDI, { pointer: idOf('edi'), segment: null }],
  [OpKind.MemorySegRDI, { pointer: idOf('rdi'), segment: null }],
  [OpKind.MemoryESDI, { pointer: idOf('di'), segment: idOf('es') }],
  [OpKind.MemoryESEDI, { pointer: idOf('edi'), segment: idOf('es') }],
  [OpKind.MemoryESRDI, { pointer: idOf('rdi'), segment: idOf('es') }],
]);

function immediate(value: bigint | number, size: number): Operand {
  return { kind: 'immediate', value: BigInt.asUintN(size * 8, BigInt(value)), size };
}

function operand(p: number, kind: number, register: number, bitness: 32 | 64): Operand | null {
  switch (kind) {
    case OpKind.Register:
      return { kind: 'register', register: registerName(register), size: REGISTER_SIZES[register] ?? 0 };
    case OpKind.NearBranch16:
    case OpKind.NearBranch32:
    case OpKind.NearBranch64:
      return { kind: 'branch', target: va(glue.instructionNearBranchTarget(p)) };
    case OpKind.Immediate8:
      return immediate(glue.instructionImmediate8(p), 1);
    case OpKind.Immediate8_2nd:
      return immediate(glue.instructionImmediate8_2nd(p), 1);
    case OpKind.Immediate16:
      return immediate(glue.instructionImmediate16(p), 2);
    case OpKind.Immediate32:
      return immediate(glue.instructionImmediate32(p), 4);
    case OpKind.Immediate64:
      return immediate(glue.instructionImmediate64(p), 8);
    case OpKind.Immediate8to16:
      return immediate(glue.instructionImmediate8to16(p), 2);
    case OpKind.Immediate8to32:
      return immediate(glue.instructionImmediate8to32(p), 4);
    case OpKind.Immediate8to64:
      return immediate(glue.instructionImmediate8to64(p), 8);
    case OpKind.Immediate32to64:
      return immediate(glue.instructionImmediate32to64(p), 8);
    case OpKind.Memory:
      return explicitMemory(p, bitness);
    default: {
      const string = STRING_POINTERS.get(kind);
      if (!string) return null;
      const size = MEMORY_SIZES[glue.instructionMemorySize(p)] ?? 0;
      const segment = string.segment ?? glue.instructionMemorySegment(p);
      return memoryOperand(string.pointer, 0, 1, 0n, segment, size, bitness, 0);
    }
  }
}

const KIND_GETTERS = [
  glue.instructionOp0Kind,
  glue.instructionOp1Kind,
  glue.instructionOp2Kind,
  glue.instructionOp3Kind,
  glue.instructionOp4Kind,
] as const;
const REGISTER_GETTERS = [
  glue.instructionOp0Register,
  glue.instructionOp1Register,
  glue.instructionOp2Register,
  glue.instructionOp3Register,
  glue.instructionOp4Register,
] as const;

function flowOf(p: number, mnemonic: string, near: boolean): Flow {
  switch (glue.instructionFlowControl(p)) {
    case FlowControl.UnconditionalBranch:
      return near ? 'jump' : 'indirect-jump';
    case FlowControl.IndirectBranch:
      return 'indirect-jump';
    case FlowControl.ConditionalBranch:
      return 'conditional';
    case FlowControl.Return:
      return 'return';
    case FlowControl.Call:
      // syscall, sysenter and vmcall are calls to iced; a far call has no near target.
      return near ? 'call' : mnemonic === 'call' ? 'indirect-call' : 'interrupt';
    case FlowControl.IndirectCall:
      return 'indirect-call';
    case FlowControl.Interrupt:
      return mnemonic === 'int3' ? 'exception' : 'interrupt';
    case FlowControl.XbeginXabortXend:
      return near ? 'conditional' : 'next';
    case FlowControl.Exception:
      return 'exception';
    default:
      return 'next';
  }
}

/** Reuses the explicit operand where it is the same cell: iced's list has no RIP-relative mark and no size under `rep`. */
function usedMemory(m: UsedMemory, bitness: 32 | 64, operands: readonly Operand[]): Instruction['memory'][number] {
  const access = ACCESS[m.access] ?? 'none';
  const base = m.base ? registerName(m.base) : null;
  const index = m.index ? registerName(m.index) : null;
  for (const op of operands) {
    if (op.kind !== 'memory' || op.base !== base || op.index !== index) continue;
    const bits = op.addressSize * 8;
    if (BigInt.asUintN(bits, op.displacement) === BigInt.asUintN(bits, m.displacement)) return { operand: op, access };
  }
  const size = MEMORY_SIZES[m.memorySize] ?? 0;
  const operand = memoryOperand(m.base, m.index, m.scale || 1, m.displacement, m.segment, size, bitness, 0);
  return { operand, access };
}

/** Bytes that are no instruction: one byte long, `???`. */
export function invalidInstruction(address: Va, byte: Uint8Array): Instruction {
  return {
    address,
    length: byte.length,
    bytes: byte,
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
}

/** Decodes one instruction into plain data; null when the bytes end inside it. */
export function decodeX86(bitness: 32 | 64, bytes: Uint8Array, offset: number, address: Va): Instruction | null {
  const engine = iced();
  const ip = bitness === 32 ? BigInt.asUintN(32, address) : address;
  const p = engine.decode(bitness, bytes, offset, ip);
  if (p === null) return null;
  if (p === 0) return invalidInstruction(address, bytes.slice(offset, offset + 1));

  const length = glue.instructionLength(p);
  const icedMnemonic = MNEMONICS[glue.instructionMnemonic(p)] ?? '???';
  const operands: Operand[] = [];
  const count = glue.instructionOpCount(p);
  const explicitSegments = new Set<string>();
  let target: Va | null = null;
  let isString = icedMnemonic === 'xlatb';
  for (let i = 0; i < count; i++) {
    const kind = KIND_GETTERS[i]?.(p) ?? 0;
    if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) {
      operands.push(immediate(glue.instructionFarBranchSelector(p), 2));
      operands.push(
        kind === OpKind.FarBranch16
          ? immediate(glue.instructionFarBranch16(p), 2)
          : immediate(glue.instructionFarBranch32(p), 4),
      );
      continue;
    }
    if (kind >= OpKind.MemorySegSI && kind < OpKind.Memory) isString = true;
    const op = operand(p, kind, kind === OpKind.Register ? (REGISTER_GETTERS[i]?.(p) ?? 0) : 0, bitness);
    if (!op) continue;
    if (op.kind === 'branch') target = op.target;
    if (op.kind === 'register' && QUIET_SEGMENTS.has(op.register)) explicitSegments.add(op.register);
    operands.push(op);
  }
  const mnemonic = isString ? (STRING_NAMES[icedMnemonic] ?? icedMnemonic) : icedMnemonic;

  const { registers, memory } = engine.info(p);
  const full = FULL_REGISTERS[bitness];
  const reads: Register[] = [];
  const writes: Register[] = [];
  for (const { register, access } of registers) {
    const name = registerName(full[register] ?? 0);
    if (QUIET_SEGMENTS.has(name) && !explicitSegments.has(name)) continue;
    if (REGISTER_READS.has(access) && !reads.includes(name)) reads.push(name);
    if (REGISTER_WRITES.has(access) && !writes.includes(name)) writes.push(name);
  }

  let rep: Instruction['rep'] = null;
  if (glue.instructionHasRepnePrefix(p)) rep = 'repne';
  else if (glue.instructionHasRepPrefix(p)) rep = mnemonic === 'cmps' || mnemonic === 'scas' ? 'repe' : 'rep';

  const modified = glue.instructionRflagsModified(p);
  const undefinedFlags = glue.instructionRflagsUndefined(p);
  return {
    address,
    length,
    bytes: bytes.slice(offset, offset + length),
    mnemonic,
    operands,
    flow: flowOf(p, mnemonic, target !== null),
    target,
    condition: COUNTED[mnemonic] ?? CONDITIONS[glue.instructionConditionCode(p)] ?? null,
    lock: glue.instructionHasLockPrefix(p),
    rep,
    reads,
    writes,
    memory: memory.map((m) => usedMemory(m, bitness, operands)),
    flagsRead: flagText(glue.instructionRflagsRead(p)),
    flagsWritten: flagText(modified & ~undefinedFlags),
    flagsUndefined: flagText(undefinedFlags),
    valid: true,
  };
}
