import type { Instruction } from '../instruction.ts';
import { CONDITION_CODES, testCondition } from './arithmetic.ts';
import { type Machine, NEXT } from './machine.ts';
import { compileAddress, compilePlace, FULL, registerBySize, registerPlace } from './places.ts';
import { ARITHMETIC_FLAGS, FLAG } from './state.ts';
import { type Compile, isSame, noOperation, pair, single } from './step.ts';

const AX = registerBySize(0);
const DX = registerBySize(2);
const STACK = 4;
const FRAME = 5;

const move: Compile = (instruction, is64) => {
  const operands = pair(instruction, is64);
  if (!operands) return null;
  const [a, b] = operands;
  return (m) => {
    a.locate(m);
    b.locate(m);
    const lo = b.load(m);
    a.store(m, lo, m.hi, m.known, m.why);
    return NEXT;
  };
};

function extend(signed: boolean): Compile {
  return (instruction, is64) => {
    const operands = pair(instruction, is64);
    if (!operands) return null;
    const [a, b] = operands;
    const from = b.size;
    const top = 1 << (from - 1);
    const upper = FULL[a.size] & ~FULL[from];
    return (m) => {
      b.locate(m);
      let lo = b.load(m);
      let hi = m.hi;
      const known = m.known;
      const why = m.why;
      if (signed && from !== 8) {
        if (from === 1) lo = (lo << 24) >> 24;
        else if (from === 2) lo = (lo << 16) >> 16;
        hi = lo >> 31;
      }
      const known2 = !signed || known & top ? known | upper : known;
      a.store(m, lo, hi, known2, why);
      return NEXT;
    };
  };
}

const loadAddress: Compile = (instruction, is64) => {
  const [target, source] = instruction.operands;
  const a = compilePlace(target, is64);
  if (!a || source?.kind !== 'memory') return null;
  const locate = compileAddress(source, true, false);
  if (!locate) return null;
  return (m) => {
    locate(m);
    if (m.addressKnown) a.store(m, m.addressLo, m.addressHi, FULL[a.size], 0);
    else a.store(m, 0, 0, 0, m.addressWhy);
    return NEXT;
  };
};

const exchange: Compile = (instruction, is64) => {
  const operands = pair(instruction, is64);
  if (!operands) return null;
  const [a, b] = operands;
  // `xchg ax,ax` and friends; a 32-bit one in 64-bit mode still clears the upper half (opcode 87, not 90).
  if (isSame(a, b) && instruction.bytes.at(-1) === 0x90) return noOperation;
  return (m) => {
    a.locate(m);
    b.locate(m);
    const bLo = b.load(m);
    const bHi = m.hi;
    const bKnown = m.known;
    const bWhy = m.why;
    const aLo = a.load(m);
    const aHi = m.hi;
    const aKnown = m.known;
    const aWhy = m.why;
    a.store(m, bLo, bHi, bKnown, bWhy);
    b.store(m, aLo, aHi, aKnown, aWhy);
    return NEXT;
  };
};

/** Moves the stack pointer; false (and halted) when it is unknown. */
function moveStack(m: Machine, delta: number): void {
  const lo = m.lo[STACK] ?? 0;
  const sum = (lo >>> 0) + delta;
  m.lo[STACK] = sum | 0;
  if (m.is64) m.hiWords[STACK] = ((m.hiWords[STACK] ?? 0) + (sum > 0xffffffff ? 1 : sum < 0 ? -1 : 0)) | 0;
}

function locateStack(m: Machine): boolean {
  m.addressLo = m.lo[STACK] ?? 0;
  m.addressHi = m.hiWords[STACK] ?? 0;
  m.addressKnown = m.knownBytes[STACK] === 0xff;
  m.addressWhy = m.whyIds[STACK] ?? 0;
  return m.addressKnown;
}

export function pushValue(m: Machine, size: 2 | 4 | 8, lo: number, hi: number, known: number, why: number): void {
  moveStack(m, -size);
  locateStack(m);
  m.storeMemory(size, lo, hi, known, why);
}

/** Pops into the result registers; returns the low word. */
export function popValue(m: Machine, size: 2 | 4 | 8): number {
  locateStack(m);
  const value = m.loadMemory(size);
  moveStack(m, size);
  return value;
}

export function addToStack(m: Machine, bytes: number): void {
  moveStack(m, bytes);
}

/** Bytes that a stack operation moves: iced gives it as the size of the implicit memory operand. */
function stackSize(instruction: Instruction, is64: boolean): 2 | 4 | 8 {
  const stack = instruction.memory.find((x) => x.operand.base === 'rsp' || x.operand.base === 'esp');
  const size = stack?.operand.size;
  return size === 2 || size === 4 || size === 8 ? size : is64 ? 8 : 4;
}

const push: Compile = (instruction, is64) => {
  const a = single(instruction, is64);
  if (!a) return null;
  const size = a.size === 2 ? 2 : is64 ? 8 : 4;
  return (m) => {
    a.locate(m);
    const lo = a.load(m);
    pushValue(m, size, lo, m.hi, m.known, m.why);
    return NEXT;
  };
};

const pop: Compile = (instruction, is64) => {
  const a = single(instruction, is64);
  if (!a) return null;
  const size = a.size === 2 ? 2 : is64 ? 8 : 4;
  return (m) => {
    const lo = popValue(m, size);
    const { hi, known, why } = m;
    // An address with the stack pointer in it is computed after the pop.
    a.locate(m);
    a.store(m, lo, hi, known, why);
    return NEXT;
  };
};

const pushFlags: Compile = (instruction, is64) => {
  const size = stackSize(instruction, is64);
  return (m) => {
    const all = ARITHMETIC_FLAGS | FLAG.d;
    const value = ((m.otherFlags | (m.flags & all)) & ~0x30000) | 2;
    // CF…SF are in byte 0, DF and OF (with IF and IOPL) in byte 1.
    const low = FLAG.c | FLAG.p | FLAG.a | FLAG.z | FLAG.s;
    const high = FLAG.d | FLAG.o;
    let known = 0xf0;
    if ((m.flagsKnown & low) === low) known |= 1;
    if (m.otherFlagsKnown) known |= 12;
    if (m.otherFlagsKnown && (m.flagsKnown & high) === high) known |= 2;
    pushValue(m, size, value, 0, known, m.flagsWhy);
    return NEXT;
  };
};

const popFlags: Compile = (instruction, is64) => {
  const size = stackSize(instruction, is64);
  return (m) => {
    const value = popValue(m, size);
    const { known, why } = m;
    const all = ARITHMETIC_FLAGS | FLAG.d;
    const bits = (known & 1 ? 0xff : 0) | (known & 2 ? 0xff00 : 0);
    m.setFlags(all & bits, value);
    m.forgetFlags(all & ~bits, why);
    if (value & bits & 0x100) m.stopFault('single-step trap');
    // VIF, VIP and VM stay, RF clears; in the kernel IF and IOPL are written.
    if (known & 2) m.otherFlags = (m.otherFlags & ~0x7200) | (value & 0x7200);
    else m.otherFlagsKnown = false;
    return NEXT;
  };
};

const leave: Compile = (_, is64) => {
  const frame = registerPlace(FRAME, is64 ? 8 : 4);
  const stack = registerPlace(STACK, is64 ? 8 : 4);
  return (m) => {
    const lo = frame.load(m);
    stack.store(m, lo, m.hi, m.known, m.why);
    const value = popValue(m, is64 ? 8 : 4);
    frame.store(m, value, m.hi, m.known, m.why);
    return NEXT;
  };
};

const enter: Compile = (instruction, is64) => {
  const [bytes, level] = instruction.operands;
  if (bytes?.kind !== 'immediate' || level?.kind !== 'immediate' || level.value !== 0n) return null;
  const size = is64 ? 8 : 4;
  const frame = registerPlace(FRAME, size);
  const stack = registerPlace(STACK, size);
  const count = Number(bytes.value);
  return (m) => {
    const lo = frame.load(m);
    pushValue(m, size, lo, m.hi, m.known, m.why);
    const top = stack.load(m);
    frame.store(m, top, m.hi, m.known, m.why);
    moveStack(m, -count);
    return NEXT;
  };
};

const pushAll: Compile = (instruction) => {
  const size = stackSize(instruction, false) === 2 ? 2 : 4;
  return (m) => {
    const sp = registerPlace(STACK, size).load(m);
    const { known, why } = m;
    for (let i = 0; i < 8; i++) {
      const place = registerPlace(i, size);
      if (i === STACK) pushValue(m, size, sp, 0, known, why);
      else {
        const lo = place.load(m);
        pushValue(m, size, lo, 0, m.known, m.why);
      }
    }
    return NEXT;
  };
};

const popAll: Compile = (instruction) => {
  const size = stackSize(instruction, false) === 2 ? 2 : 4;
  return (m) => {
    for (let i = 7; i >= 0; i--) {
      const lo = popValue(m, size);
      if (i !== STACK) registerPlace(i, size).store(m, lo, 0, m.known, m.why);
    }
    return NEXT;
  };
};

/** cbw, cwde, cdqe: sign-extends the accumulator from half its size. */
function widen(from: 1 | 2 | 4): Compile {
  const a = AX[from];
  const to = AX[(from * 2) as 2 | 4 | 8];
  return () => (m) => {
    let lo = a.load(m);
    const known = m.known;
    const why = m.why;
    if (from === 1) lo = (lo << 24) >> 24;
    else if (from === 2) lo = (lo << 16) >> 16;
    const top = known & (1 << (from - 1));
    to.store(m, lo, lo >> 31, top ? known | (FULL[to.size] & ~FULL[from]) : known, why);
    return NEXT;
  };
}

/** cwd, cdq, cqo: fills the data register with the accumulator's sign. */
function spread(size: 2 | 4 | 8): Compile {
  const a = AX[size];
  const d = DX[size];
  return () => (m) => {
    const lo = a.load(m);
    const sign = size === 8 ? m.hi >> 31 : size === 4 ? lo >> 31 : (lo << 16) >> 31;
    const top = m.known & (1 << (size - 1));
    d.store(m, sign, sign, top ? FULL[size] : 0, m.why);
    return NEXT;
  };
}

const setOn: Compile = (instruction, is64) => {
  const a = single(instruction, is64);
  const code = CONDITION_CODES[instruction.condition ?? ''];
  if (!a || code === undefined) return null;
  return (m) => {
    const truth = testCondition(m, code);
    a.locate(m);
    a.store(m, truth ? 1 : 0, 0, truth === null ? 0 : 1, m.flagsWhy);
    return NEXT;
  };
};

const moveOn: Compile = (instruction, is64) => {
  const operands = pair(instruction, is64);
  const code = CONDITION_CODES[instruction.condition ?? ''];
  if (!operands || code === undefined) return null;
  const [a, b] = operands;
  return (m) => {
    const truth = testCondition(m, code);
    b.locate(m);
    const bLo = b.load(m);
    const bHi = m.hi;
    const bKnown = m.known;
    const bWhy = m.why;
    const aLo = a.load(m);
    if (truth === true) a.store(m, bLo, bHi, bKnown, bWhy);
    else if (truth === false) a.store(m, aLo, m.hi, m.known, m.why);
    else a.store(m, 0, 0, 0, m.flagsWhy);
    return NEXT;
  };
};

const storeFlags: Compile = () => (m) => {
  const low = FLAG.c | FLAG.p | FLAG.a | FLAG.z | FLAG.s;
  const ah = registerPlace(0, 1, 8);
  ah.store(m, (m.flags & low) | 2, 0, (m.flagsKnown & low) === low ? 1 : 0, m.flagsWhy);
  return NEXT;
};

const loadFlags: Compile = () => (m) => {
  const low = FLAG.c | FLAG.p | FLAG.a | FLAG.z | FLAG.s;
  const value = registerPlace(0, 1, 8).load(m);
  if (m.known & 1) m.setFlags(low, value);
  else m.forgetFlags(low, m.why);
  return NEXT;
};

function flag(mask: number, value: 0 | 1): Compile {
  return () => (m) => {
    m.setFlags(mask, value ? mask : 0);
    return NEXT;
  };
}

const complementCarry: Compile = () => (m) => {
  m.flags ^= FLAG.c;
  return NEXT;
};

/** Only IF: pushf shows it. */
function interrupts(value: 0 | 1): Compile {
  return () => (m) => {
    m.otherFlags = (m.otherFlags & ~0x200) | (value << 9);
    return NEXT;
  };
}

/** xlat: the byte at rbx + al. */
const translate: Compile = (instruction, is64) => {
  const op = instruction.operands.at(-1);
  if (op?.kind !== 'memory') return null;
  const address = compileAddress({ ...op, index: null }, is64, true);
  if (!address) return null;
  const al = AX[1];
  return (m) => {
    address(m);
    const index = al.load(m);
    if (!(m.known & 1)) {
      al.store(m, 0, 0, 0, m.why);
      return NEXT;
    }
    const sum = (m.addressLo >>> 0) + index;
    m.addressLo = sum | 0;
    if (m.is64 && op.addressSize === 8) m.addressHi = (m.addressHi + (sum > 0xffffffff ? 1 : 0)) | 0;
    const lo = m.loadMemory(1);
    al.store(m, lo, 0, m.known, m.why);
    return NEXT;
  };
};

const ignore: Compile = () => noOperation;

function table(names: readonly string[], compile: Compile): Record<string, Compile> {
  return Object.fromEntries(names.map((n) => [n, compile]));
}

const SUFFIXES = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];

export const DATA: Readonly<Record<string, Compile>> = {
  mov: move,
  movzx: extend(false),
  movsx: extend(true),
  movsxd: extend(true),
  lea: loadAddress,
  xchg: exchange,
  push,
  pop,
  pushf: pushFlags,
  pushfd: pushFlags,
  pushfq: pushFlags,
  popf: popFlags,
  popfd: popFlags,
  popfq: popFlags,
  pusha: pushAll,
  pushad: pushAll,
  popa: popAll,
  popad: popAll,
  leave,
  enter,
  cbw: widen(1),
  cwde: widen(2),
  cdqe: widen(4),
  cwd: spread(2),
  cdq: spread(4),
  cqo: spread(8),
  lahf: storeFlags,
  sahf: loadFlags,
  clc: flag(FLAG.c, 0),
  stc: flag(FLAG.c, 1),
  cmc: complementCarry,
  cld: flag(FLAG.d, 0),
  std: flag(FLAG.d, 1),
  cli: interrupts(0),
  sti: interrupts(1),
  xlat: translate,
  ...table(
    SUFFIXES.map((s) => `set${s}`),
    setOn,
  ),
  ...table(
    SUFFIXES.map((s) => `cmov${s}`),
    moveOn,
  ),
  // What a spinning processor does to wait, and what changes nothing that a program can see.
  ...table(
    [
      ...['nop', 'pause', 'mfence', 'lfence', 'sfence', 'endbr32', 'endbr64', 'reservednop', 'wait'],
      ...['prefetchnta', 'prefetcht0', 'prefetcht1', 'prefetcht2', 'prefetchw', 'prefetch', 'clflush', 'clflushopt'],
      ...['clwb', 'cldemote', 'wbinvd', 'invd', 'invlpg', 'serialize', 'monitor', 'mwait', 'monitorx', 'mwaitx'],
      ...['umonitor', 'clac', 'stac'],
    ],
    ignore,
  ),
};
