/** Which pattern a fault is, decided once: the rules of stack-overflow, unloaded-module, null-pointer, wild-code and invalid-pointer ask here. */
import type { Target } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { functionGraph } from '../facts/function-graph.ts';
import { type AddressView, NULL_PAGE_END, viewAddress } from './address-view.ts';
import { ACCESS_VIOLATION, GUARD_PAGE } from './exception-names.ts';
import { type Fault, faultContext } from './fault-context.ts';
import { type Access, alignmentOf, registerValue } from './operand.ts';
import { overflowOf, type StackOverflow, stacksOf } from './stack-bounds.ts';

export type FaultCategory = 'stack-overflow' | 'unloaded-module' | 'null-pointer' | 'wild-code' | 'invalid-pointer';

export interface FaultView {
  readonly fault: Fault;
  readonly category: FaultCategory;
  readonly verdict: string;
  /** What the fault is about: the referenced address, or where the pc went. */
  readonly subject: AddressView | null;
  readonly pc: AddressView | null;
  /** The processor tried to fetch code at the subject. */
  readonly execute: boolean;
  /** The operand as recomputed and the report agree; null where one of them is missing. */
  readonly agree: boolean | null;
  /** The access that explains the fault. */
  readonly access: Access | null;
  readonly overflow: StackOverflow | null;
  /** Instruction that the pc lies inside of, where it is no boundary. */
  readonly midInstruction: bigint | null;
}

/** Null where there is no fault, or one that is no matter of addresses (a division, a breakpoint). */
export const faultView: FactKey<FaultView | null> = defineFact('fault view', (diagnosis: Diagnosis) => {
  const fault = diagnosis.fact(faultContext);
  return fault === null ? null : classify(diagnosis.target, fault);
});

function classify(target: Target, fault: Fault): FaultView | null {
  const pc = fault.pc === null ? null : viewAddress(target, fault.pc, fault.process);
  const midInstruction = fault.pc === null ? null : insideInstruction(target, fault.pc);
  const base = { fault, pc, overflow: null, midInstruction };
  // Without the kernel itself among them the modules are not known, and being in none of them says nothing.
  const lost = pc !== null && pc.place?.kind !== 'module' && target.kernel !== null;
  const addressing = fault.status === null || fault.status === ACCESS_VIOLATION || fault.status === GUARD_PAGE;
  if (!addressing) {
    if (midInstruction === null && !lost) return null;
    return { ...base, ...lostPc(pc, midInstruction), subject: pc, execute: false, agree: null, access: null };
  }
  const { reported } = fault;
  if (reported === null) {
    if (pc !== null && (lost || midInstruction !== null))
      return { ...base, ...lostPc(pc, midInstruction), subject: pc, execute: false, agree: null, access: null };
    return inferred(target, base);
  }
  if (reported.unspecified) return unspecified(target, base);
  const execute =
    reported.access === 'execute' ||
    (reported.access !== 'write' && fault.pc === reported.address && fault.match === null);
  const subject = viewAddress(target, reported.address, fault.process);
  const agree = execute
    ? fault.pc === null
      ? null
      : fault.pc === reported.address
    : fault.match !== null
      ? true
      : fault.accesses.length === 0 || fault.accesses.some((access) => access.address === null)
        ? null
        : false;
  const common = { ...base, subject, execute, agree, access: fault.match };
  if (!execute) {
    const overflow = overflowOf(target, stacksOf(fault), fault.registers?.sp ?? null, reported.address);
    if (overflow?.by === 'access') return { ...common, category: 'stack-overflow', verdict: 'overflow', overflow };
  }
  if (subject.place?.kind === 'unloaded')
    return { ...common, category: 'unloaded-module', verdict: execute ? 'code' : 'data' };
  if (pc?.place?.kind === 'unloaded') return { ...common, subject: pc, category: 'unloaded-module', verdict: 'code' };
  if (subject.kind === 'null-page') return { ...common, category: 'null-pointer', verdict: execute ? 'code' : 'data' };
  if (execute && (target.kernel !== null || subject.kind !== 'kernel')) return { ...common, ...fetch(fault, subject) };
  if (lost || midInstruction !== null) return { ...common, ...lostPc(pc, midInstruction) };
  return { ...common, category: 'invalid-pointer', verdict: pointerVerdict(fault, subject) };
}

function lostPc(pc: AddressView | null, mid: bigint | null): Pick<FaultView, 'category' | 'verdict'> {
  if (pc?.place?.kind === 'unloaded') return { category: 'unloaded-module', verdict: 'code' };
  if (pc?.kind === 'null-page') return { category: 'null-pointer', verdict: 'code' };
  if (mid !== null && pc?.place?.kind === 'module') return { category: 'wild-code', verdict: 'mid-instruction' };
  return { category: 'wild-code', verdict: pc?.place?.kind === 'stack' ? 'stack' : 'no-module' };
}

/** A fetch that failed. */
function fetch(fault: Fault, subject: AddressView): Pick<FaultView, 'category' | 'verdict'> {
  if (subject.place?.kind === 'stack') return { category: 'wild-code', verdict: 'stack' };
  if (subject.place?.kind === 'module') {
    const raised = (fault.irql?.level ?? 0) >= 2;
    if (subject.presence === 'not-resident' || (raised && subject.presence !== 'present'))
      return { category: 'invalid-pointer', verdict: 'pageable-code' };
    return { category: 'wild-code', verdict: 'not-executable' };
  }
  if (subject.kind === 'non-canonical') return { category: 'wild-code', verdict: 'non-canonical' };
  return { category: 'wild-code', verdict: subject.kind === 'user' ? 'user-address' : 'no-module' };
}

const bySpecialPool: ReadonlyMap<number, string> = new Map([
  [0xcc, 'freed'],
  [0xd5, 'freed'],
  [0xcd, 'beyond-allocation'],
  [0xd6, 'beyond-allocation'],
  [0xbe, 'write-protected'],
]);

function pointerVerdict(fault: Fault, subject: AddressView): string {
  const known = bySpecialPool.get(fault.code);
  if (known !== undefined) return known;
  if (subject.kind === 'non-canonical') return 'non-canonical';
  const write = fault.reported?.access === 'write';
  const pageFault =
    fault.trap?.handler === undefined || fault.trap?.handler === null || fault.trap.handler.vector === 0xe;
  const error =
    fault.trap?.faultAddress?.value === subject.address && pageFault ? (fault.trap?.errorCode?.value ?? null) : null;
  if (write && (subject.protection?.writable === false || (error !== null && (error & 3) === 3)))
    return 'write-protected';
  if (subject.kind === 'user') return 'user-address';
  if (subject.presence === 'not-present') return 'not-mapped';
  if (subject.presence === 'not-resident') return 'pageable';
  // Captured bytes alone show that a read would have succeeded; whether a write would have, only the tables do.
  if (subject.presence === 'present' && (subject.protection !== null || fault.reported?.access === 'read'))
    return 'contradiction';
  return 'kernel-address';
}

/** An access violation whose record is gone: the one operand that the instruction has must be what it touched. */
function inferred(
  target: Target,
  base: Pick<FaultView, 'fault' | 'pc' | 'overflow' | 'midInstruction'>,
): FaultView | null {
  const { fault } = base;
  const explicit = fault.accesses.filter((access) => !access.implicit);
  const [only] = explicit;
  if (only === undefined || explicit.length > 1 || only.address === null) return null;
  const subject = viewAddress(target, only.address, fault.process);
  const common = { ...base, subject, execute: false, agree: null, access: only };
  if (subject.place?.kind === 'unloaded') return { ...common, category: 'unloaded-module', verdict: 'data' };
  if (subject.kind === 'null-page') return { ...common, category: 'null-pointer', verdict: 'data' };
  return { ...common, category: 'invalid-pointer', verdict: pointerVerdict(fault, subject) };
}

/** All ones for an address: no page fault. A non-canonical operand or branch target explains it, a misaligned one too. */
function unspecified(target: Target, base: Pick<FaultView, 'fault' | 'pc' | 'overflow' | 'midInstruction'>): FaultView {
  const { fault, pc, midInstruction } = base;
  if (pc !== null && pc.place?.kind !== 'module' && target.kernel !== null)
    return { ...base, ...lostPc(pc, midInstruction), subject: pc, execute: false, agree: null, access: null };
  const views = fault.accesses.map((access) => ({
    access,
    view: access.address === null ? null : viewAddress(target, access.address, fault.process),
  }));
  const bad = views.find(({ view }) => view?.kind === 'non-canonical');
  if (bad?.view != null)
    return {
      ...base,
      category: 'invalid-pointer',
      verdict: 'non-canonical',
      subject: bad.view,
      execute: false,
      agree: true,
      access: bad.access,
    };
  const branch = branchTarget(target, fault);
  if (branch !== null) {
    const view = viewAddress(target, branch, fault.process);
    if (view.kind === 'non-canonical')
      return {
        ...base,
        category: 'wild-code',
        verdict: 'non-canonical',
        subject: view,
        execute: true,
        agree: true,
        access: fault.accesses[0] ?? null,
      };
  }
  const { instruction } = fault;
  const skewed =
    instruction === null
      ? undefined
      : views.find(
          ({ access, view }) =>
            view !== null && !access.implicit && view.address % BigInt(alignmentOf(instruction, access.size)) !== 0n,
        );
  if (skewed?.view != null)
    return {
      ...base,
      category: 'invalid-pointer',
      verdict: 'misaligned',
      subject: skewed.view,
      execute: false,
      agree: true,
      access: skewed.access,
    };
  if (midInstruction !== null)
    return {
      ...base,
      category: 'wild-code',
      verdict: 'mid-instruction',
      subject: pc,
      execute: false,
      agree: null,
      access: null,
    };
  const first = views.find(({ access }) => !access.implicit) ?? views[0];
  const unknown = fault.accesses.length === 0 || views.some(({ view }) => view === null);
  return {
    ...base,
    category: 'invalid-pointer',
    verdict: 'no-page-fault',
    subject: first?.view ?? null,
    execute: false,
    agree: unknown ? null : false,
    access: first?.access ?? null,
  };
}

/** Where an indirect call, jump or return would go; null for other instructions and unknown values. */
export function branchTarget(target: Target, fault: Fault): bigint | null {
  const { instruction, registers } = fault;
  if (instruction === null || registers === null) return null;
  if (instruction.flow !== 'indirect-call' && instruction.flow !== 'indirect-jump' && instruction.flow !== 'return')
    return null;
  const [operand] = instruction.operands;
  if (instruction.flow !== 'return' && operand?.kind === 'register')
    return registerValue(registers, operand.register) ?? null;
  const read = fault.accesses.find((access) => access.kind === 'read');
  return read?.address == null ? null : (target.memory.pointer(read.address) ?? null);
}

/** Start of the instruction that an address lies inside of, by decoding its function from the entry; null where it is a boundary or unknown. */
function insideInstruction(target: Target, pc: bigint): bigint | null {
  if (target.arch === 'arm64' || target.moduleAt(pc) === undefined || pc < NULL_PAGE_END) return null;
  const graph = functionGraph(target, pc);
  if (graph === null) return null;
  let covering: bigint | null = null;
  for (const block of graph.blocks) {
    for (const instruction of block.instructions) {
      if (instruction.address === pc) return null;
      if (pc > instruction.address && pc < instruction.address + BigInt(instruction.length))
        covering = instruction.address;
    }
  }
  return covering;
}
