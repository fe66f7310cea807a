/**
 * What faulted: the context at the fault, its instruction, the memory that it touches by the captured registers, and what
 * the kernel reported. Null where the bug check describes no fault.
 */

import { va } from '@dumpscope/core';
import type { Instruction } from '@dumpscope/cpu';
import {
  type Frame,
  type Irql,
  isUserMode,
  type Processor,
  type Registers,
  type StackTrace,
  type Target,
} from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { ACCESS_VIOLATION, GUARD_PAGE, IN_PAGE_ERROR, trapOfHandler } from './exception-names.ts';
import { accessOf, type FaultAccess, type FaultShape, faultShape } from './fault-shapes.ts';
import { type Access, accessesOf } from './operand.ts';
import { type ExceptionRecordView, readException, searchStack, stackOf } from './stack-records.ts';

export interface Reported {
  readonly address: bigint;
  readonly access: FaultAccess | null;
  /** `bug check parameters 1 and 3`, `exception record ffff…`. */
  readonly from: string;
  /** All ones: Windows' word for a fault that is no page fault, so that there is no address (x64, x86). */
  readonly unspecified: boolean;
}

export interface TrapInfo {
  readonly address: bigint;
  /** Handler that built it, from the return address below it; null without a name from a full symbol table. */
  readonly handler: {
    readonly symbol: string;
    readonly vector: number;
    readonly name: string;
    readonly slot: bigint;
  } | null;
  readonly errorCode: { readonly value: number; readonly address: bigint } | null;
  /** x64 FaultAddress: CR2, written by the page fault handler only. */
  readonly faultAddress: { readonly value: bigint; readonly address: bigint } | null;
}

export interface Fault {
  readonly code: number;
  readonly shape: FaultShape;
  readonly processor: Processor | null;
  readonly thread: bigint | null;
  readonly process: bigint | null;
  /** Address of the instruction; null where neither a parameter nor a record tells. */
  readonly pc: bigint | null;
  readonly registers: Registers | null;
  /** How the registers were found. */
  readonly registersFrom: string;
  /** Non-volatile registers that come from the context at the bug check and not from the trap frame. */
  readonly carried: readonly string[];
  readonly exception: ExceptionRecordView | null;
  /** Exception code, of the record or of a parameter; null for bug checks of page faults. */
  readonly status: number | null;
  readonly reported: Reported | null;
  readonly trap: TrapInfo | null;
  readonly irql: Irql | null;
  readonly instruction: Instruction | null;
  readonly accesses: readonly Access[];
  /** The access that covers the reported address. */
  readonly match: Access | null;
  /** From the fault outwards; null without registers. */
  readonly trace: StackTrace | null;
  /** Of the trace. */
  readonly frames: readonly Frame[];
}

/** Codes whose handler raises them right in the trap handler, whose assembly leaves the non-volatile registers alone. */
const raisedByTrapHandler: ReadonlySet<number> = new Set([0x0a, 0xd1, 0x139, 0x7f]);
/** Codes that the trap handler raises before any exception is dispatched. */
const withoutRecord: ReadonlySet<number> = new Set([0x0a, 0xd1, 0x7f]);
const nonVolatile = ['rbx', 'rsi', 'rdi', 'r12', 'r13', 'r14', 'r15'];

export const faultContext: FactKey<Fault | null> = defineFact('fault context', ({ target }: Diagnosis) => {
  const code = target.bugcheck?.baseCode;
  const shape = code === undefined ? null : faultShape(code);
  return code === undefined || shape === null ? null : readFault(target, code, shape);
});

/** Also for bug checks whose fault is described elsewhere (0x139): the shape says which parameter is what. */
export function readFault(target: Target, code: number, shape: FaultShape): Fault {
  const narrow = (value: bigint): bigint => BigInt.asUintN(target.pointerSize * 8, value);
  const parameters = (target.bugcheck?.parameters ?? [0n, 0n, 0n, 0n]).map(narrow);
  const parameter = (index: number | undefined): bigint | null =>
    index === undefined ? null : (parameters[index] ?? null);
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  const thread = processor?.currentThread ?? null;
  const owner = thread === null ? null : target.thread(thread);
  const process = owner?.process ?? owner?.owningProcess ?? null;

  let exception = pointed(parameter(shape.record), (at) => readException(target, at));
  const status = exception?.code ?? statusOf(parameter(shape.status));
  let pc = parameter(shape.pc) ?? exception?.pc ?? null;
  if (pc === 0n && code !== 0xd1 && code !== 0x0a && code !== 0x1e && code !== 0x7e) pc = exception?.pc ?? null;
  const trapOrPc = parameter(shape.pcOrTrap);
  let trapAddress: bigint | null = parameter(shape.trap);
  let given = trapAddress;
  if (trapOrPc !== null && trapOrPc !== 0n) {
    // What is neither code nor readable as a trap frame may still be one that was not captured: then it says nothing.
    if (target.moduleAt(trapOrPc) !== undefined || trapOrPc === parameter(shape.address)) pc = trapOrPc;
    else if (isKernelTrap(target, trapOrPc)) {
      trapAddress = trapOrPc;
      given = trapOrPc;
    }
  }
  const maybe = parameter(shape.maybeTrap);
  if (maybe !== null && maybe !== 0n && target.stackAt(maybe) !== null && isKernelTrap(target, maybe))
    trapAddress = maybe;
  if (trapAddress !== null && !isKernelTrap(target, trapAddress)) trapAddress = null;

  const own = processor?.registers ?? null;
  const contextAt = parameter(shape.context);
  const context = pointed(contextAt, (at) => target.contextRecord(at));
  const goodContext =
    context !== null && (pc === null || context.pc === pc) && plausibleContext(target, context) ? context : null;
  pc ??= goodContext?.pc ?? (trapAddress === null ? null : (target.trapFrame(trapAddress)?.pc ?? null));

  // Neither pc nor record (0xBE, 0xFC, an old 0x50): the trap frame that the walk from the bug check meets first.
  const interrupted = processor?.interrupted ?? null;
  if (pc === null && interrupted !== null && !isUserMode(interrupted) && interrupted.source.startsWith('trap frame')) {
    pc = interrupted.pc;
    trapAddress ??= interrupted.address;
  }
  const found = own === null || pc === null ? null : searchStack(target, stackOf(target, goodContext ?? own), pc);
  if (found !== null) {
    // The trap handler goes to the bug check without a record: one on the stack is of the past, or none at all.
    if (!withoutRecord.has(code)) exception ??= lastRecord(target, found.records, status);
    const wantedSp = goodContext?.sp ?? null;
    trapAddress ??=
      found.trapFrames.find((at) => wantedSp !== null && target.trapFrame(at)?.sp === wantedSp) ??
      (wantedSp === null ? (found.trapFrames.find((at) => own === null || at >= own.sp) ?? null) : null);
  }
  const chosen = choose(target, { pc, goodContext, contextAt, trapAddress, given, interrupted, own });
  let { registers } = chosen;
  let carried: readonly string[] = [];
  if (registers?.partial === true && registers.arch === 'x64' && own !== null) {
    const completed = complete(target, registers, own, trapAddress, raisedByTrapHandler.has(code));
    registers = completed.registers;
    carried = completed.carried;
  }
  const trap = trapAddress === null ? null : trapInfo(target, trapAddress);
  const reported = reportedOf(target, code, shape, parameters, exception, status);
  const instruction = registers === null || isUserMode(registers) ? null : decode(target, registers.pc);
  const accesses =
    instruction === null || registers === null
      ? []
      : accessesOf(target, registers, instruction, processor?.prcb ?? null);
  const trace = registers === null ? null : target.walkStack(registers);
  return {
    code,
    shape,
    processor,
    thread,
    process,
    pc: pc ?? registers?.pc ?? null,
    registers,
    registersFrom: chosen.from,
    carried,
    exception,
    status: exception?.code ?? status,
    reported,
    trap,
    irql: irqlOf(target, shape, parameters, processor),
    instruction,
    accesses,
    match: reported === null || reported.unspecified ? null : matching(accesses, reported),
    trace,
    frames: trace?.frames ?? [],
  };
}

function pointed<T>(address: bigint | null, read: (at: bigint) => T | null): T | null {
  return address === null || address === 0n ? null : read(address);
}

/** NTSTATUS parameters come sign-extended on some builds (1000007E of 9600 and 19041). */
function statusOf(value: bigint | null): number | null {
  return value === null ? null : Number(value & 0xffff_ffffn);
}

function lastRecord(target: Target, records: readonly bigint[], status: number | null): ExceptionRecordView | null {
  const views = records.map((at) => readException(target, at)).filter((view) => view !== null);
  return views.findLast((view) => status === null || view.code === status) ?? null;
}

function isKernelTrap(target: Target, address: bigint): boolean {
  const registers = target.trapFrame(address);
  if (registers === null || isUserMode(registers)) return false;
  return registers.arch === 'arm64' || registers.values.get('cs') === (registers.arch === 'x64' ? 0x10n : 8n);
}

function plausibleContext(target: Target, registers: Registers): boolean {
  const cs = registers.values.get('cs');
  if (registers.arch !== 'arm64' && cs !== (registers.arch === 'x64' ? 0x10n : 8n)) return false;
  return target.stackAt(registers.sp) !== null || target.moduleAt(registers.pc) !== undefined;
}

interface Choice {
  readonly pc: bigint | null;
  readonly goodContext: Registers | null;
  readonly contextAt: bigint | null;
  readonly trapAddress: bigint | null;
  readonly given: bigint | null;
  readonly interrupted: Registers | null;
  readonly own: Registers | null;
}

function choose(target: Target, c: Choice): { registers: Registers | null; from: string } {
  const fits = (registers: Registers | null): registers is Registers =>
    registers !== null && (c.pc === null || registers.pc === c.pc);
  if (c.goodContext !== null)
    return {
      registers: c.goodContext,
      from: `context record ${(c.contextAt ?? 0n).toString(16)} of the bug check's parameters`,
    };
  if (c.trapAddress !== null) {
    const registers = target.trapFrame(c.trapAddress);
    if (fits(registers))
      return {
        registers,
        from: `trap frame ${c.trapAddress.toString(16)}${c.given === c.trapAddress ? " of the bug check's parameters" : ' on the stack'}`,
      };
  }
  if (c.pc !== null && fits(c.interrupted)) return { registers: c.interrupted, from: c.interrupted.source };
  if (c.pc !== null && fits(c.own)) return { registers: c.own, from: c.own.source };
  return { registers: null, from: 'no record of the faulting context was found' };
}

/** Adds the non-volatile registers that an x64 trap frame lacks: unwound ones first, then those at the bug check. */
function complete(
  target: Target,
  registers: Registers,
  own: Registers,
  trapAddress: bigint | null,
  byTrapHandler: boolean,
): { registers: Registers; carried: readonly string[] } {
  const frames = trapAddress === null ? [] : target.walkStack(own).frames;
  const behind = frames.findIndex((frame) => frame.trapFrame === trapAddress);
  const unwound = behind < 0 ? undefined : frames[behind + 1]?.registers.values;
  const values = new Map(registers.values);
  const carried: string[] = [];
  for (const name of nonVolatile) {
    if (values.has(name)) continue;
    const value = unwound?.get(name) ?? (byTrapHandler ? own.values.get(name) : undefined);
    if (value === undefined) continue;
    if (unwound?.get(name) === undefined) carried.push(name);
    values.set(name, value);
  }
  return { registers: { ...registers, values }, carried };
}

function trapInfo(target: Target, address: bigint): TrapInfo {
  const { memory } = target;
  const slot = address - BigInt(target.pointerSize);
  const back = memory.pointer(slot);
  const name = back === undefined ? null : target.nameOf(back);
  const symbol =
    name?.module === target.kernel && name?.module?.symbolOrigin !== 'export' ? name?.symbol?.display : undefined;
  const served = symbol === undefined ? null : trapOfHandler(symbol);
  const errorAt = address + (target.arch === 'x64' ? 0x160n : 0x64n);
  const error = target.arch === 'arm64' ? undefined : memory.u32(errorAt);
  const faultAt = address + 0xd0n;
  const cr2 = target.arch === 'x64' ? memory.u64(faultAt) : undefined;
  return {
    address,
    handler: served === null ? null : { symbol: `nt!${symbol}`, vector: served.vector, name: served.name, slot },
    errorCode: error === undefined ? null : { value: error, address: errorAt },
    faultAddress: cr2 === undefined ? null : { value: cr2, address: faultAt },
  };
}

function reportedOf(
  target: Target,
  code: number,
  shape: FaultShape,
  parameters: readonly bigint[],
  exception: ExceptionRecordView | null,
  status: number | null,
): Reported | null {
  const ones = target.pointerSize === 8 ? 0xffffffffffffffffn : 0xffffffffn;
  if (shape.address !== undefined) {
    const address = parameters[shape.address] ?? 0n;
    const access =
      typeof shape.access === 'number' ? accessOf(code, parameters[shape.access] ?? 0n) : (shape.access ?? null);
    return { address, access, from: `bug check parameter ${shape.address + 1}`, unspecified: false };
  }
  const exceptionCode = exception?.code ?? status;
  if (exceptionCode !== ACCESS_VIOLATION && exceptionCode !== IN_PAGE_ERROR && exceptionCode !== GUARD_PAGE)
    return null;
  const information =
    exception !== null && exception.information.length >= 2
      ? exception.information
      : (shape.information?.map((index) => parameters[index] ?? 0n) ?? []);
  const [kind, address] = information;
  if (kind === undefined || address === undefined) return null;
  const access = kind === 0n ? 'read' : kind === 1n ? 'write' : kind === 8n ? 'execute' : null;
  return {
    address,
    access,
    from:
      exception !== null && exception.information.length >= 2
        ? `exception record ${exception.address.toString(16)}`
        : `bug check parameters ${(shape.information ?? []).map((index) => index + 1).join(' and ')}`,
    unspecified: address === ones,
  };
}

function decode(target: Target, pc: bigint): Instruction | null {
  const { disassembler } = target;
  const bytes = target.memory.prefix(pc, disassembler.maxLength);
  if (bytes.length === 0) return null;
  const instruction = disassembler.decode(bytes, 0, va(pc));
  return instruction?.valid === true ? instruction : null;
}

/** The access whose bytes hold the reported address, in the reported direction; one that crosses into its page too. */
function matching(accesses: readonly Access[], reported: Reported): Access | null {
  const covers = (access: Access): boolean =>
    access.address !== null &&
    reported.address >= access.address &&
    reported.address < access.address + BigInt(access.size);
  const direction = (access: Access): boolean =>
    reported.access === null ||
    access.kind === 'read-write' ||
    (reported.access === 'write' ? access.kind === 'write' : access.kind === 'read');
  return accesses.find((a) => covers(a) && direction(a)) ?? accesses.find(covers) ?? null;
}

function irqlOf(
  target: Target,
  shape: FaultShape,
  parameters: readonly bigint[],
  processor: Processor | null,
): Irql | null {
  if (shape.irql !== undefined) {
    const level = Number((parameters[shape.irql] ?? 0n) & 0xffn);
    if (level <= (target.arch === 'x86' ? 31 : 15))
      return { level, kind: 'exact', source: `bug check parameter ${shape.irql + 1}`, address: null };
  }
  return processor?.irql ?? null;
}
