import { type Memory, type Va, va } from '@dumpscope/core';
import type { Process, Registers } from './model.ts';
import { makeRegisters } from './registers.ts';

/** The 32-bit half of a process on 64-bit Windows. */

/** CS of 32-bit user code; 64-bit code runs with 33. */
export const WOW64_CODE_SELECTOR = 0x23n;

/** TEB64.TlsSlots[1], WOW64_TLS_CPURESERVED: where the 64-bit half keeps the 32-bit context while it runs. */
const CPU_RESERVED = 0x1480n + 8n;
const CONTEXT_I386 = 0x10000;

/** CONTEXT of x86, four bytes into the reserved area: the general registers. */
const CONTEXT_FIELDS: readonly (readonly [string, number])[] = [
  ['gs', 0x8c],
  ['fs', 0x90],
  ['es', 0x94],
  ['ds', 0x98],
  ['edi', 0x9c],
  ['esi', 0xa0],
  ['ebx', 0xa4],
  ['edx', 0xa8],
  ['ecx', 0xac],
  ['eax', 0xb0],
  ['ebp', 0xb4],
  ['eip', 0xb8],
  ['cs', 0xbc],
  ['efl', 0xc0],
  ['esp', 0xc4],
  ['ss', 0xc8],
];

/**
 * PEB32 of a process; null for one without. EPROCESS.Wow64Process is the PEB32 itself up to Windows 8.1, from Windows 10
 * on WoW64Process points at an EWOW64PROCESS whose first member it is.
 */
export function wow64Peb(process: Process | null, memory: Memory): Va | null {
  const value = process?.field('WoW64Process') ?? process?.field('Wow64Process') ?? null;
  if (value === null || value === 0n) return null;
  const peb = value < 0x1_0000_0000n ? value : memory.pointer(value);
  return peb === undefined || peb === 0n || peb >= 0x1_0000_0000n ? null : va(peb);
}

/** The 32-bit registers that a thread in 64-bit code goes back to; null where they are not in the dump. */
export function wow64SavedContext(memory: Memory, teb: Va): Registers | null {
  const area = memory.pointer(teb + CPU_RESERVED);
  if (area === undefined || area === 0n) return null;
  const bytes = memory.bytes(area + 4n, 0xcc);
  if (bytes === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if ((view.getUint32(0, true) & CONTEXT_I386) === 0) return null;
  const values = new Map(CONTEXT_FIELDS.map(([name, offset]) => [name, BigInt(view.getUint32(offset, true))]));
  if ((values.get('eip') ?? 0n) === 0n) return null;
  return makeRegisters('x86', values, 'saved WOW64 context', va(area + 4n), false);
}

const NARROW: readonly (readonly [string, string])[] = [
  ['rax', 'eax'],
  ['rbx', 'ebx'],
  ['rcx', 'ecx'],
  ['rdx', 'edx'],
  ['rsi', 'esi'],
  ['rdi', 'edi'],
  ['rbp', 'ebp'],
  ['rsp', 'esp'],
  ['rip', 'eip'],
  ['efl', 'efl'],
  ['cs', 'cs'],
  ['ss', 'ss'],
];

/** Registers of 32-bit code that was interrupted, out of the 64-bit frame that saved them. */
export function narrowRegisters(registers: Registers): Registers {
  const values = new Map<string, bigint>();
  for (const [wide, narrow] of NARROW) {
    const value = registers.values.get(wide);
    if (value !== undefined) values.set(narrow, BigInt.asUintN(32, value));
  }
  return makeRegisters('x86', values, registers.source, registers.address ?? null, registers.partial);
}
