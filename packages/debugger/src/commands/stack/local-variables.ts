import { type Arch, type Va, va } from '@dumpscope/core';
import type { LocalVariable, TypeRef } from '@dumpscope/symbols';
import type { Frame } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { nameIn } from '../session/names.ts';
import { codeAddress } from './code-address.ts';

export interface VariableValue {
  readonly name: string;
  readonly type: TypeRef | null;
  readonly isParameter: boolean;
  /** Where it lies; null for one in a register and for one that the compiler kept nowhere. */
  readonly address: Va | null;
  /** Value of a register variable. */
  readonly register: bigint | null;
  readonly where: string;
}

const X86 = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const;
const X64 = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'] as const;
/** CodeView's virtual frame of x86: the saved EBP slot of a standard frame. */
const VFRAME = 30006;

/** Name of a CodeView register (cvconst.h); null for those that hold no general value. */
export function codeViewRegister(arch: Arch, number: number): string | null {
  if (arch === 'x86') return X86[number - 17] ?? null;
  if (arch === 'x64') {
    if (number >= 328 && number <= 335) return X64[number - 328] ?? null;
    return number >= 336 && number <= 343 ? `r${number - 336 + 8}` : null;
  }
  if (number >= 50 && number <= 78) return `x${number - 50}`;
  return { 79: 'fp', 80: 'lr', 81: 'sp' }[number] ?? null;
}

function baseOf(session: Session, frame: Frame, register: number): bigint | null {
  if (session.target.arch === 'x86' && register === VFRAME) {
    return frame.returnSlot === null ? null : frame.returnSlot - 4n;
  }
  const name = codeViewRegister(session.target.arch, register);
  return name === null ? null : (frame.registers.values.get(name) ?? null);
}

function locate(session: Session, frame: Frame, variable: LocalVariable): VariableValue {
  const { place } = variable;
  const base = {
    name: variable.name,
    type: variable.type,
    isParameter: variable.isParameter,
    address: null,
    register: null,
  };
  if (place === null) return { ...base, where: '<value unavailable>' };
  if (place.kind === 'memory') {
    const start = baseOf(session, frame, place.register);
    if (start === null) return { ...base, where: '<register not known>' };
    const address = va(BigInt.asUintN(session.target.pointerSize * 8, start + BigInt(place.offset)));
    return { ...base, address, where: 'memory' };
  }
  if (place.kind === 'register') {
    const name = codeViewRegister(session.target.arch, place.register);
    const value = name === null ? undefined : frame.registers.values.get(name);
    if (name === null || value === undefined || place.offsetInParent !== 0)
      return { ...base, where: `<in ${name ?? 'a register'}>` };
    return { ...base, register: value, where: `@${name}` };
  }
  return { ...base, where: '<static>' };
}

/** Variables of a frame by the private PDB of its module; empty without one. */
export function localVariables(session: Session, frame: Frame, process?: bigint | null): VariableValue[] {
  const at = codeAddress(frame);
  const { module } = nameIn(session, at, process);
  const variables = module?.debugInfo?.locals?.(Number(at - (module?.base ?? 0n))) ?? [];
  return variables.map((variable) => locate(session, frame, variable));
}
