import type { Arch } from '@dumpscope/core';
import { createDisassembler, type Disassembler } from '@dumpscope/cpu';
import type { UnwindPorts } from '../unwind/ports.ts';
import { walkStack } from '../unwind/walk.ts';
import type { Registers, StackRange, StackTrace, Thread } from './model.ts';
import { isUserMode, TRAP_EAX_X86 } from './registers.ts';
import { makePorts } from './unwind-ports.ts';
import type { UserSpace } from './user-space.ts';
import { narrowRegisters, WOW64_CODE_SELECTOR, wow64SavedContext } from './wow64.ts';

/** A thread whose user stack is walked, and the user part of its process. */
export interface UserThread {
  readonly thread: Thread;
  readonly space: UserSpace;
}

function portsOf(
  { thread, space }: UserThread,
  arch: Arch,
  memory: UserSpace['memory'],
  disassembler: Disassembler,
  tib: bigint | null,
): UnwindPorts {
  const width = BigInt(memory.pointerSize);
  const base = tib === null ? undefined : memory.pointer(tib + width);
  const limit = tib === null ? undefined : memory.pointer(tib + 2n * width);
  const stack = (at: bigint): StackRange | null =>
    base !== undefined && limit !== undefined && at >= limit && at < base
      ? { kind: 'unknown', base, limit, processor: null, thread: thread.address, source: 'TEB' }
      : null;
  return makePorts({
    arch,
    memory,
    code: (at, length) => memory.bytes(at, length) ?? null,
    disassembler,
    moduleAt: (at) => space.map.find(at),
    stackAt: stack,
    trapFrameEax: () => TRAP_EAX_X86,
    isKnownData: () => false,
    pcrs: () => [],
  });
}

/** Ports for the user stack at `sp`; null where neither modules nor that stack are in the dump. */
export function userPorts(user: UserThread, arch: Arch, disassembler: Disassembler, sp: bigint): UnwindPorts | null {
  const { space, thread } = user;
  if (space.modules.length === 0 || space.memory.u8(sp) === undefined) return null;
  return portsOf(user, arch, space.memory, disassembler, thread.teb);
}

let x86: Disassembler | undefined;

/** Frames of the 32-bit half of a thread; null where that half is not there. */
export function walkWow64(found: UserThread, start: Registers, limit: number): StackTrace | null {
  const memory = found.space.memory32;
  const { teb } = found.thread;
  if (memory === null || teb === null) return null;
  x86 ??= createDisassembler('x86');
  // The 64-bit TEB's ExceptionList is the TEB32.
  const ports = portsOf(found, 'x86', memory, x86, memory.pointer(teb) ?? null);
  return walkStack({ ports, arch: 'x86', start, limit, userPorts: () => ports, stackKind: () => 'unknown' });
}

/**
 * A 64-bit trace with its WOW64 half: where 32-bit code was interrupted its frames take the place of the user part, where
 * the thread entered the kernel through the 64-bit half they follow it, from the context that this half saved.
 */
export function withWow64(trace: StackTrace, user: (kernelSp: bigint) => UserThread | null, limit: number): StackTrace {
  const first = trace.frames.findIndex((frame) => isUserMode(frame.registers));
  const entered = trace.frames[first];
  const kernel = trace.frames[first - 1];
  if (entered === undefined || kernel === undefined || trace.endReason === 'frame-limit') return trace;
  const found = user(kernel.sp);
  const memory = found?.space.memory32 ?? null;
  const teb = found?.thread.teb ?? null;
  if (found === null || memory === null || teb === null) return trace;
  const interrupted = entered.registers.values.get('cs') === WOW64_CODE_SELECTOR;
  const start = interrupted ? narrowRegisters(entered.registers) : wow64SavedContext(found.space.memory, teb);
  const kept = interrupted ? trace.frames.slice(0, first) : trace.frames;
  if (start === null || memory.u8(start.sp) === undefined || limit <= kept.length) return trace;
  const narrow = walkWow64(found, start, limit - kept.length);
  if (narrow === null) return trace;
  const frames = narrow.frames.map((frame, i) => ({ ...frame, index: kept.length + i }));
  return { frames: [...kept, ...frames], endReason: narrow.endReason, endText: narrow.endText };
}
