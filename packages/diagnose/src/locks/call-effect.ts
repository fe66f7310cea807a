/**
 * What an instruction or a call does to one lock, by executing it: a function that makes a free lock held acquires it, one
 * that makes a held lock free releases it. Names play no part, so wrappers, inlined copies and unknown builds count alike.
 */

import { type Va, va } from '@dumpscope/core';
import { type FlowGraph, type Instruction, type RunOptions, type RunResult, run } from '@dumpscope/cpu';
import type { Frame, Target } from '@dumpscope/debugger';
import { capturedMemory, controlRegionOf, programOf } from '../facts/cpu-state.ts';
import type { LockEffect } from './must-hold.ts';
import { operandAddress, type ResolveScope, resolveBefore } from './resolve-value.ts';

const argumentRegisters: Readonly<Record<string, readonly string[]>> = {
  x86: ['ecx', 'edx'],
  x64: ['rcx', 'rdx', 'r8'],
  arm64: [],
};

/** Effect of each instruction of a frame's function on `lock`; `handle` is the queue entry of a queued lock. */
export function lockEffects(
  target: Target,
  graph: FlowGraph,
  frame: Frame,
  lock: bigint,
  handle: bigint | null,
): (instruction: Instruction) => LockEffect {
  const scope: ResolveScope = { target, graph, frame: frame.registers };
  return (instruction) => {
    if (instruction.flow !== 'call' && instruction.flow !== 'indirect-call')
      return inlineEffect(scope, instruction, lock);
    const callee = calleeOf(scope, instruction);
    const values = argumentsOf(scope, instruction);
    const mentions = values.some((value) => value === lock || (handle !== null && value === handle));
    if (callee === 'unreadable') return mentions || values[0] === null ? 'unreadable' : 'none';
    if (callee === null) return mentions ? 'unknown' : 'none';
    if (mentions) return callEffect(target, callee, values, lock, handle);
    // An argument that could not be resolved matters only where the callee does something to a lock at all.
    if (values[0] !== null) return 'none';
    const trial = callEffect(target, callee, [SCRATCH_LOCK, SCRATCH_HANDLE, 0n], SCRATCH_LOCK, SCRATCH_HANDLE);
    return trial === 'acquires' || trial === 'releases' ? 'unknown' : trial === 'unreadable' ? trial : 'none';
  };
}

/** `lock bts [lock],0`, `xchg`, `lock cmpxchg` acquire; a store of 0, `lock and`, `lock btr` release. */
function inlineEffect(scope: ResolveScope, instruction: Instruction, lock: bigint): LockEffect {
  for (const { operand, access } of instruction.memory) {
    if (access !== 'write' && access !== 'read-write') continue;
    if (operandAddress(scope, operand) !== lock) continue;
    const source = instruction.operands[1];
    switch (instruction.mnemonic) {
      case 'bts':
      case 'cmpxchg':
      case 'xchg':
      case 'or':
        return 'acquires';
      case 'btr':
      case 'and':
        return 'releases';
      case 'mov':
        return source?.kind === 'immediate' && source.value === 0n
          ? 'releases'
          : source?.kind === 'register'
            ? zeroRegister(scope, instruction, source.register)
            : 'unknown';
      default:
        return 'unknown';
    }
  }
  return 'none';
}

function zeroRegister(scope: ResolveScope, instruction: Instruction, register: string): LockEffect {
  const block = scope.graph.blocks.find((candidate) => candidate.instructions.includes(instruction));
  const before = block?.instructions
    .slice(0, block.instructions.indexOf(instruction))
    .findLast((candidate) => candidate.writes.some((name) => sameRegister(name, register)));
  const [a, b] = before?.operands ?? [];
  const cleared =
    before?.mnemonic === 'xor' && a?.kind === 'register' && b?.kind === 'register' && a.register === b.register;
  return cleared ? 'releases' : 'unknown';
}

/** `rax` is `al`, `eax` and `rax`. */
export function sameRegister(full: string, part: string): boolean {
  const low = /^[abcd]l$/.test(part) ? `${part.slice(0, 1)}x` : part.slice(1);
  return full === part || full.slice(1) === low || `${part.replace(/[dwb]$/, '')}` === full;
}

/** Where a call goes; null where its pointer is not at a fixed place, `unreadable` where it is and cannot be read. */
function calleeOf(scope: ResolveScope, instruction: Instruction): bigint | 'unreadable' | null {
  if (instruction.target !== null) return instruction.target;
  const operand = instruction.operands[0];
  // `mov rdi,[__imp_X]`, then `call rdi` more than once.
  if (operand?.kind === 'register') return resolveBefore(scope, instruction, operand.register)?.value ?? null;
  if (operand?.kind !== 'memory') return null;
  // `call [__imp_X]`: the import slot is a constant address.
  if (operand.base !== null && !operand.ripRelative) return null;
  const slot = operandAddress(scope, operand);
  return slot === null ? null : (scope.target.memory.pointer(slot) ?? 'unreadable');
}

/** Register arguments, then pushed ones on x86; null for those that cannot be resolved. */
function argumentsOf(scope: ResolveScope, call: Instruction): (bigint | null)[] {
  const values = (argumentRegisters[scope.graph.arch] ?? []).map(
    (register) => resolveBefore(scope, call, register)?.value ?? null,
  );
  if (scope.graph.arch !== 'x86') return values;
  const block = scope.graph.blocks.find((candidate) => candidate.instructions.includes(call));
  if (block === undefined) return values;
  for (let i = block.instructions.indexOf(call) - 1, pushed = 0; i >= 0 && pushed < 3; i--) {
    const instruction = block.instructions[i];
    if (instruction === undefined || instruction.flow === 'call' || instruction.flow === 'indirect-call') break;
    if (instruction.mnemonic !== 'push') continue;
    const operand = instruction.operands[0];
    values.push(
      operand?.kind === 'immediate'
        ? operand.value
        : operand?.kind === 'register'
          ? (resolveBefore(scope, instruction, operand.register)?.value ?? null)
          : null,
    );
    pushed++;
  }
  return values;
}

/** Where a call goes and with what: see `calleeOf` and `argumentsOf`. */
export function calledWith(
  scope: ResolveScope,
  call: Instruction,
): { readonly callee: bigint | 'unreadable' | null; readonly values: readonly (bigint | null)[] } {
  return { callee: calleeOf(scope, call), values: argumentsOf(scope, call) };
}

/** Places that no Windows kernel maps (user half, never read from the dump). */
const SCRATCH_STACK = 0x6fff_0000n;
const SCRATCH_RETURN = 0x6ffe_0000n;
const SCRATCH_LOCK = 0x6ffd_0000n;
const SCRATCH_HANDLE = 0x6ffc_0000n;
const SCRATCH_PREDECESSOR = 0x6ffb_8000n;
/** No level that a kernel saves. */
const STALE = 0xa5a5_a5a5n;
const MAX_STEPS = 4000;
/** EX_SPIN_LOCK held exclusively. */
const WRITER = 0x8000_0000n;

const known = new WeakMap<Target, Map<string, LockEffect>>();

function callEffect(
  target: Target,
  callee: bigint,
  values: readonly (bigint | null)[],
  lock: bigint,
  handle: bigint | null,
): LockEffect {
  const roles = values
    .map((value) => (value === lock ? 'l' : handle !== null && value === handle ? 'h' : '-'))
    .join('');
  let cache = known.get(target);
  if (cache === undefined) {
    cache = new Map();
    known.set(target, cache);
  }
  const key = `${callee.toString(16)} ${roles}`;
  let effect = cache.get(key);
  if (effect === undefined) {
    effect = execute(target, callee, roles);
    cache.set(key, effect);
  }
  return effect;
}

/** Runs the callee on a scratch lock: once free, once held. The arguments keep their roles; everything else is unknown. */
function execute(target: Target, callee: bigint, roles: string): LockEffect {
  if (target.arch === 'arm64') return 'unknown';
  const queued = roles.includes('h');
  const free = trial(target, callee, roles, 0n, queued);
  if (free.word !== null && free.word !== 0n) return 'acquires';
  const held = trial(target, callee, roles, queued ? SCRATCH_HANDLE : 1n, queued);
  if (held.word === 0n) return 'releases';
  // A reader/writer spin lock held by a writer: its release may clear no more than bit 31.
  if (!queued && trial(target, callee, roles, WRITER, queued).word === 0n) return 'releases';
  if (free.unreadable || held.unreadable) return 'unreadable';
  return free.word === null || held.word === null ? 'unknown' : 'none';
}

/**
 * Runs an acquire of a queued lock that is held, up to the loop in which it waits: does it write OldIrql of its entry on the
 * way? Null where `callee` does not come there with the entry enqueued, and so is no such acquire.
 */
export function savesOldIrqlBefore(target: Target, callee: bigint, loop: Va): boolean | null {
  if (target.arch === 'arm64') return null;
  const pointer = target.pointerSize;
  const oldIrql = SCRATCH_HANDLE + BigInt(2 * pointer);
  const result = trialRun(target, callee, 'lh', SCRATCH_PREDECESSOR, new Map([[oldIrql, STALE]]), {
    stopAt: loop,
    watch: [
      { address: va(SCRATCH_HANDLE + BigInt(pointer)), size: pointer },
      { address: va(oldIrql), size: 1 },
    ],
  });
  if (result.end !== 'exit' || result.to !== loop) return null;
  const [field, level] = result.watched;
  if (field == null || (field & ~BigInt(pointer - 1)) !== SCRATCH_LOCK) return null;
  return level !== (STALE & 0xffn);
}

/**
 * A lock helper: called with a free lock (as first argument, or behind its queue entry), it comes back with the lock
 * held. Whoever calls it is the one that asked.
 */
export function acquiresForItsCaller(target: Target, callee: bigint, queued: boolean): boolean {
  const roles = queued ? ['lh', 'hl', '--lh', '--hl'] : ['l', '--l'];
  return roles.some(
    (role) =>
      callEffect(
        target,
        callee,
        [...role].map((letter) => (letter === 'l' ? SCRATCH_LOCK : letter === 'h' ? SCRATCH_HANDLE : null)),
        SCRATCH_LOCK,
        SCRATCH_HANDLE,
      ) === 'acquires',
  );
}

/** `word`: lock word after the call, null where the execution could not be followed to its return. */
function trial(
  target: Target,
  callee: bigint,
  roles: string,
  word: bigint,
  queued: boolean,
): { readonly word: bigint | null; readonly unreadable: boolean } {
  const pointer = target.pointerSize;
  const cells = new Map([
    [SCRATCH_HANDLE, 0n],
    [SCRATCH_HANDLE + BigInt(pointer), queued ? SCRATCH_LOCK : 0n],
  ]);
  const result = trialRun(target, callee, roles, word, cells, {
    watch: [{ address: va(SCRATCH_LOCK), size: pointer }],
  });
  return {
    word: result.end === 'exit' ? (result.watched[0] ?? null) : null,
    unreadable: lacksCode(target, result),
  };
}

/** The callee, or something that it called or jumped to, is code that the dump does not hold. */
function lacksCode(target: Target, result: RunResult): boolean {
  if (result.skipped.some((address) => target.code(address, 1) === null)) return true;
  return result.end === 'unknown' && target.code(result.at, 1) === null;
}

/** Calls `callee` with the arguments that `roles` names, a lock word, and what else the scratch memory holds. */
function trialRun(
  target: Target,
  callee: bigint,
  roles: string,
  word: bigint,
  scratch: ReadonlyMap<bigint, bigint>,
  options: Pick<RunOptions, 'stopAt' | 'watch'>,
): RunResult {
  const pointer = target.pointerSize;
  const registers = new Map<string, bigint>();
  const cells = new Map<bigint, bigint>([[SCRATCH_LOCK, word], [SCRATCH_STACK, SCRATCH_RETURN], ...scratch]);
  const names = argumentRegisters[target.arch] ?? [];
  [...roles].forEach((role, i) => {
    const value = role === 'l' ? SCRATCH_LOCK : role === 'h' ? SCRATCH_HANDLE : null;
    const name = names[i];
    if (value === null) return;
    if (name !== undefined) registers.set(name, value);
    else cells.set(SCRATCH_STACK + BigInt((1 + i - names.length) * pointer), value);
  });
  registers.set(target.arch === 'x64' ? 'rsp' : 'esp', SCRATCH_STACK);
  const captured = capturedMemory(target);
  const memory = {
    read(address: bigint, size: number): bigint | null {
      for (const [at, value] of cells) {
        if (address >= at && address + BigInt(size) <= at + BigInt(pointer))
          return BigInt.asUintN(size * 8, value >> (8n * (address - at)));
      }
      return address >= SCRATCH_PREDECESSOR - 0x1_0000n && address < SCRATCH_STACK + 0x1_0000n
        ? null
        : captured.read(address, size);
    },
  };
  const pcr = controlRegion(target);
  return run(
    programOf(target),
    {
      arch: target.arch === 'x64' ? 'x64' : 'x86',
      pc: va(callee),
      registers,
      flags: 0x202,
      ...(target.arch === 'x64' ? { gsBase: pcr } : { fsBase: pcr }),
    },
    memory,
    { maxSteps: MAX_STEPS, lenient: true, ...options },
  );
}

/** KPCR of the first processor: what gs (x64) or fs (x86) begins at in kernel mode. */
function controlRegion(target: Target): bigint | null {
  const prcb = target.processors[0]?.prcb;
  return prcb === undefined ? null : controlRegionOf(target, prcb);
}
