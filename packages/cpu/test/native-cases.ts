/** Random single instructions with states in which they mostly do not fault; for native.test.ts. */

export const REGION = 0x10000800n;
export const TEST = 0x20002000n;
export const TAKEN = TEST + 0x60n;
const M64 = (1n << 64n) - 1n;

/** mulberry32 */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(n: number): number {
    return this.u32() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  /** Full-range, small and boundary values. */
  word(): bigint {
    const full = (BigInt(this.u32()) << 32n) | BigInt(this.u32());
    switch (this.below(6)) {
      case 0:
        return BigInt(this.below(70));
      case 1:
        return M64 - BigInt(this.below(70));
      case 2:
        return (1n << BigInt(this.below(64))) - BigInt(this.below(2));
      case 3:
        return BigInt(this.u32());
      default:
        return full;
    }
  }
}

/** The region's bytes for a seed: xorshift64, as the harness fills it. */
export function regionOf(seed: bigint): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  let x = seed;
  for (let i = 0; i < 32; i++) {
    x ^= (x << 13n) & M64;
    x ^= x >> 7n;
    x ^= (x << 17n) & M64;
    view.setBigUint64(8 * i, x, true);
  }
  return bytes;
}

export interface Case {
  readonly bits: 32 | 64;
  readonly code: Uint8Array;
  readonly registers: bigint[];
  readonly flags: number;
  readonly seed: bigint;
  readonly memory: Uint8Array;
  readonly patch: bigint;
  readonly patchOffset: number;
}

type Size = 1 | 2 | 4 | 8;

class Builder {
  readonly r: Random;
  readonly bits: 32 | 64;
  readonly registers: bigint[];
  memory: Uint8Array;
  flags: number;
  patch = 0n;
  patchOffset = 0xffff;
  prefixes: number[] = [];
  rex = 0;
  opcode: number[] = [];
  tail: number[] = [];
  ripAt = -1;
  ripTarget = 0n;

  constructor(r: Random, bits: 32 | 64, memory: Uint8Array) {
    this.r = r;
    this.bits = bits;
    this.memory = memory;
    const n = bits === 64 ? 16 : 8;
    this.registers = Array.from({ length: 16 }, (_, i) =>
      i >= n ? 0n : bits === 64 ? r.word() : r.word() & 0xffffffffn,
    );
    this.registers[4] = REGION + BigInt(0x60 + 8 * r.below(8));
    this.flags = (r.u32() & 0xcd5) | 0x202;
  }

  /** A general operand size, with its prefix. */
  size(): Size {
    const size = this.r.pick(this.bits === 64 ? ([1, 2, 4, 8] as const) : ([1, 2, 4] as const));
    this.useSize(size);
    return size;
  }
  wideSize(): 2 | 4 | 8 {
    const size = this.r.pick(this.bits === 64 ? ([2, 4, 8] as const) : ([2, 4] as const));
    this.useSize(size);
    return size;
  }
  useSize(size: Size): void {
    if (size === 2) this.prefixes.push(0x66);
    if (size === 8) this.rex |= 8;
  }
  setRegister(index: number, value: bigint): void {
    this.registers[index] = value & (this.bits === 64 ? M64 : 0xffffffffn);
  }
  anyRegister(): number {
    return this.r.below(this.bits === 64 ? 16 : 8);
  }
  /** A register that is not the stack pointer. */
  freeRegister(): number {
    const n = this.anyRegister();
    return n === 4 ? 0 : n;
  }
  offset = 0;

  /** ModRM with the given reg field; memory operands point into the region at `this.offset`. */
  modrm(reg: number, form: 'any' | 'memory' | 'register' = 'any', target?: number): number {
    if (reg & 8) this.rex |= 4;
    const register = form === 'register' || (form === 'any' && this.r.chance(50));
    if (register) {
      const rm = this.anyRegister();
      if (rm & 8) this.rex |= 1;
      this.tail.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
      return rm;
    }
    this.offset = target ?? this.r.below(0xe0);
    const where = REGION + BigInt(this.offset);
    const disp8 = (this.r.below(256) << 24) >> 24;
    switch (this.r.below(5)) {
      case 0: {
        // disp32: RIP-relative in 64-bit mode
        this.tail.push(((reg & 7) << 3) | 5);
        this.ripAt = this.tail.length;
        this.ripTarget = where;
        this.tail.push(0, 0, 0, 0);
        return -1;
      }
      case 1: {
        const base = this.freeRegister();
        const index = this.freeRegister();
        const scale = this.r.below(4);
        if (base & 8) this.rex |= 1;
        if (index & 8) this.rex |= 2;
        const d = BigInt(disp8);
        if (index === base) {
          // base * (1 + 2^scale) must give the address: use an odd multiplier's inverse only for scale 0
          this.setRegister(base, where - d);
          this.tail.push(0x44 | ((reg & 7) << 3), 0x20 | (base & 7), disp8 & 0xff);
          this.rex &= ~2;
          return -1;
        }
        this.setRegister(base, where - d - (this.registers[index] ?? 0n) * BigInt(1 << scale));
        this.tail.push(0x44 | ((reg & 7) << 3), (scale << 6) | ((index & 7) << 3) | (base & 7), disp8 & 0xff);
        return -1;
      }
      case 2: {
        // rsp base
        const d = this.r.below(0x20);
        this.setRegister(4, where - BigInt(d));
        this.tail.push(0x44 | ((reg & 7) << 3), 0x24, d);
        return -1;
      }
      default: {
        let base = this.freeRegister();
        if ((base & 7) === 4) base = 3;
        if (base & 8) this.rex |= 1;
        if (this.r.chance(50)) {
          this.setRegister(base, where - BigInt(disp8));
          this.tail.push(0x40 | ((reg & 7) << 3) | (base & 7), disp8 & 0xff);
        } else {
          const d = this.r.u32() | 0;
          this.setRegister(base, where - BigInt(d));
          this.tail.push(0x80 | ((reg & 7) << 3) | (base & 7), d & 0xff, (d >> 8) & 0xff, (d >> 16) & 0xff, d >>> 24);
        }
        return -1;
      }
    }
  }
  immediate(size: 1 | 2 | 4 | 8): void {
    const value = this.r.word();
    for (let i = 0; i < size; i++) this.tail.push(Number((value >> BigInt(8 * i)) & 0xffn));
  }
  finish(): Uint8Array {
    const bytes = [...this.prefixes];
    if (this.bits === 64 && (this.rex || (!this.fixedRex && this.r.chance(10)))) bytes.push(0x40 | this.rex);
    bytes.push(...this.opcode);
    if (this.ripAt >= 0) {
      const at = this.ripAt;
      const end = TEST + BigInt(bytes.length + this.tail.length);
      const value = Number((this.bits === 64 ? this.ripTarget - end : this.ripTarget) & 0xffffffffn);
      for (let i = 0; i < 4; i++) this.tail[at + i] = (value >>> (8 * i)) & 0xff;
    }
    bytes.push(...this.tail);
    return Uint8Array.from(bytes);
  }
  /** True when the memory operand's address uses the register. */
  usesRegister(index: number): boolean {
    const modrm = this.tail[0] ?? 0;
    if (modrm >> 6 === 3 || this.ripAt >= 0) return false;
    if ((modrm & 7) !== 4) return ((modrm & 7) | (this.rex & 1 ? 8 : 0)) === index;
    const sib = this.tail[1] ?? 0;
    const sibIndex = ((sib >> 3) & 7) | (this.rex & 2 ? 8 : 0);
    return ((sib & 7) | (this.rex & 1 ? 8 : 0)) === index || (sibIndex !== 4 && sibIndex === index);
  }
  /** Relative displacement of `size` bytes to the taken stub, at the end of the instruction. */
  relative(size: 1 | 4): void {
    this.ripAt = -1;
    const length = this.prefixes.length + (this.rex ? 1 : 0) + this.opcode.length + size;
    const value = Number(TAKEN - TEST) - length;
    for (let i = 0; i < size; i++) this.tail.push((value >> (8 * i)) & 0xff);
    this.fixedRex = true;
  }
  fixedRex = false;
  vex(map: number, pp: number, w: number, vvvv: number, reg: number, opcode: number): void {
    // Built after modrm() has set REX bits for rm and index.
    const { rex } = this;
    this.rex = 0;
    this.fixedRex = true;
    const rBit = reg & 8 ? 0 : 0x80;
    const xBit = rex & 2 ? 0 : 0x40;
    const bBit = rex & 1 ? 0 : 0x20;
    this.opcode = [0xc4, rBit | xBit | bBit | map, (w << 7) | ((~vvvv & 15) << 3) | pp, opcode];
  }
}

type Maker = (b: Builder) => void;
const ALU = [0, 1, 2, 3, 4, 5, 6, 7];

const MAKERS: readonly (readonly [weight: number, make: Maker])[] = [
  // add or adc sbb and sub xor cmp in all register and memory forms
  [
    8,
    (b) => {
      const op = b.r.pick(ALU);
      const size = b.size();
      b.opcode = [(op << 3) | (size === 1 ? 0 : 1) | (b.r.below(2) << 1)];
      const reg = b.anyRegister();
      const rm = b.modrm(reg);
      if (b.r.chance(10) && rm >= 0) b.setRegister(rm, b.registers[reg] ?? 0n);
    },
  ],
  [
    5,
    (b) => {
      const op = b.r.pick(ALU);
      const size = b.size();
      if (size === 1) b.opcode = [0x80];
      else b.opcode = [b.r.pick([0x81, 0x83])];
      b.modrm(op);
      b.immediate(b.opcode[0] === 0x81 ? (size === 2 ? 2 : 4) : 1);
    },
  ],
  [
    2,
    (b) => {
      const op = b.r.pick(ALU);
      const size = b.size();
      b.opcode = [(op << 3) | (size === 1 ? 4 : 5)];
      b.immediate(size === 1 ? 1 : size === 2 ? 2 : 4);
    },
  ],
  // locked read-modify-write
  [
    3,
    (b) => {
      b.prefixes.push(0xf0);
      const size = b.size();
      const op = b.r.below(7);
      b.opcode = [(op << 3) | (size === 1 ? 0 : 1)];
      b.modrm(b.anyRegister(), 'memory');
    },
  ],
  [
    3,
    (b) => {
      const size = b.size();
      b.opcode = [size === 1 ? 0x84 : 0x85];
      b.modrm(b.anyRegister());
    },
  ],
  // F6/F7: test, not, neg, mul, imul, div, idiv
  [
    8,
    (b) => {
      const size = b.size();
      b.opcode = [size === 1 ? 0xf6 : 0xf7];
      const op = b.r.pick([0, 2, 3, 4, 5, 6, 7, 6, 7]);
      b.modrm(op);
      if (op === 0) b.immediate(size === 1 ? 1 : size === 2 ? 2 : 4);
      if (op >= 6) {
        const high = b.r.below(3);
        if (size === 1) {
          const ax = high === 0 ? BigInt(b.r.below(0x100)) : high === 1 ? BigInt(b.r.below(0x4000)) : b.r.word();
          b.setRegister(0, (((b.registers[0] ?? 0n) >> 16n) << 16n) | (ax & 0xffffn));
        } else if (high === 0) b.setRegister(2, 0n);
        else if (high === 1) {
          const sign = ((b.registers[0] ?? 0n) >> BigInt(size * 8 - 1)) & 1n;
          b.setRegister(2, sign ? M64 : 0n);
        } else b.setRegister(2, BigInt(b.r.below(4)));
      }
    },
  ],
  [
    4,
    (b) => {
      const size = b.size();
      b.opcode = [size === 1 ? 0xfe : 0xff];
      b.modrm(b.r.below(2));
    },
  ],
  [
    2,
    (b) => {
      if (b.bits === 64) {
        b.useSize(8);
        b.opcode = [0xff];
        b.modrm(b.r.below(2));
      } else {
        if (b.r.chance(30)) b.useSize(2);
        b.opcode = [0x40 | b.r.below(16)];
      }
    },
  ],
  // mov, movzx, movsx, movsxd, lea, xchg
  [
    4,
    (b) => {
      const size = b.size();
      b.opcode = [0x88 | (size === 1 ? 0 : 1) | (b.r.below(2) << 1)];
      b.modrm(b.anyRegister());
    },
  ],
  [
    2,
    (b) => {
      const size = b.size();
      b.opcode = [size === 1 ? 0xc6 : 0xc7];
      b.modrm(0);
      b.immediate(size === 1 ? 1 : size === 2 ? 2 : 4);
    },
  ],
  [
    1,
    (b) => {
      const size = b.size();
      const reg = b.anyRegister();
      if (reg & 8) b.rex |= 1;
      b.opcode = [(size === 1 ? 0xb0 : 0xb8) | (reg & 7)];
      b.immediate(size);
    },
  ],
  [
    4,
    (b) => {
      b.wideSize();
      b.opcode = [0x0f, b.r.pick([0xb6, 0xb7, 0xbe, 0xbf])];
      b.modrm(b.anyRegister());
    },
  ],
  [
    1,
    (b) => {
      if (b.bits === 64) b.useSize(8);
      b.opcode = b.bits === 64 ? [0x63] : [0x0f, 0xbf];
      b.modrm(b.anyRegister());
    },
  ],
  [
    3,
    (b) => {
      b.wideSize();
      b.opcode = [0x8d];
      b.modrm(b.anyRegister(), 'memory');
    },
  ],
  [
    3,
    (b) => {
      const size = b.size();
      b.opcode = [size === 1 ? 0x86 : 0x87];
      b.modrm(b.anyRegister());
    },
  ],
  [
    1,
    (b) => {
      b.wideSize();
      const reg = b.anyRegister();
      if (reg & 8) b.rex |= 1;
      b.opcode = [0x90 | (reg & 7)];
    },
  ],
  // stack
  [
    2,
    (b) => {
      if (b.r.chance(20)) b.useSize(2);
      const reg = b.anyRegister();
      if (reg & 8) b.rex |= 1;
      b.opcode = [b.r.pick([0x50, 0x58]) | (reg & 7)];
    },
  ],
  [
    2,
    (b) => {
      const isPush = b.r.chance(50);
      b.opcode = isPush ? [0xff] : [0x8f];
      const rsp = b.registers[4] ?? 0n;
      b.modrm(isPush ? 6 : 0, 'any', 0x40 + b.r.below(0x40));
      // A pop to an rsp-based operand moves by one slot; keep everything inside the region.
      if (b.registers[4] !== rsp) b.setRegister(4, REGION + BigInt(0x60 + 8 * b.r.below(4)));
    },
  ],
  [
    1,
    (b) => {
      const byte = b.r.chance(50);
      b.opcode = [byte ? 0x6a : 0x68];
      b.immediate(byte ? 1 : 4);
    },
  ],
  [
    2,
    (b) => {
      if (b.r.chance(30)) b.useSize(2);
      b.opcode = [b.r.pick([0x9c, 0x9d])];
      b.patchOffset = Number((b.registers[4] ?? 0n) - REGION);
      b.patch = BigInt((b.r.u32() & 0xcd5) | 0x202);
    },
  ],
  [
    1,
    (b) => {
      if (b.bits === 64 || b.r.chance(50)) {
        b.opcode = [0xc9];
        b.setRegister(5, REGION + BigInt(b.r.below(0xe0)));
      } else b.opcode = [b.r.pick([0x60, 0x61])];
    },
  ],
  [
    1,
    (b) => {
      b.opcode = [0xc8, b.r.below(0x40), 0, 0];
    },
  ],
  // shifts and rotates
  [
    10,
    (b) => {
      const size = b.size();
      const op = b.r.pick([0, 1, 2, 3, 4, 5, 7]);
      const form = b.r.below(3);
      b.opcode = [(form === 0 ? 0xc0 : form === 1 ? 0xd0 : 0xd2) | (size === 1 ? 0 : 1)];
      b.modrm(op);
      if (form === 0) b.tail.push(b.r.chance(80) ? b.r.below(66) : b.r.below(256));
      if (form === 2 && b.r.chance(80)) {
        const rest = ((b.registers[1] ?? 0n) >> 8n) << 8n;
        if (b.ripAt >= 0 || b.offset === 0) b.setRegister(1, rest | BigInt(b.r.below(70)));
      }
    },
  ],
  [
    3,
    (b) => {
      b.wideSize();
      const immediate = b.r.chance(60);
      const right = b.r.chance(50);
      b.opcode = [0x0f, (right ? 0xac : 0xa4) | (immediate ? 0 : 1)];
      b.modrm(b.anyRegister());
      if (immediate) b.tail.push(b.r.below(66));
    },
  ],
  // bit tests and scans
  [
    6,
    (b) => {
      const lock = b.r.chance(30);
      const op = b.r.below(4);
      if (lock && op > 0) b.prefixes.push(0xf0);
      const size = b.wideSize();
      const form = lock && op > 0 ? 'memory' : 'any';
      if (b.r.chance(50)) {
        b.opcode = [0x0f, 0xba];
        b.modrm(4 + op, form);
        b.immediate(1);
      } else {
        b.opcode = [0x0f, [0xa3, 0xab, 0xb3, 0xbb][op] ?? 0xa3];
        const reg = b.freeRegister();
        const rm = b.modrm(reg, form, 0x60);
        const index = BigInt(b.r.below(512) - 256);
        // The index register may not be part of the address.
        if (rm < 0) {
          const before = b.registers[reg] ?? 0n;
          const mask = (1n << BigInt(size * 8)) - 1n;
          if (b.usesRegister(reg)) {
            b.opcode = [0x0f, 0xba];
            b.tail[0] = ((b.tail[0] ?? 0) & 0xc7) | ((4 + op) << 3);
            b.rex &= ~4;
            b.immediate(1);
          } else b.setRegister(reg, (before & ~mask) | (index & mask));
        }
      }
    },
  ],
  [
    5,
    (b) => {
      const repeat = b.r.chance(50);
      if (repeat) b.prefixes.push(0xf3);
      b.wideSize();
      b.opcode = [0x0f, b.r.pick(repeat ? [0xbc, 0xbd, 0xb8] : [0xbc, 0xbd])];
      const rm = b.modrm(b.anyRegister());
      if (rm >= 0 && rm !== 4 && b.r.chance(30)) b.setRegister(rm, 0n);
    },
  ],
  [
    1,
    (b) => {
      if (b.bits === 64 && b.r.chance(50)) b.useSize(8);
      const reg = b.anyRegister();
      if (reg & 8) b.rex |= 1;
      b.opcode = [0x0f, 0xc8 | (reg & 7)];
    },
  ],
  // conditions
  [
    4,
    (b) => {
      b.wideSize();
      b.opcode = [0x0f, 0x40 | b.r.below(16)];
      b.modrm(b.anyRegister());
    },
  ],
  [
    2,
    (b) => {
      b.opcode = [0x0f, 0x90 | b.r.below(16)];
      b.modrm(0);
    },
  ],
  [
    3,
    (b) => {
      if (b.r.chance(50)) {
        b.opcode = [0x70 | b.r.below(16)];
        b.relative(1);
      } else {
        b.opcode = [0x0f, 0x80 | b.r.below(16)];
        b.relative(4);
      }
    },
  ],
  [
    1,
    (b) => {
      b.opcode = [b.r.pick([0xe0, 0xe1, 0xe2, 0xe3])];
      if (b.r.chance(60)) b.setRegister(1, BigInt(b.r.below(3)));
      b.relative(1);
    },
  ],
  // exchange and add, compare and exchange
  [
    3,
    (b) => {
      if (b.r.chance(50)) b.prefixes.push(0xf0);
      const size = b.size();
      b.opcode = [0x0f, size === 1 ? 0xc0 : 0xc1];
      b.modrm(b.anyRegister(), b.prefixes.includes(0xf0) ? 'memory' : 'any');
    },
  ],
  [
    4,
    (b) => {
      if (b.r.chance(50)) b.prefixes.push(0xf0);
      const size = b.size();
      b.opcode = [0x0f, size === 1 ? 0xb0 : 0xb1];
      const rm = b.modrm(b.anyRegister(), b.prefixes.includes(0xf0) ? 'memory' : 'any');
      if (b.r.chance(50)) {
        if (rm > 0) b.setRegister(0, b.registers[rm] ?? 0n);
        else if (rm < 0 && !b.usesRegister(0)) {
          let value = 0n;
          for (let i = 7; i >= 0; i--) value = (value << 8n) | BigInt(b.memory[b.offset + i] ?? 0);
          b.setRegister(0, value);
        }
      }
    },
  ],
  [
    2,
    (b) => {
      if (b.r.chance(50)) b.prefixes.push(0xf0);
      const wide = b.bits === 64 && b.r.chance(50);
      if (wide) b.useSize(8);
      b.opcode = [0x0f, 0xc7];
      b.modrm(1, 'memory', 16 * b.r.below(14));
      if (b.r.chance(50) && !b.usesRegister(0) && !b.usesRegister(2)) {
        const half = wide ? 8 : 4;
        const read = (at: number): bigint => {
          let v = 0n;
          for (let i = half - 1; i >= 0; i--) v = (v << 8n) | BigInt(b.memory[at + i] ?? 0);
          return v;
        };
        b.setRegister(0, read(b.offset));
        b.setRegister(2, read(b.offset + half));
      }
    },
  ],
  // multiplications
  [
    4,
    (b) => {
      const size = b.wideSize();
      const form = b.r.pick([0xaf, 0x69, 0x6b]);
      b.opcode = form === 0xaf ? [0x0f, 0xaf] : [form];
      b.modrm(b.anyRegister());
      if (form === 0x6b) b.immediate(1);
      if (form === 0x69) b.immediate(size === 2 ? 2 : 4);
    },
  ],
  // one byte
  [
    3,
    (b) => {
      if (b.r.chance(50)) b.wideSize();
      b.opcode = [b.r.pick([0x98, 0x99])];
    },
  ],
  [
    2,
    (b) => {
      b.opcode = [b.r.pick([0x9e, 0x9f, 0xf8, 0xf9, 0xf5, 0xfc, 0xfd, 0x90])];
      // pause
      if (b.opcode[0] === 0x90 && b.r.chance(50)) b.prefixes.push(0xf3);
    },
  ],
  [
    1,
    (b) => {
      b.opcode = [0xd7];
      b.setRegister(3, REGION);
    },
  ],
  // strings
  [
    6,
    (b) => {
      const size = b.size();
      const op = b.r.pick([0xa4, 0xa6, 0xaa, 0xac, 0xae]);
      b.opcode = [op | (size === 1 ? 0 : 1)];
      b.setRegister(6, REGION + BigInt(0x48 + b.r.below(0x40)));
      b.setRegister(7, REGION + BigInt(0x48 + b.r.below(0x40)));
      if (b.r.chance(20)) b.setRegister(7, b.registers[6] ?? 0n);
      if (b.r.chance(60)) {
        b.prefixes.push(b.r.pick([0xf2, 0xf3]));
        b.setRegister(1, BigInt(b.r.below(9)));
        if (op === 0xa4 || op === 0xaa || op === 0xac) b.prefixes[b.prefixes.length - 1] = 0xf3;
      }
    },
  ],
  // calls, returns, jumps
  [
    2,
    (b) => {
      const which = b.r.below(5);
      if (which === 0) {
        b.opcode = [0xe8];
        b.relative(4);
      } else if (which === 1) {
        b.opcode = [b.r.pick([0xeb, 0xe9])];
        b.relative(b.opcode[0] === 0xeb ? 1 : 4);
      } else if (which === 2) {
        b.opcode = [b.r.pick([0xc3, 0xc2])];
        if (b.opcode[0] === 0xc2) b.tail.push(b.r.below(16) * 4, 0);
        b.patchOffset = Number((b.registers[4] ?? 0n) - REGION);
        b.patch = TAKEN;
      } else {
        b.opcode = [0xff];
        const rm = b.modrm(b.r.pick([2, 4]), 'any', 0x10 + b.r.below(0x20));
        if (rm >= 0) {
          if (rm === 4) b.tail[b.tail.length - 1] = ((b.tail.at(-1) ?? 0) & ~7) | 3;
          b.setRegister(rm === 4 ? 3 : rm, TAKEN);
        } else {
          b.patchOffset = b.offset;
          b.patch = TAKEN;
          if ((b.registers[4] ?? 0n) < REGION + 0x30n) b.patchOffset = b.offset;
        }
      }
    },
  ],
  // BMI1, BMI2, ADX
  [
    4,
    (b) => {
      const w = b.bits === 64 ? b.r.below(2) : 0;
      const reg = b.anyRegister();
      const v = b.anyRegister();
      const [map, pp, opcode, ext] = b.r.pick<readonly [number, number, number, number]>([
        [2, 0, 0xf2, -1],
        [2, 0, 0xf7, -1],
        [2, 0, 0xf3, 1],
        [2, 0, 0xf3, 2],
        [2, 0, 0xf3, 3],
        [2, 0, 0xf5, -1],
        [2, 3, 0xf5, -1],
        [2, 2, 0xf5, -1],
        [2, 3, 0xf6, -1],
        [2, 1, 0xf7, -1],
        [2, 2, 0xf7, -1],
        [2, 3, 0xf7, -1],
        [3, 3, 0xf0, -2],
      ]);
      b.modrm(ext > 0 ? ext : reg);
      b.vex(map, pp, w, ext === -2 ? 0 : v, ext > 0 ? 0 : reg, opcode);
      if (ext === -2) b.immediate(1);
    },
  ],
  [
    1,
    (b) => {
      b.prefixes.push(b.r.pick([0x66, 0xf3]));
      if (b.bits === 64 && b.r.chance(50)) b.rex |= 8;
      b.opcode = [0x0f, 0x38, 0xf6];
      b.modrm(b.anyRegister());
    },
  ],
  // Not modelled: what they change must come out unknown.
  [
    2,
    (b) => {
      const which = b.r.below(6);
      if (which === 0) b.opcode = [0x0f, 0x31];
      else if (which === 1) {
        b.opcode = [0x0f, 0xa2];
        b.setRegister(0, BigInt(b.r.below(2)));
      } else if (which === 2) {
        b.prefixes.push(0xf2);
        b.opcode = [0x0f, 0x38, 0xf1];
        b.modrm(b.anyRegister());
      } else if (which === 3) {
        b.opcode = [0x0f, 0x38, b.r.pick([0xf0, 0xf1])];
        b.modrm(b.anyRegister(), 'memory');
      } else if (which === 4) {
        b.prefixes.push(0x66);
        b.opcode = [0x0f, 0x7e];
        b.modrm(b.r.below(8));
      } else {
        b.opcode = [0x0f, 0x11];
        b.modrm(b.r.below(8), 'memory', b.r.below(0xd0));
      }
    },
  ],
];

const TOTAL = MAKERS.reduce((n, [w]) => n + w, 0);

export function makeCase(r: Random, bits: 32 | 64, seeds: readonly { seed: bigint; memory: Uint8Array }[]): Case {
  const { seed, memory } = r.pick(seeds);
  const b = new Builder(r, bits, memory);
  let at = r.below(TOTAL);
  for (const [weight, make] of MAKERS) {
    at -= weight;
    if (at < 0) {
      make(b);
      break;
    }
  }
  return {
    bits,
    code: b.finish(),
    registers: b.registers,
    flags: b.flags,
    seed,
    memory,
    patch: b.patch,
    patchOffset: b.patchOffset,
  };
}
