/** Registers that a task switch saved in a 32-bit TSS; offsets: Intel SDM, figure of the task-state segment. */
import { type Memory, va } from '@dumpscope/core';

const slots: readonly (readonly [string, number])[] = [
  ['eip', 0x20],
  ['efl', 0x24],
  ['eax', 0x28],
  ['ecx', 0x2c],
  ['edx', 0x30],
  ['ebx', 0x34],
  ['esp', 0x38],
  ['ebp', 0x3c],
  ['esi', 0x40],
  ['edi', 0x44],
];
const CS = 0x4c;

/** What of the task at `tss` could be read, by WinDbg's names; selectors as the 16 bits that they are. */
export function taskState(memory: Memory, tss: bigint): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const [name, offset] of slots) {
    const value = memory.u32(va(tss + BigInt(offset)));
    if (value !== undefined) values.set(name, BigInt(value));
  }
  const cs = memory.u16(va(tss + BigInt(CS)));
  if (cs !== undefined) values.set('cs', BigInt(cs));
  return values;
}
