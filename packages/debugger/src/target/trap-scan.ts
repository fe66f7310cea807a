import { type Arch, type Memory, type Va, va } from '@dumpscope/core';
import type { UnwindPorts } from '../unwind/ports.ts';
import { readSpan, type TrapShape, trapShapeX64, trapShapeX86 } from '../unwind/trap-shape.ts';

/** A kernel stack is at most 0x12000 bytes (x64); more is not searched. */
const MAX_SCAN = 0x12000;

/**
 * The lowest trap frame of interrupted kernel code between `low` and `high`, by its shape. Used where the walk from the
 * bugcheck broke off: a lost frame pointer or a missing page must not hide what was interrupted. A frame of user mode on
 * the way ends the search: what lies above it was not interrupted. Null when nothing there has enough marks.
 */
export function scanForTrapFrame(arch: Arch, ports: UnwindPorts, low: bigint, high: bigint): Va | null {
  if (arch === 'arm64' || high <= low) return null;
  const x86 = arch === 'x86';
  const bytes = readSpan(ports.memory, low, high, MAX_SCAN);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const step = x86 ? 4 : 8;
  const selector = x86 ? 0x6c : 0x170;
  for (let offset = Number(-low & BigInt(step - 1)); offset + selector + 4 <= bytes.length; offset += step) {
    const cs = view.getUint32(offset + selector, true);
    // Kernel and user code segments; everything else is refused before anything is allocated.
    if (x86 ? cs !== 8 && cs !== 0x1b : cs !== 0x10 && cs !== 0x33 && cs !== 0x23) continue;
    const at = low + BigInt(offset);
    const shape = x86 ? trapShapeX86(ports, at) : trapShapeX64(ports, at);
    if (shape === null) continue;
    if (shape.userMode) return null;
    if (x86 ? isX86Interrupt(shape) : isX64Interrupt(ports.memory, at)) return va(at);
  }
  return null;
}

/** EFLAGS, CS and EIP alone can be residue: one of the debugger's own marks must be there too. */
function isX86Interrupt(shape: TrapShape): boolean {
  return shape.evidence.some((mark) => mark.startsWith('Dbg'));
}

/** The interrupted stack pointer lies right above the frame (same stack, rounded down to 16 bytes by the processor). */
function isX64Interrupt(memory: Memory, at: bigint): boolean {
  const rsp = memory.u64(at + 0x180n);
  return rsp !== undefined && rsp >= at + 0x190n && rsp <= at + 0x1a0n;
}
