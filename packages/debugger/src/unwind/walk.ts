import { type Arch, type Va, va } from '@dumpscope/core';
import type { Frame, FrameTrust, Registers, StackKind, StackTrace } from '../target/model.ts';
import { isUserMode, makeRegisters, pcName, spName } from '../target/registers.ts';
import { leafArm64, unwindArm64 } from './arm64-unwind.ts';
import type { RegisterMap, Step, UnwindPorts } from './ports.ts';
import { checkReturn } from './return-check.ts';
import { scanArm64, scanX64 } from './scan.ts';
import { unwindX64 } from './x64-unwind.ts';
import { unwindX86 } from './x86-unwind.ts';

/** A 72 KB stack of the smallest possible frames stays below this. */
export const FRAME_LIMIT = 8192;
/** Interrupts over DPCs over threads, nested faults: more than this is a loop. */
const MAX_TRANSITIONS = 32;

export interface WalkInput {
  readonly ports: UnwindPorts;
  readonly arch: Arch;
  readonly start: Registers;
  readonly limit: number;
  stackKind(sp: bigint): StackKind;
  /** Ports of the user space that a trap frame on the stack at `kernelSp` leads to; null where it cannot be walked. */
  userPorts?(kernelSp: bigint, userSp: bigint): UnwindPorts | null;
}

/** What changes from frame to frame. */
interface Position {
  readonly values: RegisterMap;
  readonly interrupted: boolean;
  readonly trust: FrameTrust;
  readonly calleeParams: number;
  readonly previousChildEbp: bigint | null;
  readonly partial: boolean;
}

/**
 * One frame to its caller by the best means at hand: unwind data, frame data, leaf rule, frame pointer, scan.
 * Windows looks a return address up as it is; here its predecessor is looked up, so that a call which ends its function
 * (nothing returns from KeBugCheckEx) finds the caller and not its neighbour.
 */
function stepFrom(ports: UnwindPorts, arch: Arch, at: Position): Step {
  const pc = at.values.get(pcName[arch]) ?? 0n;
  if (arch === 'x86') {
    return unwindX86(ports, at.values, {
      interrupted: at.interrupted,
      calleeParams: at.calleeParams,
      previousChildEbp: at.previousChildEbp,
    });
  }
  const lookup = ports.lookup(at.interrupted ? pc : pc - 1n);
  if (arch === 'x64') {
    if (lookup.kind === 'entry') {
      const step = unwindX64(ports, lookup, at.values, at.interrupted);
      // The data said what to undo, but not all of it is in the dump: the stack may still be.
      if (step.kind === 'end' && step.reason === 'bad-unwind-data') return scanX64(ports, at.values, at.interrupted);
      if (step.kind === 'end' && step.text.includes('unwind information'))
        return scanX64(ports, at.values, at.interrupted);
      if (step.kind === 'end' && step.text.includes('not known')) return scanX64(ports, at.values, at.interrupted);
      return step;
    }
    if (lookup.kind === 'leaf') {
      const sp = at.values.get('rsp') ?? 0n;
      const ret = ports.memory.u64(sp);
      if (ret === undefined)
        return { kind: 'end', reason: 'unreadable', text: `the return address at ${sp.toString(16)} cannot be read` };
      if (at.interrupted || ret === 0n || checkReturn(ports, 'x64', ret, null) !== 'no')
        return leafX64(at.values, sp, ret);
    }
    return scanX64(ports, at.values, at.interrupted);
  }
  if (lookup.kind === 'entry') {
    const step = unwindArm64(ports, lookup, at.values, at.interrupted);
    if (step.kind === 'end' && (step.reason === 'bad-unwind-data' || step.text.includes('unwind data')))
      return scanArm64(ports, at.values, at.interrupted);
    return step;
  }
  if (lookup.kind === 'leaf' && at.interrupted && at.values.has('lr')) return leafArm64(at.values);
  return scanArm64(ports, at.values, at.interrupted);
}

function leafX64(values: RegisterMap, sp: bigint, ret: bigint): Step {
  const next = new Map(values);
  for (const name of ['rax', 'rcx', 'rdx', 'r8', 'r9', 'r10', 'r11', 'efl']) next.delete(name);
  next.set('rip', ret);
  next.set('rsp', sp + 8n);
  return { kind: 'caller', registers: next, trust: 'leaf', returnSlot: sp, trapFrame: null, interrupted: false };
}

function readArgs(ports: UnwindPorts, arch: Arch, slot: bigint | null, childEbp: bigint | null): (bigint | null)[] {
  if (arch === 'arm64') return [];
  const from =
    arch === 'x86'
      ? slot !== null
        ? slot + 4n
        : childEbp === null
          ? null
          : childEbp + 8n
      : slot === null
        ? null
        : slot + 8n;
  if (from === null) return [null, null, null, null];
  const width = arch === 'x86' ? 4n : 8n;
  return [0n, 1n, 2n, 3n].map((i) => ports.memory.pointer(from + i * width) ?? null);
}

/** Walks from `start` until the stack ends or nothing more can be believed; the trace says which and why. */
export function walkStack(input: WalkInput): StackTrace {
  const { arch, start } = input;
  let ports = input.ports;
  let inUser = false;
  let kernelSp: bigint = start.sp;
  const frames: Frame[] = [];
  const seen = new Set<string>();
  let transitions = 0;
  let at: Position = {
    values: new Map(start.values),
    // Unwound registers and those of a switch frame stand at a return address.
    interrupted: !/^(unwound|switch frame)/.test(start.source),
    trust: start.source.startsWith('trap frame') ? 'trap-frame' : 'context',
    calleeParams: 0,
    previousChildEbp: null,
    partial: start.partial,
  };
  for (;;) {
    const pc = at.values.get(pcName[arch]) ?? 0n;
    const sp = at.values.get(spName[arch]) ?? 0n;
    const registers =
      frames.length === 0
        ? start
        : makeRegisters(arch, at.values, at.trust === 'trap-frame' ? 'trap frame' : 'unwound', null, at.partial);
    const push = (rest: Partial<Frame>): void => {
      frames.push({
        index: frames.length,
        pc: va(pc),
        sp: va(sp),
        childEbp: null,
        returnAddress: null,
        returnSlot: null,
        extent: null,
        trust: at.trust,
        trapFrame: null,
        remark: null,
        args: [],
        registers,
        stack: inUser ? 'unknown' : input.stackKind(sp),
        ...rest,
      });
    };
    if (!inUser && isUserMode(registers)) {
      const user = input.userPorts?.(kernelSp, sp) ?? null;
      if (user === null) {
        push({ stack: 'unknown', childEbp: arch === 'x86' ? (registers.fp ?? null) : null });
        return { frames, endReason: 'user-mode', endText: 'the walk leaves the kernel here' };
      }
      ports = user;
      inUser = true;
    }
    if (!inUser) kernelSp = sp;
    const key = `${pc}:${sp}:${at.interrupted}`;
    if (seen.has(key))
      return { frames, endReason: 'did-not-advance', endText: `the walk came back to ${sp.toString(16)}` };
    seen.add(key);
    const step = stepFrom(ports, arch, at);
    const childEbp = arch === 'x86' ? toVa(step.childEbp ?? null) : null;
    if (step.kind === 'end') {
      push({
        childEbp,
        remark: step.remark ?? null,
        args: readArgs(ports, arch, step.returnSlot ?? null, childEbp),
      });
      return { frames, endReason: step.reason, endText: step.text };
    }
    const nextPc = step.registers.get(pcName[arch]) ?? 0n;
    const nextSp = step.registers.get(spName[arch]) ?? 0n;
    const sameStack = nextSp > sp && nextSp - sp < 0x100000n;
    const ended = nextPc === 0n;
    push({
      childEbp,
      returnAddress: ended ? null : va(nextPc),
      returnSlot: toVa(step.returnSlot),
      codeStart: toVa(step.codeStart ?? null),
      extent: sameStack ? { low: va(sp), high: va(nextSp) } : null,
      trapFrame: toVa(step.trapFrame),
      remark:
        step.remark ?? (step.trapFrame === null || arch === 'x86' ? null : `TrapFrame @ ${grouped(step.trapFrame)}`),
      args: readArgs(ports, arch, step.returnSlot, childEbp),
    });
    if (ended) return { frames, endReason: 'no-return-address', endText: 'the return address is 0' };
    if (frames.length >= input.limit)
      return { frames, endReason: 'frame-limit', endText: `stopped after ${input.limit} frames` };
    const stays = step.trust === 'leaf' && arch === 'arm64' && nextSp === sp && at.interrupted;
    if (!sameStack && !stays) {
      // Another stack (interrupt, DPC, double fault), or a walk that goes nowhere.
      const switched = step.trapFrame !== null || step.interrupted || step.returnSlot === null;
      if (!switched || ++transitions > MAX_TRANSITIONS)
        return {
          frames,
          endReason: 'did-not-advance',
          endText: `the stack pointer went from ${sp.toString(16)} to ${nextSp.toString(16)}`,
        };
    }
    at = {
      values: step.registers,
      interrupted: step.interrupted,
      trust: step.trust,
      calleeParams: step.paramsSize ?? 0,
      previousChildEbp: step.interrupted ? null : childEbp,
      partial: arch !== 'x86' || !step.interrupted,
    };
  }
}

function toVa(value: bigint | null): Va | null {
  return value === null ? null : va(value);
}

function grouped(address: bigint): string {
  const text = address.toString(16).padStart(16, '0');
  return `${text.slice(0, 8)}\`${text.slice(8)}`;
}
