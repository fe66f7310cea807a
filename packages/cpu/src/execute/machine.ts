import { type Va, va } from '@dumpscope/core';
import { Cells } from './cells.ts';
import {
  ARITHMETIC_FLAGS,
  type CpuState,
  FLAG,
  type MemoryPort,
  type UnknownSource,
  X64_REGISTERS,
  X86_REGISTERS,
} from './state.ts';

/** Why an execution cannot go on. */
export type Halt =
  | {
      readonly kind: 'unknown';
      /** What needed the unknown value. */
      readonly what: 'branch' | 'jump' | 'load' | 'store' | 'count' | 'instruction' | 'call' | 'memory-limit';
      readonly source: UnknownSource | null;
    }
  | { readonly kind: 'fault'; readonly what: string; readonly address: Va | null };

/** What a compiled instruction returns: go to the next one, to its direct target, or to `jumpLo:jumpHi`. */
export const NEXT = 0;
export const TAKEN = 1;
export const DYNAMIC = 2;
/** A string instruction with a prefix that has more to do. */
export const AGAIN = 3;

/**
 * The state that compiled instructions work on. 64-bit values are pairs of 32-bit numbers; masks have one bit a known
 * byte. Reads return the low word and leave the rest in `hi`, `known` and `why`, so that nothing is allocated.
 */
export class Machine {
  readonly is64: boolean;
  readonly lo: Int32Array = new Int32Array(16);
  readonly hiWords: Int32Array = new Int32Array(16);
  readonly knownBytes: Uint8Array = new Uint8Array(16);
  readonly whyIds: Uint16Array = new Uint16Array(16);
  readonly cells: Cells;
  /** Arithmetic flags and DF in EFLAGS positions, and which of them are known. */
  flags = 0;
  flagsKnown = 0;
  flagsWhy = 0;
  /** The rest of EFLAGS (IF, IOPL, …) for pushf. */
  otherFlags = 0x202;
  otherFlagsKnown = false;
  readonly segmentBases: Readonly<Record<'fs' | 'gs', bigint | null>>;

  // Result registers of the last read or operation.
  hi = 0;
  known = 0;
  why = 0;
  // Address registers of the last located memory operand.
  addressLo = 0;
  addressHi = 0;
  addressKnown = false;
  addressWhy = 0;
  // Target of an indirect transfer.
  jumpLo = 0;
  jumpHi = 0;
  halt: Halt | null = null;
  /** The instruction being executed matters for what is to be proven. */
  matters = true;
  /** A load from an unknown address is taken not to fault: its value is unknown, nothing more. */
  lenientLoads = false;
  current: Va = va(0n);

  readonly #sources: UnknownSource[] = [];
  readonly #sourceIds = new Map<string, number>();

  constructor(state: CpuState, memory: MemoryPort) {
    this.is64 = state.arch === 'x64';
    this.cells = new Cells(memory, (address) => this.reason({ kind: 'memory', address: va(address), size: 1 }));
    this.segmentBases = { fs: state.fsBase ?? null, gs: state.gsBase ?? null };
    const names = this.is64 ? X64_REGISTERS : X86_REGISTERS;
    names.forEach((name, i) => {
      const value = state.registers.get(name);
      if (value === undefined) {
        this.knownBytes[i] = this.is64 ? 0 : 0xf0;
        this.whyIds[i] = this.reason({ kind: 'register', register: name });
        return;
      }
      this.lo[i] = Number(BigInt.asUintN(32, value)) | 0;
      this.hiWords[i] = this.is64 ? Number(BigInt.asUintN(32, value >> 32n)) | 0 : 0;
      this.knownBytes[i] = 0xff;
    });
    if (state.flags === null) this.flagsWhy = this.reason({ kind: 'flags' });
    else {
      this.flags = state.flags & (ARITHMETIC_FLAGS | FLAG.d);
      this.flagsKnown = ARITHMETIC_FLAGS | FLAG.d;
      this.otherFlags = state.flags & ~(ARITHMETIC_FLAGS | FLAG.d);
      this.otherFlagsKnown = true;
    }
  }

  /** A number for a source of unknown values; 0 when there are too many to keep. */
  reason(source: UnknownSource): number {
    const key =
      source.kind === 'memory'
        ? `m${source.address}`
        : source.kind === 'register'
          ? `r${source.register}`
          : source.kind === 'flags'
            ? 'f'
            : `i${source.address}`;
    const old = this.#sourceIds.get(key);
    if (old !== undefined) return old;
    if (this.#sources.length >= 65_000) return 0;
    const id = this.#sources.push(source);
    this.#sourceIds.set(key, id);
    return id;
  }

  source(id: number): UnknownSource | null {
    return this.#sources[id - 1] ?? null;
  }

  /** The reason "the result of the current instruction is not determined". */
  undetermined(mnemonic: string): number {
    return this.reason({ kind: 'instruction', address: this.current, mnemonic });
  }

  stopUnknown(what: Extract<Halt, { kind: 'unknown' }>['what'], why: number): void {
    this.halt ??= { kind: 'unknown', what, source: this.source(why) };
  }

  stopFault(what: string, address: Va | null = null): void {
    this.halt ??= { kind: 'fault', what, address };
  }

  /**
   * Loads from the located address. A page that is not in the dump gives an unknown value (the processor did not fault on
   * it so far); an address that is not known may fault, so nothing after it would be certain.
   */
  loadMemory(size: number): number {
    if (!this.addressKnown) {
      if (!this.lenientLoads) this.stopUnknown('load', this.addressWhy);
      this.hi = 0;
      this.known = 0;
      this.why = this.addressWhy;
      return 0;
    }
    if (!this.#canonical()) return 0;
    const value = this.cells.load(this.addressLo, this.addressHi, size, this.matters);
    this.hi = this.cells.hi;
    this.known = this.cells.known;
    this.why = this.cells.why;
    return value;
  }

  storeMemory(size: number, lo: number, hi: number, known: number, why: number): void {
    if (!this.addressKnown) {
      // It may be any cell: nothing after it would be certain.
      this.stopUnknown('store', this.addressWhy);
      return;
    }
    if (!this.#canonical()) return;
    this.cells.store(this.addressLo, this.addressHi, size, lo, hi, known, why);
  }

  #canonical(): boolean {
    // 57-bit addresses; processors with 48 bits fault earlier, which a dump does not tell.
    if (!this.is64 || (this.addressHi >= -0x1000000 && this.addressHi < 0x1000000)) return true;
    this.stopFault('non-canonical address', this.addressVa());
    this.hi = 0;
    this.known = 0;
    this.why = 0;
    return false;
  }

  addressVa(): Va {
    return va((BigInt(this.addressHi >>> 0) << 32n) | BigInt(this.addressLo >>> 0));
  }

  /** Sets flags given by `mask` to `value`, all known. */
  setFlags(mask: number, value: number): void {
    this.flags = (this.flags & ~mask) | (value & mask);
    this.flagsKnown |= mask;
  }

  forgetFlags(mask: number, why: number): void {
    if (mask === 0) return;
    this.flagsKnown &= ~mask;
    this.flags &= ~mask;
    this.flagsWhy = why;
  }

  /** The value of a general register, or null when a byte of it is unknown. */
  register(index: number): bigint | null {
    if (this.knownBytes[index] !== 0xff) return null;
    return (BigInt((this.hiWords[index] ?? 0) >>> 0) << 32n) | BigInt((this.lo[index] ?? 0) >>> 0);
  }
}
