import { CONDITION_CODES, highWord, lowWord, testCondition } from './arithmetic.ts';
import { DYNAMIC, NEXT, TAKEN } from './machine.ts';
import { nextOf } from './next.ts';
import { addToStack, popValue, pushValue } from './ops-data.ts';
import { compileAddress, FULL, registerBySize, registerPlace } from './places.ts';
import { FLAG } from './state.ts';
import { type Compile, isFull, single } from './step.ts';

const jump: Compile = (instruction, is64) => {
  if (instruction.target !== null) return () => TAKEN;
  const a = single(instruction, is64);
  if (!a || a.kind === 'immediate') return null;
  return (m) => {
    a.locate(m);
    m.jumpLo = a.load(m);
    m.jumpHi = m.hi;
    if (!isFull(m.known, a.size)) m.stopUnknown('jump', m.why);
    return DYNAMIC;
  };
};

const branch: Compile = (instruction) => {
  const code = CONDITION_CODES[instruction.condition ?? ''];
  if (code === undefined || instruction.target === null) return null;
  return (m) => {
    const truth = testCondition(m, code);
    if (truth === null) m.stopUnknown('branch', m.flagsWhy);
    return truth ? TAKEN : NEXT;
  };
};

/** jcxz, jecxz, jrcxz and the loop family; the count's width is the address size. */
const counted: Compile = (instruction, is64) => {
  const { mnemonic, condition } = instruction;
  const narrow = instruction.bytes.includes(0x67);
  if (mnemonic === 'jcxz' || (!is64 && narrow)) return null;
  const count = registerPlace(1, is64 && !narrow ? 8 : 4);
  if (condition === 'cxz')
    return (m) => {
      const lo = count.load(m);
      if (!isFull(m.known, count.size)) m.stopUnknown('branch', m.why);
      return (lo | m.hi) === 0 ? TAKEN : NEXT;
    };
  return (m) => {
    const lo = count.load(m);
    const hi = m.hi;
    if (!isFull(m.known, count.size)) {
      m.stopUnknown('branch', m.why);
      return NEXT;
    }
    const low = (lo >>> 0) - 1;
    const nextHi = count.size === 8 ? (low < 0 ? (hi - 1) | 0 : hi) : 0;
    count.store(m, low | 0, nextHi, FULL[count.size], 0);
    const more = (low | 0 | nextHi) !== 0;
    if (condition === 'loop' || !more) return more ? TAKEN : NEXT;
    if (!(m.flagsKnown & FLAG.z)) {
      m.stopUnknown('branch', m.flagsWhy);
      return NEXT;
    }
    return ((m.flags & FLAG.z) !== 0) === (condition === 'loope') ? TAKEN : NEXT;
  };
};

const call: Compile = (instruction, is64) => {
  const returnTo = nextOf(instruction, is64);
  const size = is64 ? 8 : 4;
  const lo = lowWord(returnTo);
  const hi = highWord(returnTo);
  if (instruction.target !== null)
    return (m) => {
      pushValue(m, size, lo, hi, 0xff, 0);
      return TAKEN;
    };
  const a = single(instruction, is64);
  if (!a || a.kind === 'immediate' || a.size !== size) return null;
  return (m) => {
    a.locate(m);
    const toLo = a.load(m);
    const toHi = m.hi;
    if (!isFull(m.known, size)) {
      m.stopUnknown('jump', m.why);
      return NEXT;
    }
    pushValue(m, size, lo, hi, 0xff, 0);
    m.jumpLo = toLo;
    m.jumpHi = toHi;
    return DYNAMIC;
  };
};

const ret: Compile = (instruction, is64) => {
  const size = is64 ? 8 : 4;
  const first = instruction.operands[0];
  const extra = first?.kind === 'immediate' ? Number(first.value) : 0;
  return (m) => {
    m.jumpLo = popValue(m, size);
    m.jumpHi = m.hi;
    if (!isFull(m.known, size)) {
      m.stopUnknown('jump', m.why);
      return DYNAMIC;
    }
    if (extra) addToStack(m, extra);
    return DYNAMIC;
  };
};

/** cmpxchg8b and cmpxchg16b: compare edx:eax with memory; equal: store ecx:ebx, else load edx:eax. */
function compareExchangeWide(half: 4 | 8): Compile {
  const [a, c, d, b] = [0, 1, 2, 3].map((i) => registerBySize(i)[half]);
  return (instruction, is64) => {
    const op = instruction.operands[0];
    if (!a || !b || !c || !d || op?.kind !== 'memory') return null;
    const locate = compileAddress(op, is64, true);
    if (!locate) return null;
    return (m) => {
      locate(m);
      const baseLo = m.addressLo;
      const baseHi = m.addressHi;
      const lowLo = m.loadMemory(half);
      const lowHi = m.hi;
      const lowKnown = m.known;
      const lowWhy = m.why;
      const second = (): void => {
        const sum = (baseLo >>> 0) + half;
        m.addressLo = sum | 0;
        m.addressHi = m.is64 ? (baseHi + (sum > 0xffffffff ? 1 : 0)) | 0 : 0;
      };
      const first = (): void => {
        m.addressLo = baseLo;
        m.addressHi = baseHi;
      };
      second();
      const highLo = m.loadMemory(half);
      const highHi = m.hi;
      const highKnown = m.known;
      const highWhy = m.why;
      const aLo = a.load(m);
      const aHi = m.hi;
      const aKnown = m.known;
      const aWhy = m.why;
      const dLo = d.load(m);
      const dHi = m.hi;
      if (!isFull(lowKnown & highKnown & aKnown & m.known, half)) {
        const why = !isFull(lowKnown, half)
          ? lowWhy
          : !isFull(highKnown, half)
            ? highWhy
            : isFull(aKnown, half)
              ? m.why
              : aWhy;
        m.forgetFlags(FLAG.z, why);
        second();
        m.storeMemory(half, 0, 0, 0, why);
        first();
        m.storeMemory(half, 0, 0, 0, why);
        a.store(m, 0, 0, 0, why);
        d.store(m, 0, 0, 0, why);
        return NEXT;
      }
      const equal = aLo === lowLo && aHi === lowHi && dLo === highLo && dHi === highHi;
      m.setFlags(FLAG.z, equal ? FLAG.z : 0);
      if (equal) {
        const cLo = c.load(m);
        const { hi: cHi, known: cKnown, why: cWhy } = m;
        second();
        m.storeMemory(half, cLo, cHi, cKnown, cWhy);
        const bLo = b.load(m);
        const { hi: bHi, known: bKnown, why: bWhy } = m;
        first();
        m.storeMemory(half, bLo, bHi, bKnown, bWhy);
      } else {
        a.store(m, lowLo, lowHi, FULL[half], 0);
        d.store(m, highLo, highHi, FULL[half], 0);
      }
      return NEXT;
    };
  };
}

const trap: Compile = (instruction) => (m) => {
  m.stopFault(
    instruction.mnemonic === 'int3' ? 'breakpoint' : instruction.mnemonic === 'ud2' ? 'ud2' : 'no instruction',
  );
  return NEXT;
};

const halt: Compile = () => (m) => {
  // Waits for an interrupt, which a dump does not tell.
  m.stopUnknown('instruction', m.undetermined('hlt'));
  return NEXT;
};

export const CONTROL: Readonly<Record<string, Compile>> = {
  jmp: jump,
  call,
  ret,
  jcxz: counted,
  jecxz: counted,
  jrcxz: counted,
  loop: counted,
  loope: counted,
  loopne: counted,
  cmpxchg8b: compareExchangeWide(4),
  cmpxchg16b: compareExchangeWide(8),
  int3: trap,
  ud2: trap,
  ud0: trap,
  ud1: trap,
  '???': trap,
  hlt: halt,
  ...Object.fromEntries(Object.keys(CONDITION_CODES).map((c) => [`j${c}`, branch])),
};
