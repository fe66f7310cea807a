import { va, vaAdd } from '@dumpscope/core';
import type { Registers, Target } from '../../target/model.ts';
import { makeRegisters } from '../../target/registers.ts';

/**
 * Where a thread that does not run goes on: the switch frame at KTHREAD.KernelStack. x64 _KSWITCH_FRAME: Rbp +30h, Return
 * +38h (the same in 7601 to 22000); x86: ExceptionList, a flags word, return address. A running thread has its
 * processor's registers. Null where the stack or the field cannot be read, or on ARM64 for a switched-out thread.
 */
export function threadRegisters(target: Target, address: bigint): Registers | null {
  const running = target.processors.find((p) => p.currentThread === address);
  if (running !== undefined) return running.registers;
  const kernelStack = target.thread(address)?.kernelStack ?? null;
  if (kernelStack === null) return null;
  const read = (offset: number): bigint | undefined => target.memory.pointer(kernelStack + BigInt(offset));
  const values = new Map<string, bigint>();
  if (target.arch === 'x64') {
    const rip = read(0x38);
    const rbp = read(0x30);
    if (rip === undefined || rip === 0n) return null;
    values.set('rip', rip).set('rsp', vaAdd(kernelStack, 0x40));
    if (rbp !== undefined) values.set('rbp', rbp);
  } else if (target.arch === 'x86') {
    const eip = read(8);
    if (eip === undefined || eip === 0n) return null;
    values.set('eip', eip).set('esp', BigInt.asUintN(32, kernelStack + 12n));
    // KiSwapContext saves ebx, esi, edi, ebp right above the return address of SwapContext.
    for (const [name, offset] of [
      ['ebp', 12],
      ['edi', 16],
      ['esi', 20],
      ['ebx', 24],
    ] as const) {
      const value = read(offset);
      if (value !== undefined) values.set(name, value);
    }
  } else return null;
  return makeRegisters(target.arch, values, `switch frame of thread ${address.toString(16)}`, va(kernelStack), true);
}
