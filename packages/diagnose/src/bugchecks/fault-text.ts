/** Sentences about a fault, shared by the patterns that a fault can be. */
import type { Instruction } from '@dumpscope/cpu';
import type { Target } from '@dumpscope/debugger';
import { address } from '../engine/words.ts';
import type { AddressView } from './address-view.ts';
import type { Fault } from './fault-context.ts';
import type { FaultView } from './fault-view.ts';
import type { Access } from './operand.ts';

export function instructionText(target: Target, instruction: Instruction): string {
  const text = target.disassembler.format(instruction, (at) => {
    const name = target.nameOf(at);
    return name.module === null ? undefined : name.text;
  });
  const prefix = instruction.lock && !text.mnemonic.startsWith('lock') ? 'lock ' : '';
  return `${prefix}${text.mnemonic}${text.operands === '' ? '' : ` ${text.operands}`}`;
}

/** `Ntfs+0xeec45`, or the bare address. */
export function siteOf(target: Target, fault: Fault): string {
  return fault.pc === null ? 'an instruction that is not recorded' : target.nameOf(fault.pc).text;
}

/** `rbx=00000000`00002000, rcx=…`: the registers of an operand. */
export function partsText(target: Target, access: Access): string {
  return access.parts
    .map((part) => `${part.register}=${part.value === null ? '?' : address(target, part.value)}`)
    .join(', ');
}

export function verbOf(view: FaultView): string {
  if (view.execute) return 'jumped to';
  const { reported } = view.fault;
  const own = view.access === null ? null : view.access.kind === 'read' ? 'read' : 'write';
  // Without an address the record's kind of access is no more than a default.
  const access = reported?.unspecified === true ? own : (reported?.access ?? own);
  return access === 'write' ? 'wrote to' : access === 'read' ? 'read from' : 'referenced';
}

/** What the subject address is, as a clause: `in the null page (the first 64 KB, where nothing is ever mapped)`. */
export function kindClause(view: AddressView): string {
  const place =
    view.place === null ? '' : `, ${view.place.kind === 'stack' ? `in ${view.place.text}` : view.place.text}`;
  switch (view.kind) {
    case 'null-page':
      return 'in the first 64 KB, where nothing is ever mapped';
    case 'non-canonical':
      return view.presenceText;
    case 'user':
      return `a user-space address${place}; ${view.presenceText}`;
    case 'kernel':
      return `a kernel address${place}; ${view.presenceText}`;
  }
}

/** `cmp dword ptr [rbx+10h],r8d`, with what it locks. */
export function atomicNote(instruction: Instruction | null): string | null {
  if (instruction === null) return null;
  const atomic = instruction.lock || (instruction.mnemonic === 'xchg' && instruction.memory.length > 0);
  return atomic
    ? 'The instruction is atomic, as those that take and release locks are: the word it names is no lock any more, or never was.'
    : null;
}

export function pcEvidenceCommand(target: Target, pc: bigint): string {
  return `u ${pc.toString(16).padStart(target.pointerSize * 2, '0')} l1`;
}
