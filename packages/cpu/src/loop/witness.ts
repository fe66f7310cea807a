import type { Va } from '@dumpscope/core';
import type { FlowGraph } from '../cfg/flow-graph.ts';
import type { Loop } from '../cfg/loops.ts';
import { resultFlags } from '../execute/arithmetic.ts';
import { compile } from '../execute/compile.ts';
import { Machine } from '../execute/machine.ts';
import { compilePlace, FULL } from '../execute/places.ts';
import { type CpuState, FLAG, flagBits, type MemoryPort, registerPart } from '../execute/state.ts';
import type { Instruction } from '../instruction.ts';

/** What the captured EFLAGS say about the values that the processor itself saw last. */
export interface FlagWitness {
  /** The instruction that set the flags, null when more than one may have. */
  readonly setter: Va | null;
  /**
   * `agree`: evaluating the setter on the captured values gives the captured flags; `disagree`: memory or registers are
   * not what the processor saw; null: not determinable.
   */
  readonly verdict: 'agree' | 'disagree' | null;
  /** EFLAGS bits that were compared, and what the captured values give for them. */
  readonly compared: number;
  readonly expected: number;
  readonly captured: number | null;
  /** The setter decides a branch that an exit depends on: only then does it say what the processor saw of the awaited cell. */
  readonly decides: boolean;
  readonly why: string;
}

type Undecided = Omit<FlagWitness, 'decides'>;

interface Place {
  readonly block: number;
  readonly index: number;
}

interface Setter {
  readonly instruction: Instruction;
  readonly written: ReadonlySet<string>;
  /** The way back passes the loop's entry: in the first iteration something before the loop may have set the flags. */
  readonly passesEntry: boolean;
}

/** The last instruction before pc, inside the loop, that wrote a flag: null when ways differ. Notes registers written since. */
function lastSetter(graph: FlowGraph, loop: Loop, pc: bigint): Setter | string {
  const members = new Set(loop.blocks);
  let place: Place | undefined;
  for (const b of loop.blocks) {
    const index = graph.blocks[b]?.instructions.findIndex((i) => i.address === pc) ?? -1;
    if (index >= 0) place = { block: b, index };
  }
  if (!place) return 'pc is not in the loop';
  // All ways backward at once: they must meet one setter.
  const found = new Map<bigint, Instruction>();
  const written = new Set<string>();
  const seen = new Set<number>();
  const work: Place[] = [place];
  let steps = 0;
  let passesEntry = false;
  for (let p = work.pop(); p; p = work.pop()) {
    if (++steps > 4096) return 'too many ways lead to pc';
    const instructions = graph.blocks[p.block]?.instructions ?? [];
    let stopped = false;
    for (let i = p.index - 1; i >= 0 && !stopped; i--) {
      const instruction = instructions[i];
      if (!instruction) break;
      if (instruction.flow === 'call' || instruction.flow === 'indirect-call') return 'a call lies between';
      if (instruction.flagsWritten !== '' || instruction.flagsUndefined !== '') {
        found.set(instruction.address, instruction);
        stopped = true;
      } else for (const name of instruction.writes) written.add(name);
    }
    if (stopped) continue;
    const all = graph.blocks[p.block]?.predecessors ?? [];
    const before = all.filter((b) => members.has(b));
    if (before.length < all.length || graph.blocks[p.block]?.start === loop.header) passesEntry = true;
    for (const b of before) {
      if (seen.has(b)) continue;
      seen.add(b);
      work.push({ block: b, index: graph.blocks[b]?.instructions.length ?? 0 });
    }
  }
  const [only] = found.values();
  if (!only) return 'no instruction of the loop sets flags before pc';
  return found.size === 1 ? { instruction: only, written, passesEntry } : 'different instructions may have set them';
}

/**
 * Compares EFLAGS at pc with what their setter leaves for the captured values; `branches` are the conditional branches
 * that exits depend on.
 */
export function flagWitness(
  graph: FlowGraph,
  loop: Loop,
  state: CpuState,
  memory: MemoryPort,
  branches: readonly bigint[],
): FlagWitness {
  const found = compareFlags(graph, loop, state, memory);
  const decides =
    found.setter !== null &&
    branches.some((at) => {
      const setter = lastSetter(graph, loop, at);
      return typeof setter !== 'string' && setter.instruction.address === found.setter;
    });
  return { ...found, decides };
}

function compareFlags(graph: FlowGraph, loop: Loop, state: CpuState, memory: MemoryPort): Undecided {
  const none = (why: string, setter: Va | null = null): Undecided => ({
    setter,
    verdict: null,
    compared: 0,
    expected: 0,
    captured: state.flags,
    why,
  });
  if (state.flags === null) return none('the flags were not captured');
  const found = lastSetter(graph, loop, state.pc);
  if (typeof found === 'string') return none(found);
  const { instruction, written } = found;
  const is64 = state.arch === 'x64';
  const setter = instruction.address;

  // The setter's inputs as captured, without what it or a later instruction has overwritten.
  const overwritten = new Set([...written, ...instruction.writes]);
  const inputs = new Map([...state.registers].filter(([name]) => !overwritten.has(name)));
  const m = new Machine({ ...state, registers: inputs, flags: null }, memory);
  m.current = setter;
  const wrote = flagBits(instruction.flagsWritten);
  if (instruction.memory.some((x) => x.access === 'write' || x.access === 'read-write')) {
    return afterStore(instruction, state, memory, none);
  }
  compile(instruction, is64)(m);
  let compared = m.halt ? 0 : m.flagsKnown & wrote;
  let expected = m.flags & compared;
  if (compared === 0) {
    // It overwrote its own input: the result is still in the register, and SF, ZF and PF follow from it.
    const own = resultOf(instruction, state, written);
    if (own) {
      compared = wrote & (FLAG.s | FLAG.z | FLAG.p);
      expected = own.flags & compared;
    }
  }
  if (compared === 0) return none('its inputs are not known any more', setter);
  const verdict = ((state.flags ^ expected) & compared) === 0 ? 'agree' : 'disagree';
  // CF and OF of a logic instruction are clear for every value: they alone witness nothing.
  const telling = FLAG.z | (instruction.mnemonic.startsWith('bt') ? FLAG.c : 0);
  if (verdict === 'agree' && (compared & telling) === 0) return none('its inputs could not be read', setter);
  if (verdict === 'disagree' && found.passesEntry)
    return none('the first iteration may have the flags of before', setter);
  return {
    setter,
    verdict,
    compared,
    expected,
    captured: state.flags,
    why:
      verdict === 'agree'
        ? `efl=${state.flags.toString(16)} is what ${instruction.mnemonic} at ${setter.toString(16)} leaves for the captured values`
        : `${instruction.mnemonic} at ${setter.toString(16)} would leave other flags for the captured values than efl=${state.flags.toString(16)}`,
  };
}

function resultOf(instruction: Instruction, state: CpuState, written: ReadonlySet<string>): { flags: number } | null {
  const RESULTS = ['add', 'sub', 'inc', 'dec', 'and', 'or', 'xor', 'neg', 'adc', 'sbb', 'shl', 'shr', 'sar'];
  const [a] = instruction.operands;
  if (a?.kind !== 'register' || !RESULTS.includes(instruction.mnemonic)) return null;
  const part = registerPart(a.register);
  if (!part || instruction.writes.some((name) => written.has(name))) return null;
  const m = new Machine(state, { read: () => null });
  const place = compilePlace(a, state.arch === 'x64');
  if (!place) return null;
  const lo = place.load(m);
  return (m.known & FULL[part.size]) === FULL[part.size] ? { flags: resultFlags(lo, m.hi, part.size) } : null;
}

/** A read-modify-write: memory has the new value. bts with CF set saw the bit set, so it must still be set, and so on. */
function afterStore(
  instruction: Instruction,
  state: CpuState,
  memory: MemoryPort,
  none: (why: string, setter: Va | null) => Undecided,
): Undecided {
  const setter = instruction.address;
  const is64 = state.arch === 'x64';
  const [a, b] = instruction.operands;
  const captured = state.flags ?? 0;
  if (a?.kind !== 'memory') return none('its inputs are not known any more', setter);
  const m = new Machine(state, memory);
  const place = compilePlace(a, is64);
  if (!place) return none('its inputs are not known any more', setter);
  place.locate(m);
  const lo = place.load(m);
  if ((m.known & FULL[place.size]) !== FULL[place.size]) return none('its memory operand could not be read', setter);
  const value = (BigInt(m.hi >>> 0) << 32n) | BigInt(lo >>> 0);
  const result = (compared: number, expected: number, why: string): Undecided => ({
    setter,
    verdict: ((captured ^ expected) & compared) === 0 ? 'agree' : 'disagree',
    compared,
    expected,
    captured,
    why,
  });
  if (instruction.mnemonic === 'bts' && b?.kind === 'immediate') {
    const bit = b.value & BigInt(place.size * 8 - 1);
    if (!(captured & FLAG.c)) return none('bts found the bit clear and has just set it', setter);
    const set = (value >> bit) & 1n;
    return result(FLAG.c, set ? FLAG.c : 0, `bts saw bit ${bit} set; memory has it ${set ? 'set' : 'clear'}`);
  }
  if (instruction.mnemonic === 'cmpxchg') {
    if (captured & FLAG.z) return none('cmpxchg has just stored', setter);
    const accumulator = compilePlace(
      { kind: 'register', register: ({ 1: 'al', 2: 'ax', 4: 'eax', 8: 'rax' } as const)[place.size], size: place.size },
      is64,
    );
    if (!accumulator) return none('its inputs are not known any more', setter);
    const seen = accumulator.load(m);
    if ((m.known & FULL[place.size]) !== FULL[place.size]) return none('the accumulator is not known', setter);
    const saw = (BigInt(m.hi >>> 0) << 32n) | BigInt(seen >>> 0);
    return {
      setter,
      verdict: saw === value ? 'agree' : 'disagree',
      compared: FLAG.z,
      expected: 0,
      captured,
      why: `cmpxchg read ${saw.toString(16)}; memory has ${value.toString(16)}`,
    };
  }
  return none('it changed its own operand in memory', setter);
}
