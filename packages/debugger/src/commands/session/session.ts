import type { Memory, Va } from '@dumpscope/core';
import type { Processor, Registers, Target } from '../../target/model.ts';
import { contextRegisters } from '../../target/registers.ts';
import type { AnalyzeProvider, Session } from '../command.ts';

export interface SessionOptions {
  readonly symbolPath?: string;
  readonly imagePath?: string;
  readonly analyze?: AnalyzeProvider;
}

/** A session at the processor that wrote the dump. */
export function createSession(target: Target, options: SessionOptions = {}): Session {
  return {
    target,
    processor: target.currentProcessor,
    context: null,
    contextCommand: null,
    thread: null,
    process: null,
    frame: 0,
    radix: 16,
    machine: null,
    evaluator: 'masm',
    asmOptions: new Set(),
    lines: true,
    pseudo: new Map(),
    continuations: new Map(),
    lastDisplay: 'db',
    lastType: null,
    quit: false,
    symbolPath: options.symbolPath ?? '',
    imagePath: options.imagePath ?? '',
    mismatched: new Set(),
    analyze: options.analyze ?? null,
  };
}

/** `kd> `, or `0: kd> ` where the machine has more processors; `kd:x86> ` in the 32-bit half. */
export function promptOf(session: Session): string {
  const { target } = session;
  const count = Math.max(target.processors.length, target.dump.header.numberProcessors);
  const kd = session.machine === null ? 'kd> ' : `kd:${session.machine}> `;
  return count > 1 ? `${session.processor}: ${kd}` : kd;
}

export function processorOf(session: Session, number: number = session.processor): Processor | null {
  return session.target.processors.find((p) => p.number === number) ?? null;
}

/** The processor's own context, without what `.trap` and friends set. */
export function processorRegisters(session: Session, number: number = session.processor): Registers | null {
  const registers = processorOf(session, number)?.registers;
  if (registers !== undefined && registers !== null) return registers;
  // Dumps without PRCBs (TriageOptions 0x41) still hold the header's CONTEXT of the one that bugchecked.
  const { dump, arch, currentProcessor } = session.target;
  if (number !== currentProcessor || dump.header.context === null) return null;
  return contextRegisters(arch, dump.header.context, 'header CONTEXT', null);
}

/** The context that `r`, `k` and expressions use. */
export function currentRegisters(session: Session): Registers | null {
  return session.context ?? processorRegisters(session);
}

export function currentThread(session: Session): Va | null {
  return session.thread ?? processorOf(session)?.currentThread ?? null;
}

/** The process whose user space is seen: `.process`, else the one the current thread is attached to. */
export function currentProcess(session: Session): Va | null {
  if (session.process !== null) return session.process;
  const thread = currentThread(session);
  const state = thread === null ? null : session.target.thread(thread);
  return state?.process ?? state?.owningProcess ?? null;
}

export function sessionMemory(session: Session): Memory {
  const process = currentProcess(session);
  return process === null ? session.target.memory : session.target.memoryOf(process);
}

/** Back to the processor's own context, as `.thread`, `.cxr` and `.trap` without argument do. */
export function resetContext(session: Session): void {
  session.context = null;
  session.contextCommand = null;
  session.frame = 0;
}
