import { type Va, va } from '@dumpscope/core';
import type { Register } from '../instruction.ts';
import { toBig } from './arithmetic.ts';
import { AGAIN, DYNAMIC, Machine, TAKEN } from './machine.ts';
import { nextOf } from './next.ts';
import type { Node, Program } from './program.ts';
import {
  ARITHMETIC_FLAGS,
  type CpuState,
  describeUnknown,
  FLAG,
  type MemoryPort,
  registerPart,
  type UnknownSource,
  X64_REGISTERS,
  X86_REGISTERS,
} from './state.ts';

/**
 * What decides how the loop goes on: when these registers, these flags and the memory that the listed instructions read
 * are the same at two arrivals at the header, everything that decides repeats.
 */
export interface Relevance {
  readonly registers: readonly Register[];
  /** EFLAGS bits. */
  readonly flags: number;
  readonly instructions: ReadonlySet<bigint>;
}

export interface RunOptions {
  /** Default 1,000,000. */
  readonly maxSteps?: number;
  /** Instruction addresses: leaving them ends the run with `exit`. Without it only a return of the first frame does. */
  readonly inside?: ReadonlySet<bigint>;
  /** Where iterations are counted and states compared; default: wherever jumps arrive. */
  readonly header?: Va;
  /** Default: everything matters. */
  readonly relevance?: Relevance;
  /**
   * Calls that are stepped over under the assumption that they return and change nothing but the volatile registers; the
   * result lists them. Other calls are followed.
   */
  readonly skipCall?: (target: Va | null) => boolean;
  /** Loads from addresses that are not known give unknown values instead of ending the run. */
  readonly lenient?: boolean;
  /** Ends the run with `exit` on arrival here, at whatever depth of calls. */
  readonly stopAt?: Va;
  /** Memory to look at when the run ends with `exit`: what a function did to a lock, for one. */
  readonly watch?: readonly { readonly address: Va; readonly size: number }[];
}

export type RunResult =
  /** The state repeats: without a writer from outside it never ends. */
  | {
      readonly end: 'cycle';
      readonly at: Va;
      readonly steps: number;
      /** Iterations before the state that repeats, and of one period. */
      readonly prefix: number;
      readonly period: number;
      /** Values of the deciding registers at each arrival at `at` in one period, at most 64. */
      readonly states: readonly ReadonlyMap<Register, bigint>[];
      readonly skipped: readonly Va[];
    }
  | {
      readonly end: 'exit';
      readonly from: Va;
      readonly to: Va;
      readonly steps: number;
      /** Further arrivals at the header before it: turns that begin after the one in which the state was captured. */
      readonly iterations: number;
      readonly skipped: readonly Va[];
      /** Values of {@link RunOptions.watch}; null where a byte is unknown. */
      readonly watched: readonly (bigint | null)[];
      /** General registers that are known whole. */
      readonly registers: ReadonlyMap<Register, bigint>;
      /** It wrote to memory on the way: what is captured there is not what it left. */
      readonly wrote: boolean;
    }
  | {
      readonly end: 'unknown';
      readonly at: Va;
      readonly why: string;
      readonly source: UnknownSource | null;
      readonly steps: number;
      readonly iterations: number;
      readonly skipped: readonly Va[];
    }
  | {
      readonly end: 'limit';
      readonly at: Va;
      readonly steps: number;
      readonly iterations: number;
      readonly skipped: readonly Va[];
    }
  | {
      readonly end: 'fault';
      readonly at: Va;
      readonly why: string;
      readonly address: Va | null;
      readonly steps: number;
      readonly iterations: number;
      readonly skipped: readonly Va[];
    };

const WHAT = {
  branch: 'a branch depends on a value that is not known',
  jump: 'an indirect target is not known',
  load: 'a load comes from an address that is not known',
  store: 'a store goes to an address that is not known',
  count: 'a repeat count is not known',
  instruction: 'an instruction is not modelled',
  call: 'a call was not followed',
  'memory-limit': 'it touches more memory than is followed',
} as const;

const VOLATILE_64 = ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11'];
const VOLATILE_32 = ['eax', 'ecx', 'edx'];
const ALL_FLAGS = ARITHMETIC_FLAGS | FLAG.d;
const MAX_STATES = 64;
const MAX_WRITTEN = 1 << 17;

interface Snapshot {
  readonly node: Node;
  readonly lo: Int32Array;
  readonly hi: Int32Array;
  readonly known: Uint8Array;
  readonly flags: number;
  readonly flagsKnown: number;
  readonly depth: number;
  readonly arrival: number;
}

/** Executes from the captured state on captured memory, with nobody else writing. See {@link RunResult}. */
export function run(program: Program, state: CpuState, memory: MemoryPort, options: RunOptions = {}): RunResult {
  return new Run(program, state, memory, options).go();
}

class Run {
  readonly #program: Program;
  readonly #machine: Machine;
  readonly #options: RunOptions;
  readonly #start: Va;
  readonly #compared: readonly number[];
  readonly #names: readonly Register[];
  readonly #flagMask: number;
  readonly #skipped = new Set<Va>();
  #steps = 0;
  #iterations = 0;
  #depth = 0;
  #arrivals = 0;
  #snapshot: Snapshot | null = null;
  #nextSnapshot = 1;

  constructor(program: Program, state: CpuState, memory: MemoryPort, options: RunOptions) {
    this.#program = program;
    this.#machine = new Machine(state, memory);
    this.#options = options;
    this.#machine.lenientLoads = options.lenient === true;
    this.#start = state.pc;
    const all = state.arch === 'x64' ? X64_REGISTERS : X86_REGISTERS;
    this.#names = options.relevance?.registers.filter((r) => registerPart(r) !== undefined) ?? all;
    this.#compared = this.#names.map((r) => registerPart(r)?.index ?? 0);
    this.#flagMask = options.relevance?.flags ?? ALL_FLAGS;
  }

  go(): RunResult {
    const m = this.#machine;
    const { inside, header, relevance, stopAt } = this.#options;
    const limit = this.#options.maxSteps ?? 1_000_000;
    let node = this.#program.at(this.#start);
    if (!node) return this.#unreadable(this.#start);
    if (header === undefined || this.#start === header) this.#arrive(node);
    for (;;) {
      if (this.#steps >= limit) return { end: 'limit', at: node.address, ...this.#counts() };
      this.#steps++;
      m.current = node.address;
      m.matters = relevance === undefined || this.#depth > 0 || relevance.instructions.has(node.address);
      if (node.isCall && this.#options.skipCall?.(node.instruction.target)) {
        this.#skip(node);
        const after: Node | null = this.#program.following(node);
        if (!after) return this.#unreadable(nextOf(node.instruction, m.is64));
        node = after;
        continue;
      }
      const way: number = node.step(m);
      if (m.cells.full) m.stopUnknown('memory-limit', 0);
      if (m.halt) return this.#halted(node);
      if (way === AGAIN) continue;
      let to: Node | null;
      if (way === DYNAMIC) {
        const address = va(toBig(m.jumpLo, m.jumpHi));
        if (node.isReturn && this.#depth === 0)
          return { end: 'exit', from: node.address, to: address, ...this.#left() };
        to = this.#program.at(address);
        if (!to) return this.#unreadable(address);
      } else if (way === TAKEN) {
        to = this.#program.target(node);
        // Code that cannot be read may lead back (a loop's cold chunk): that is no exit.
        if (!to) return this.#unreadable(node.instruction.target ?? node.address);
      } else {
        to = this.#program.following(node);
        if (!to) return this.#unreadable(nextOf(node.instruction, m.is64));
      }
      if (node.isCall) this.#depth++;
      else if (node.isReturn) this.#depth--;
      if ((this.#depth === 0 && inside && !inside.has(to.address)) || to.address === stopAt)
        return { end: 'exit', from: node.address, to: to.address, ...this.#left() };
      const arrives = header === undefined ? way !== 0 : this.#depth === 0 && to.address === header;
      if (arrives) {
        this.#iterations++;
        if (this.#arrive(to)) return this.#cycle(to);
      }
      node = to;
    }
  }

  #counts(): { steps: number; iterations: number; skipped: Va[] } {
    return { steps: this.#steps, iterations: this.#iterations, skipped: [...this.#skipped] };
  }

  #left(): {
    steps: number;
    iterations: number;
    skipped: Va[];
    watched: (bigint | null)[];
    registers: ReadonlyMap<Register, bigint>;
    wrote: boolean;
  } {
    const machine = this.#machine;
    const { cells } = machine;
    const registers = new Map<Register, bigint>();
    for (const name of machine.is64 ? X64_REGISTERS : X86_REGISTERS) {
      const value = machine.register(registerPart(name)?.index ?? 0);
      if (value !== null) registers.set(name, value);
    }
    return {
      ...this.#counts(),
      registers,
      wrote: cells.writtenCount > 0,
      watched: (this.#options.watch ?? []).map((cell) => cells.peek(cell.address, cell.size)),
    };
  }

  /** Brent's method: keeps one state, renewed at powers of two; true when the present state equals it. */
  #arrive(node: Node): boolean {
    const s = this.#snapshot;
    if (s && s.node === node && s.depth === this.#depth && this.#equals(s)) return true;
    this.#arrivals++;
    // A run that writes ever more cells gets a new snapshot early: it bounds the log of old values.
    if (this.#arrivals < this.#nextSnapshot && this.#machine.cells.writtenCount < MAX_WRITTEN) return false;
    this.#nextSnapshot = Math.max(this.#arrivals, this.#nextSnapshot) * 2;
    const m = this.#machine;
    m.cells.snapshot();
    this.#snapshot = {
      node,
      lo: m.lo.slice(),
      hi: m.hiWords.slice(),
      known: m.knownBytes.slice(),
      flags: m.flags,
      flagsKnown: m.flagsKnown,
      depth: this.#depth,
      arrival: this.#arrivals,
    };
    return false;
  }

  #equals(s: Snapshot): boolean {
    const m = this.#machine;
    for (const i of this.#compared) {
      const known = m.knownBytes[i];
      // Unknown bytes decide nothing: a branch on them would have ended the run.
      if (known !== s.known[i]) return false;
      if (known === 0xff) {
        if (m.lo[i] !== s.lo[i] || m.hiWords[i] !== s.hi[i]) return false;
      } else if (known !== undefined) {
        for (let b = 0; b < 8; b++) {
          if (!(known & (1 << b))) continue;
          const now = b < 4 ? (m.lo[i] ?? 0) >>> (8 * b) : (m.hiWords[i] ?? 0) >>> (8 * (b - 4));
          const then = b < 4 ? (s.lo[i] ?? 0) >>> (8 * b) : (s.hi[i] ?? 0) >>> (8 * (b - 4));
          if ((now & 0xff) !== (then & 0xff)) return false;
        }
      }
    }
    const mask = this.#flagMask;
    if ((m.flagsKnown & mask) !== (s.flagsKnown & mask)) return false;
    if (((m.flags ^ s.flags) & m.flagsKnown & mask) !== 0) return false;
    return m.cells.sameAsSnapshot();
  }

  #cycle(at: Node): RunResult {
    const period = this.#arrivals - (this.#snapshot?.arrival ?? 0) + 1;
    const counts = this.#counts();
    return {
      end: 'cycle',
      at: at.address,
      steps: counts.steps,
      prefix: (this.#snapshot?.arrival ?? 1) - 1,
      period,
      states: this.#replay(at, period),
      skipped: counts.skipped,
    };
  }

  /** Runs one more period and notes the deciding registers at each arrival. */
  #replay(at: Node, period: number): ReadonlyMap<Register, bigint>[] {
    const m = this.#machine;
    const states: ReadonlyMap<Register, bigint>[] = [];
    let node: Node | null = at;
    for (let steps = 0; node && steps < 100_000 && states.length < Math.min(period, MAX_STATES); steps++) {
      if (steps === 0 || (node.address === at.address && this.#depth === 0)) {
        const values = new Map<Register, bigint>();
        this.#names.forEach((name, i) => {
          const value = m.register(this.#compared[i] ?? 0);
          if (value !== null) values.set(name, value);
        });
        states.push(values);
        if (states.length === Math.min(period, MAX_STATES)) break;
      }
      m.current = node.address;
      if (node.isCall && this.#options.skipCall?.(node.instruction.target)) {
        this.#skip(node);
        node = this.#program.following(node);
        continue;
      }
      const way: number = node.step(m);
      if (m.halt) break;
      if (way === AGAIN) continue;
      if (node.isCall) this.#depth++;
      else if (node.isReturn) this.#depth--;
      if (way === DYNAMIC) node = this.#program.at(toBig(m.jumpLo, m.jumpHi));
      else node = way === TAKEN ? this.#program.target(node) : this.#program.following(node);
    }
    return states;
  }

  #skip(node: Node): void {
    const m = this.#machine;
    const { instruction } = node;
    this.#skipped.add(instruction.target ?? node.address);
    const why = m.undetermined('call');
    for (const name of m.is64 ? VOLATILE_64 : VOLATILE_32) {
      const i = registerPart(name)?.index ?? 0;
      m.knownBytes[i] = m.is64 ? 0 : 0xf0;
      m.lo[i] = 0;
      m.hiWords[i] = 0;
      m.whyIds[i] = why;
    }
    m.forgetFlags(ARITHMETIC_FLAGS, why);
  }

  #unreadable(address: bigint): RunResult {
    if (this.#program.isFull) return { end: 'limit', at: va(address), ...this.#counts() };
    return {
      end: 'unknown',
      at: va(address),
      why: `code at ${address.toString(16)} could not be read`,
      source: { kind: 'memory', address: va(address), size: 1 },
      ...this.#counts(),
    };
  }

  #halted(node: Node): RunResult {
    const h = this.#machine.halt;
    if (h?.kind === 'fault')
      return { end: 'fault', at: node.address, why: h.what, address: h.address, ...this.#counts() };
    const source = h?.source ?? null;
    const what = WHAT[h?.what ?? 'instruction'];
    const why = source ? `${what}: ${describeUnknown(source)}` : what;
    return { end: 'unknown', at: node.address, why, source, ...this.#counts() };
  }
}
