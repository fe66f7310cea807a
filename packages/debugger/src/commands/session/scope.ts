import type { Memory, Va } from '@dumpscope/core';
import type { Instruction } from '@dumpscope/cpu';
import type { TypeRef } from '@dumpscope/symbols';
import { namedType, pointerTo, UCHAR } from '../../expressions/cpp-types.ts';
import { type ExpressionScope, masmAddress, type PseudoValue } from '../../expressions/scope.ts';
import type { Registers } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { shownFrames } from '../stack/stack-format.ts';
import { effectiveAddress, shownOperand } from './effective-address.ts';
import { pcrAddress } from './pcr-address.ts';
import { isCommonRegister, registerByName } from './registers-by-name.ts';
import { currentProcess, currentRegisters, currentThread, processorOf, sessionMemory } from './session.ts';
import { sessionVariables, withExpressionTypes } from './variables.ts';

/** The session as the evaluators see it. Nothing is cached: commands build one per run. */
export function sessionScope(session: Session): ExpressionScope {
  const { target } = session;
  const memory = sessionMemory(session);
  const variables = sessionVariables(session);
  let registers: Registers | null | undefined;
  const current = (): Registers | null =>
    registers === undefined ? (registers = currentRegisters(session)) : registers;
  return {
    pointerSize: target.pointerSize,
    radix: session.radix,
    evaluator: session.evaluator,
    types: target.layouts.table,
    typesFor: (text) => withExpressionTypes(session, text).target.layouts.table,
    isCommonRegister: (name) => isCommonRegister(target.arch, name),
    register(name) {
      const set = current();
      return set === null ? undefined : registerByName(set, name);
    },
    pseudo: (name) => pseudoRegister(session, name, current),
    symbol: (name) => variables.local(name)?.address ?? target.resolve(name),
    variable: (name) => variables.local(name) ?? variables.global(name),
    read(address, size) {
      switch (size) {
        case 1:
        case 2:
        case 4: {
          const value = size === 1 ? memory.u8(address) : size === 2 ? memory.u16(address) : memory.u32(address);
          return value === undefined ? undefined : BigInt(value);
        }
        case 8:
          return memory.u64(address);
      }
    },
    readPhysical(address, size) {
      const physical = target.dump.physical;
      if (physical === null || address > 0xf_ffff_ffff_ffffn) return undefined;
      const bytes = new Uint8Array(size);
      if (physical.readInto(Number(address) as Parameters<typeof physical.readInto>[0], bytes) < size) return undefined;
      return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
    },
    isReadable: (address, length) => memory.gap(address, Math.max(1, length)) === null,
    imageEntry: (base) => imageEntry(memory, base),
  };
}

function pseudoRegister(session: Session, name: string, registers: () => Registers | null): PseudoValue | undefined {
  const { target } = session;
  const { pointerSize } = target;
  const table = target.layouts.table;
  const number = (value: bigint | number | null | undefined): PseudoValue | undefined =>
    value === null || value === undefined ? undefined : { value: BigInt.asUintN(64, BigInt(value)), type: null };
  const address = (
    value: bigint | null | undefined,
    type: TypeRef = pointerTo(UCHAR, table),
  ): PseudoValue | undefined =>
    value === null || value === undefined ? undefined : { value: masmAddress(value, pointerSize), type };
  const pointer = (struct: string): TypeRef => pointerTo(namedType(struct, table) ?? UCHAR, table);
  const thread = (): ReturnType<typeof target.thread> => {
    const current = currentThread(session);
    return current === null ? null : target.thread(current);
  };
  const processField = (field: string): bigint | null => {
    const current = currentProcess(session);
    return current === null ? null : (target.process(current)?.field(field) ?? null);
  };

  const user = session.pseudo.get(name);
  if (user !== undefined) return number(user);
  if (/^\$t1?\d$/.test(name)) return number(0);
  switch (name) {
    case '$ip':
    case '$eventip':
    case '$previp':
    case '$relip':
      return address(registers()?.pc);
    case '$scopeip': {
      const start = registers();
      if (start === null || session.frame === 0) return address(start?.pc);
      return address(
        shownFrames(session, target.walkStack(start, { limit: session.frame + 1 }))[session.frame]?.frame.pc,
      );
    }
    case '$csp':
      return address(registers()?.sp);
    case '$ra': {
      const start = registers();
      return start === null ? undefined : address(target.walkStack(start, { limit: 1 }).frames[0]?.returnAddress);
    }
    case '$retreg':
    case '$retreg64': {
      const set = registers();
      const low = set?.values.get(target.arch === 'x86' ? 'eax' : target.arch === 'x64' ? 'rax' : 'x0');
      const high = set?.values.get('edx');
      if (name === '$retreg64' && target.arch === 'x86' && low !== undefined && high !== undefined) {
        return number((high << 32n) | low);
      }
      return target.arch === 'x86' ? address(low) : number(low);
    }
    case '$ea':
    case '$ea2':
      return address(currentEffectiveAddress(session, registers(), name === '$ea2'));
    case '$thread':
      return address(currentThread(session), pointer('_ETHREAD'));
    case '$proc':
      return address(currentProcess(session), pointer('_EPROCESS'));
    case '$prcb':
      return address(processorOf(session)?.prcb, pointer('_KPRCB'));
    case '$pcr': {
      const processor = processorOf(session);
      return processor === null ? undefined : address(pcrAddress(target, processor), pointer('_KPCR'));
    }
    case '$peb':
      return address(processField('Peb'), pointer('_PEB'));
    case '$teb':
      return address(thread()?.teb, pointer('_TEB'));
    case '$tpid':
      return number(thread()?.cid?.process);
    case '$tid':
      return number(thread()?.cid?.thread);
    case '$frame':
      return number(session.frame);
    case '$ntsym':
    case '$ntnsym':
    case '$ntwsym':
      // The module that has the NT symbols; in a kernel dump all three are the kernel.
      return address(target.kernel?.base);
    case '$exentry':
      return address(executableEntry(session, processField('Peb')));
    // Nothing was displayed, called or returned yet.
    case '$p':
    case '$exp':
    case '$callret':
    case '$extret':
      return number(0);
    case '$ptrsize':
      return number(pointerSize);
    case '$pagesize':
      return number(0x1000);
    case '$dbgtime':
      return number(target.time.systemTime);
    case '$bug_code':
      return number(target.bugcheck?.code);
  }
  const bugParameter = /^\$bug_param([1-4])$/.exec(name);
  if (bugParameter) return number(target.bugcheck?.parameters[Number(bugParameter[1]) - 1]);
  const exception = target.dump.header.exception;
  if (exception !== null) {
    if (name === '$exr_code') return number(exception.code);
    if (name === '$exr_numparams') return number(exception.parameters.length);
    const parameter = /^\$exr_param(\d+)$/.exec(name);
    if (parameter) return number(exception.parameters[Number(parameter[1])]);
  }
  return undefined;
}

/** Entry point of the process's executable: PEB.ImageBaseAddress, then its headers. */
function executableEntry(session: Session, peb: bigint | null): Va | null {
  const memory = sessionMemory(session);
  const base =
    peb === null || peb === 0n ? undefined : memory.pointer(peb + (session.target.pointerSize === 8 ? 0x10n : 8n));
  return base === undefined ? null : (imageEntry(memory, base) ?? null);
}

function imageEntry(memory: Memory, base: bigint): Va | undefined {
  const header = memory.u32(base + 0x3cn);
  if (memory.u16(base) !== 0x5a4d || header === undefined || header > 0x10000) return undefined;
  const entry = memory.u32(base + BigInt(header) + 0x28n);
  return entry === undefined ? undefined : ((base + BigInt(entry)) as Va);
}

/** Address of the first (or second) memory operand of the current instruction. */
function currentEffectiveAddress(session: Session, registers: Registers | null, second: boolean): Va | null {
  if (registers === null) return null;
  const instruction = instructionAt(session, registers.pc);
  if (instruction === null) return null;
  if (!second) {
    const operand = shownOperand(instruction);
    return operand === null ? null : effectiveAddress(operand, registers);
  }
  const operand = instruction.memory[1]?.operand;
  return operand === undefined ? null : effectiveAddress(operand, registers);
}

/** Decodes the instruction at an address; null where its bytes are missing or none. */
export function instructionAt(session: Session, address: bigint): Instruction | null {
  const { disassembler, code } = session.target;
  const bytes =
    code(address as Va, disassembler.maxLength) ?? sessionMemory(session).prefix(address, disassembler.maxLength);
  if (bytes.length === 0) return null;
  const instruction = disassembler.decode(bytes, 0, address as Va);
  return instruction?.valid ? instruction : null;
}
