import { type Arch, type Memory, type Va, va } from '@dumpscope/core';
import type { StructReader } from './fields.ts';
import type { InterruptedContext } from './interrupted.ts';
import type { Bugcheck, ContextTrust, Irql, Registers, StackKind } from './model.ts';

/** IRQL of the interrupted code, each source in the order in which it can be trusted. */

/** KTRAP_FRAME.PreviousIrql: x64 +29, ARM64 +3; Windows 10 x86 +47 where the layout has it. */
export function trapFrameIrql(memory: Memory, arch: Arch, address: bigint, x86Offset: number | null): Irql | null {
  const offset = arch === 'x64' ? 0x29 : arch === 'arm64' ? 3 : x86Offset;
  if (offset === null) return null;
  const at = va(address + BigInt(offset));
  const level = memory.u8(at);
  if (level === undefined || level > (arch === 'x86' ? 31 : 15)) return null;
  return {
    level,
    kind: 'exact',
    source: `trap frame ${address.toString(16).padStart(arch === 'x86' ? 8 : 16, '0')} PreviousIrql`,
    address: at,
  };
}

/**
 * Task-priority register of the local APIC (FFFE0080) by the priority classes that the x86 APIC HAL programs. It is the
 * level at the moment of the dump: 0xff only says that the dump was being written.
 */
const tprLevels: ReadonlyMap<number, number> = new Map([
  [0x00, 0],
  [0x3d, 1],
  [0x41, 2],
  [0xc1, 27],
  [0xd1, 28],
  [0xe1, 29],
]);

export interface IrqlInput {
  readonly arch: Arch;
  readonly memory: Memory;
  readonly prcb: StructReader;
  readonly trust: ContextTrust;
  readonly interrupted: InterruptedContext | null;
  readonly bugcheck: Bugcheck | null;
  /** Stack that the interrupted code ran on. */
  readonly stack: StackKind;
  readonly dpcActive: boolean | null;
  readonly userMode: boolean;
  readonly x86IrqlOffset: number | null;
  /** Function whose frame holds the trap frame, where names are known. */
  readonly dispatchedBy: string | null;
  /** Offset of KINTERRUPT.Irql; null where the layout lacks it. */
  readonly interruptIrqlOffset: number | null;
  /** Offset of KINTERRUPT.Vector; null where the layout lacks it. */
  readonly interruptVectorOffset: number | null;
}

/**
 * KiInterruptDispatch and its siblings on x86 keep two locals below the trap frame (FPO [0,2] on XP and 2003): the vector
 * just below it, and below that the byte that HalBeginSystemInterrupt stores as OldIrql, its upper bytes left as they were
 * (seen on 2003: `105ecd00 000000d1`, the arguments that HalEndSystemInterrupt gets). Taken only where the handler is one
 * by its name, or passed a KINTERRUPT on, and only below that interrupt's own level.
 */
function savedOldIrql(input: IrqlInput, trapFrame: bigint): Irql | null {
  const named = /^Ki(Interrupt|Chained|Floating)Dispatch/.test(input.dispatchedBy ?? '');
  const object = input.interrupted?.interruptObject ?? null;
  if (!named && object === null) return null;
  const of = (offset: number | null): bigint | null =>
    object === null || offset === null ? null : object + BigInt(offset);
  const vectorAt = of(input.interruptVectorOffset);
  const irqlAt = of(input.interruptIrqlOffset);
  const vector = vectorAt === null ? undefined : input.memory.u32(vectorAt);
  const own = irqlAt === null ? undefined : input.memory.u8(irqlAt);
  const first = input.memory.u32(trapFrame - 4n);
  // Vectors of devices begin at 30; a level is less than that, and a build that keeps it right below the frame is believed.
  const isVector = first !== undefined && first >= 0x30 && first <= 0xff && (vector === undefined || vector === first);
  const at = va(trapFrame - (isVector ? 8n : 4n));
  const level = isVector ? input.memory.u8(at) : first;
  if (level === undefined || level > 27 || (own !== undefined && own !== 0 && level >= own)) return null;
  return {
    level,
    kind: 'exact',
    source: `OldIrql saved by ${named ? input.dispatchedBy : 'the interrupt dispatcher'} at ${at.toString(16).padStart(8, '0')}`,
    address: at,
  };
}

function atBugcheck(input: IrqlInput): Irql | null {
  const saved = input.prcb.number('DebuggerSavedIRQL');
  if (saved !== null && saved <= 31)
    return {
      level: saved,
      kind: 'exact',
      source: 'DebuggerSavedIRQL, the level at the bugcheck',
      address: input.prcb.fieldAddress('DebuggerSavedIRQL'),
    };
  const cr8 = input.arch === 'x64' ? input.prcb.number('ProcessorState.SpecialRegisters.Cr8') : null;
  if (cr8 !== null && cr8 <= 15)
    return {
      level: cr8,
      kind: 'exact',
      source: 'Cr8, the level at the bugcheck',
      address: input.prcb.fieldAddress('ProcessorState.SpecialRegisters.Cr8'),
    };
  return null;
}

/** The level, its source, or null where nothing in the dump tells. */
export function interruptedIrql(input: IrqlInput): Irql | null {
  const { arch, interrupted, bugcheck } = input;
  if (input.userMode && interrupted !== null)
    return {
      level: 0,
      kind: 'exact',
      source: 'user mode runs at PASSIVE_LEVEL',
      address: interrupted.registers.address,
    };
  const trap = interrupted?.trapFrame ?? null;
  // Only interrupts record the level: an exception leaves the field as it was.
  if (trap !== null && interrupted?.byInterrupt === true) {
    const irql = trapFrameIrql(input.memory, arch, trap, input.x86IrqlOffset);
    if (irql !== null) return irql;
    if (arch === 'x86') {
      const saved = savedOldIrql(input, trap);
      if (saved !== null) return saved;
      const tpr = input.memory.u32(0xfffe0080n);
      const level = tpr === undefined ? undefined : tprLevels.get(tpr & 0xff);
      if (level !== undefined)
        return {
          level,
          kind: 'exact',
          source: `local APIC TPR fffe0080 = ${(tpr ?? 0).toString(16)}`,
          address: va(0xfffe0080n),
        };
    }
  }
  if (input.trust === 'bugchecking' && bugcheck !== null) {
    // Parameter 2 of the two page-fault-at-raised-IRQL codes is the level of the access.
    if (bugcheck.baseCode === 0xa || bugcheck.baseCode === 0xd1) {
      const level = Number(bugcheck.parameters[1] & 0xffn);
      if (level <= 31) return { level, kind: 'exact', source: 'bug check parameter 2', address: null };
    }
    // Neither a call of KeBugCheckEx nor an exception raises the level; an interrupt does.
    if (interrupted?.byInterrupt !== true) {
      const irql = atBugcheck(input);
      if (irql !== null) return irql;
    }
  }
  if (input.trust === 'frozen' && interrupted !== null && trap === null) {
    const below = frameBelow(input.memory, arch, interrupted.registers);
    const irql = below === null ? null : trapFrameIrql(input.memory, arch, below, input.x86IrqlOffset);
    if (irql !== null) return { ...irql, source: `${irql.source}, pushed below the frozen stack pointer` };
  }
  return impliedIrql(input.arch, input.stack, input.dpcActive, interrupted?.registers.flags ?? null);
}

/**
 * An interrupt from kernel mode pushes its frame right below the interrupted stack pointer: the freeze IPI's own frame,
 * while nothing ran there since. It counts only where it holds exactly the saved PC and SP.
 */
function frameBelow(memory: Memory, arch: Arch, registers: Registers): bigint | null {
  if (arch === 'x64') {
    const slot = (registers.sp & ~15n) - 0x28n;
    const same =
      memory.u64(slot) === registers.pc &&
      memory.u64(slot + 0x18n) === registers.sp &&
      ((memory.u64(slot + 8n) ?? 0n) & 0xffffn) === 0x10n;
    return same && memory.u8(slot - 0x168n + 0x2bn) === 0 ? slot - 0x168n : null;
  }
  if (arch === 'x86') {
    const frame = registers.sp - 0x74n;
    const same =
      memory.u32(frame + 0x68n) === Number(registers.pc) && ((memory.u32(frame + 0x6cn) ?? 0) & 0xffff) === 8;
    return same ? frame : null;
  }
  return null;
}

/**
 * The least that the place implies. On a frozen processor Cr8 is the freezer's own 15 and DebuggerSavedIRQL the 0 that
 * nobody wrote (seen on every one of the real dumps): neither is asked.
 */
export function impliedIrql(
  arch: Arch,
  stack: StackKind,
  dpcActive: boolean | null,
  flags: number | null,
): Irql | null {
  void flags;
  const minimum = (level: number, source: string, address: Va | null = null): Irql => ({
    level,
    kind: 'minimum',
    source,
    address,
  });
  if (stack === 'nmi' || stack === 'double-fault') return minimum(arch === 'x86' ? 31 : 15, `on the ${stack} stack`);
  if (stack === 'isr') return minimum(3, 'on the interrupt stack');
  if (stack === 'dpc') return minimum(2, 'on the DPC stack');
  if (dpcActive === true) return minimum(2, 'DpcRoutineActive');
  return null;
}
