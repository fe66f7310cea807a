/** Evidence of a fault, in the order in which an analyst would look: report, context, instruction, operand, address, pointer, level, stack. */
import { describeGap } from '@dumpscope/core';
import type { Target } from '@dumpscope/debugger';
import type { Evidence } from '../engine/evidence.ts';
import { address, argument, irqlName } from '../engine/words.ts';
import { exceptionText } from './exception-names.ts';
import type { Fault } from './fault-context.ts';
import { instructionText, kindClause, partsText, pcEvidenceCommand } from './fault-text.ts';
import type { FaultView } from './fault-view.ts';
import { outsideFrame } from './outside-frame.ts';

const CONTEXT_BYTES = { x86: 0xcc, x64: 0x100, arm64: 0x110 } as const;
const TRAP_BYTES = { x86: 0x74, x64: 0x190, arm64: 0x150 } as const;

export function parameterEvidence(target: Target, evidence: Evidence): void {
  const bugcheck = target.bugcheck;
  if (bugcheck === null) return;
  const digits = target.pointerSize * 8;
  evidence.fact(
    `bugcheck ${bugcheck.baseCode.toString(16)}${bugcheck.name === null ? '' : ` ${bugcheck.name}`}: ${bugcheck.parameters.map((value) => BigInt.asUintN(digits, value).toString(16)).join(', ')}`,
    'true',
    '.bugcheck',
    'dump header',
  );
}

export function recordEvidence(target: Target, fault: Fault, evidence: Evidence): void {
  const { exception, registers, trap } = fault;
  if (exception !== null) {
    const information = exception.information.map((value) => value.toString(16)).join(', ');
    evidence.memory(
      `exception record: ${exceptionText(exception.code)} at ${target.nameOf(exception.pc).text}${information === '' ? '' : `, ${exception.information.length === 1 ? 'parameter' : 'parameters'} ${information}`}`,
      'true',
      exception.address,
      exception.length,
      `.exr ${argument(target, exception.address)}`,
    );
  }
  if (registers === null) {
    evidence.fact(`registers at the fault: ${fault.registersFrom}`, 'undetermined', 'k', 'no source');
    return;
  }
  const claim = `registers at the fault: ${fault.registersFrom}${fault.carried.length === 0 ? '' : `, with ${fault.carried.join(', ')} as at the bug check`}`;
  if (registers.address === null) evidence.fact(claim, 'true', 'r', registers.source);
  else {
    const isTrap = /trap/.test(registers.source);
    evidence.memory(
      claim,
      'true',
      registers.address,
      isTrap ? TRAP_BYTES[target.arch] : CONTEXT_BYTES[target.arch],
      `${isTrap ? '.trap' : '.cxr'} ${argument(target, registers.address)}`,
    );
  }
  if (trap === null) return;
  if (trap.handler !== null)
    evidence.memory(
      `the trap frame ${argument(target, trap.address)} was built by ${trap.handler.symbol}: vector ${trap.handler.vector.toString(16)}, ${trap.handler.name}`,
      'true',
      trap.handler.slot,
      target.pointerSize,
    );
  const { faultAddress, errorCode } = trap;
  if (faultAddress !== null && fault.reported !== null && faultAddress.value === fault.reported.address)
    evidence.memory(
      `its FaultAddress, the processor's CR2, is ${address(target, faultAddress.value)}: the reported address`,
      'true',
      faultAddress.address,
      8,
    );
  if (errorCode !== null && trap.handler?.vector === 0xe && errorCode.value < 0x100)
    evidence.memory(
      `its error code is ${errorCode.value.toString(16)}: ${errorText(errorCode.value)}`,
      'true',
      errorCode.address,
      4,
    );
}

/** Page-fault error code, Intel SDM: P, W, U, RSVD, I/D. */
function errorText(code: number): string {
  const parts = [
    (code & 0x10) !== 0 ? 'a fetch' : (code & 2) !== 0 ? 'a write' : 'a read',
    (code & 4) !== 0 ? 'from user mode' : 'from kernel mode',
    (code & 1) !== 0 ? 'that the page protection forbids' : 'of a page that is not present',
  ];
  if ((code & 8) !== 0) parts.push('with reserved bits set in a table entry');
  return parts.join(' ');
}

export function instructionEvidence(target: Target, view: FaultView, evidence: Evidence): void {
  const { fault } = view;
  if (fault.pc === null) return;
  const where = target.nameOf(fault.pc).text;
  if (fault.instruction === null) {
    const gap = target.memory.gap(fault.pc, 1);
    evidence.memory(
      gap === null ? `the bytes at ${where} are no instruction` : `the instruction at ${where} cannot be read`,
      gap === null ? 'true' : 'undetermined',
      fault.pc,
      gap === null ? target.disassembler.maxLength : 1,
      pcEvidenceCommand(target, fault.pc),
    );
  } else
    evidence.memory(
      `the instruction at ${where} is ${instructionText(target, fault.instruction)}`,
      'true',
      fault.pc,
      fault.instruction.length,
      pcEvidenceCommand(target, fault.pc),
    );
  if (view.midInstruction !== null)
    evidence.memory(
      `decoded from the start of its function, ${address(target, fault.pc)} lies inside the instruction at ${address(target, view.midInstruction)}`,
      'true',
      view.midInstruction,
      Number(fault.pc - view.midInstruction) + 1,
      pcEvidenceCommand(target, view.midInstruction),
    );
  for (const access of fault.accesses) {
    if (access.implicit && access !== view.access) continue;
    const what = `[${access.text}] is ${access.size === 1 ? 'a byte' : `${access.size} bytes`}`;
    if (access.address === null)
      evidence.fact(
        `${what} at an address that cannot be recomputed: ${access.missing} was not captured`,
        'undetermined',
        'r',
        fault.registersFrom,
      );
    else
      evidence.fact(
        `${what} at ${address(target, access.address)}${access.parts.length === 0 ? '' : ` (${partsText(target, access)})`}${comparison(view, access === view.access)}`,
        'true',
        'r',
        fault.registersFrom,
      );
  }
}

function comparison(view: FaultView, isSubject: boolean): string {
  const { reported } = view.fault;
  if (reported === null || view.execute) return '';
  if (reported.unspecified) return '; the report gives no address to compare with';
  if (isSubject) return ': what the report says';
  return view.agree === false ? `: not the reported ${reported.address.toString(16)}` : '';
}

export function addressEvidence(target: Target, view: FaultView, evidence: Evidence): void {
  const { subject, fault } = view;
  if (fault.reported !== null && !fault.reported.unspecified)
    evidence.fact(
      `${fault.reported.from} reports ${fault.reported.access === null ? 'a reference' : fault.reported.access === 'execute' ? 'a fetch' : `a ${fault.reported.access}`} at ${address(target, fault.reported.address)}`,
      'true',
      fault.exception !== null && fault.reported.from.startsWith('exception')
        ? `.exr ${argument(target, fault.exception.address)}`
        : '.bugcheck',
      fault.reported.from,
    );
  if (subject === null) return;
  const unknown = subject.kind !== 'null-page' && subject.presence === 'unknown';
  const claim = `${address(target, subject.address)} is ${kindClause(subject)}`;
  if (unknown) {
    const gap = target.memory.gap(subject.address, 1);
    evidence.fact(
      `${claim}${gap === null ? '' : ` (${describeGap(gap)})`}: whether it was mapped is not known`,
      'undetermined',
      `!pte ${argument(target, subject.address)}`,
      'page tables',
    );
  } else evidence.fact(claim, 'true', `!pte ${argument(target, subject.address)}`, 'page tables');
}

export function levelEvidence(target: Target, fault: Fault, evidence: Evidence): void {
  const { irql } = fault;
  if (irql === null) {
    evidence.fact('the IRQL at the fault is recorded nowhere in the dump', 'undetermined', '!irql', 'no source');
    return;
  }
  const claim = `IRQL ${irql.kind === 'minimum' ? 'at least ' : ''}${irqlName(irql.level)} (${irql.source})`;
  if (irql.address === null) evidence.fact(claim, 'true', '!irql', irql.source);
  else evidence.memory(claim, 'true', irql.address, 1);
  void target;
}

export function stackEvidence(target: Target, { trace }: Fault, evidence: Evidence): void {
  if (trace !== null && trace.frames.length > 0) outsideFrame(target, trace, evidence);
}
