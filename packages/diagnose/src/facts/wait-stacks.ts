/** Stacks of waiting threads, walked at most once each, and no more of them than a diagnosis can afford. */
import { type Frame, type Module, type Target, type Thread, threadRegisters } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';

export interface WaitStack {
  readonly frames: readonly Frame[];
  /** Modules other than kernel and HAL, from the wait outwards, each once. */
  readonly drivers: readonly Module[];
  /** The frame just above the kernel's own wait: the first that is neither the kernel's nor the HAL's. */
  readonly caller: Frame | null;
  /** Every frame up to `caller` (without one, all) came from unwind data, frame data or frame pointers, not from a scan. */
  readonly sure: boolean;
}

/** A dispatch routine is called a few frames below the system call; file systems and filters add some dozens. */
const MAX_FRAMES = 64;
/** More threads than wait long for no lock and no work on any system; a walk takes up to a millisecond. */
const MAX_WALKS = 1024;

interface Walks {
  readonly known: Map<bigint, WaitStack | null>;
}

const walks: FactKey<Walks> = defineFact('walked stacks', () => ({ known: new Map() }));

/** Null where the stack is not resident, not in the dump, of ARM64, or beyond the number of stacks that are walked. */
export function waitStack(diagnosis: Diagnosis, thread: Thread): WaitStack | null {
  const { known } = diagnosis.fact(walks);
  const before = known.get(thread.address);
  if (before !== undefined) return before;
  if (known.size >= MAX_WALKS) return null;
  const found = walk(diagnosis.target, thread);
  known.set(thread.address, found);
  return found;
}

function walk(target: Target, thread: Thread): WaitStack | null {
  // KernelStackResident 0: the balance set manager has taken the stack out; what lies at its addresses is not it.
  if (thread.field('KernelStackResident') === 0n) return null;
  const registers = threadRegisters(target, thread.address);
  if (registers === null || target.moduleAt(registers.pc) === undefined) return null;
  const { frames } = target.walkStack(registers, { limit: MAX_FRAMES });
  const drivers: Module[] = [];
  let caller: Frame | null = null;
  let sure = true;
  for (const frame of frames) {
    if (caller === null && frame.trust === 'scan') sure = false;
    const module = target.moduleAt(frame.pc);
    // User frames lie behind the system call and say nothing about a wait inside the kernel.
    if (module === undefined || module.base < (target.pointerSize === 4 ? 0x8000_0000n : 0xffff_0000_0000_0000n))
      continue;
    if (isKernelCode(target, module)) continue;
    caller ??= frame;
    if (!drivers.includes(module)) drivers.push(module);
  }
  return { frames, drivers, caller, sure };
}

/** The kernel, and the HAL, which waits for nobody of its own: the image that the kernel imports by that name. */
export function isKernelCode(target: Target, module: Module): boolean {
  return module === target.kernel || /^hal/i.test(module.imageName);
}
