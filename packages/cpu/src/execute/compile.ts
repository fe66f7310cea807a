import type { Instruction } from '../instruction.ts';
import { type Machine, NEXT } from './machine.ts';
import { ALU } from './ops-alu.ts';
import { BITS } from './ops-bits.ts';
import { CONTROL } from './ops-control.ts';
import { DATA } from './ops-data.ts';
import { MULTIPLY } from './ops-multiply.ts';
import { STRINGS } from './ops-string.ts';
import { compileAddress } from './places.ts';
import { flagBits, registerPart } from './state.ts';
import type { Compile, Step } from './step.ts';

const TABLE = new Map<string, Compile>(
  [ALU, BITS, CONTROL, DATA, MULTIPLY, STRINGS].flatMap((part) => Object.entries(part)),
);

/** True when the executor models the instruction itself rather than forgetting what it may change. */
export function isModelled(instruction: Instruction, is64: boolean): boolean {
  return TABLE.get(instruction.mnemonic)?.(instruction, is64) != null;
}

/**
 * An instruction that is not modelled: everything that it may write becomes unknown. Where it may write, or where it goes,
 * must be known for that; otherwise the execution ends.
 */
function forget(instruction: Instruction, is64: boolean): Step {
  const give = (m: Machine): number => {
    m.stopUnknown('instruction', m.undetermined(instruction.mnemonic));
    return NEXT;
  };
  if (instruction.flow !== 'next' || instruction.rep !== null) return give;
  // These write registers or memory that no operand names.
  if (OPAQUE.has(instruction.mnemonic) || instruction.writes.includes('fs') || instruction.writes.includes('gs'))
    return give;
  const registers = instruction.writes.map((name) => registerPart(name)?.index ?? -1).filter((i) => i >= 0);
  const stores: { locate: (m: Machine) => void; size: number }[] = [];
  for (const { operand, access } of instruction.memory) {
    if (access !== 'write' && access !== 'read-write') continue;
    const locate = compileAddress(operand, is64, true);
    if (!locate || operand.size === 0 || operand.size > 512) return give;
    stores.push({ locate, size: operand.size });
  }
  const flags = flagBits(instruction.flagsWritten) | flagBits(instruction.flagsUndefined);
  return (m) => {
    const why = m.undetermined(instruction.mnemonic);
    for (const { locate, size } of stores) {
      locate(m);
      const lo = m.addressLo;
      const hi = m.addressHi;
      for (let i = 0; i < size; i++) {
        const sum = (lo >>> 0) + i;
        m.addressLo = sum | 0;
        m.addressHi = (hi + (sum > 0xffffffff ? 1 : 0)) | 0;
        m.storeMemory(1, 0, 0, 0, why);
        if (m.halt) return NEXT;
      }
    }
    for (const i of registers) {
      m.knownBytes[i] = m.is64 ? 0 : 0xf0;
      m.lo[i] = 0;
      m.hiWords[i] = 0;
      m.whyIds[i] = why;
    }
    m.forgetFlags(flags, why);
    return NEXT;
  };
}

const OPAQUE = new Set([
  ...[
    'vmcall',
    'vmmcall',
    'vmlaunch',
    'vmresume',
    'vmrun',
    'xsave',
    'xsavec',
    'xsaves',
    'xsaveopt',
    'xrstor',
    'xrstors',
  ],
  ...[
    'xsave64',
    'xsavec64',
    'xsaves64',
    'xsaveopt64',
    'xrstor64',
    'xrstors64',
    'ltr',
    'lgdt',
    'lidt',
    'swapgs',
    'wrmsr',
  ],
  ...['wrgsbase', 'wrfsbase', 'arpl', 'lds', 'les', 'lfs', 'lgs', 'lss'],
]);

export function compile(instruction: Instruction, is64: boolean): Step {
  return TABLE.get(instruction.mnemonic)?.(instruction, is64) ?? forget(instruction, is64);
}
