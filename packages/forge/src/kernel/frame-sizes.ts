import { ForgeError } from '../memory/address-space.ts';
import type { StackContents } from '../scenario/scenario.ts';
import type { LoadedModule } from './loaded-module.ts';
import type { Machine } from './machine.ts';
import type { StructWriter } from './struct-writer.ts';

const GPR = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

export interface Frame64 {
  /** Bytes from sp to the return address slot. */
  readonly size: number;
  /** Offset from sp of each saved register. */
  readonly saved: ReadonlyMap<string, number>;
  readonly machineFrame: boolean;
}

/**
 * The fixed frame of an x64 function by its unwind data (Microsoft's "x64 exception handling"): what its whole prologue
 * allocates and saves. A leaf function without unwind data has its return address at sp.
 */
export function frame64(module: LoadedModule, rva: number): Frame64 {
  const view = new DataView(module.memory.buffer, module.memory.byteOffset, module.memory.byteLength);
  const table = module.exceptionTable;
  const saved = new Map<string, number>();
  if (table === null) return { size: 0, saved, machineFrame: false };
  let unwind = 0;
  for (let at = table.rva; at + 12 <= table.rva + table.size; at += 12) {
    if (rva >= view.getUint32(at, true) && rva < view.getUint32(at + 4, true)) unwind = view.getUint32(at + 8, true);
  }
  let size = 0;
  let machineFrame = false;
  // Offsets of saves are relative to sp after the prologue; chained entries share that sp.
  while (unwind !== 0) {
    const flags = view.getUint8(unwind) >> 3;
    const count = view.getUint8(unwind + 2);
    let i = 0;
    while (i < count) {
      const code = view.getUint16(unwind + 4 + i * 2, true);
      const op = (code >> 8) & 0xf;
      const info = code >> 12;
      const word = (n: number): number => view.getUint16(unwind + 4 + (i + n) * 2, true);
      i += 1;
      switch (op) {
        case 0:
          saved.set(GPR[info] ?? '', size);
          size += 8;
          break;
        case 1:
          size += info === 0 ? word(0) * 8 : word(0) + word(1) * 0x10000;
          i += info === 0 ? 1 : 2;
          break;
        case 2:
          size += info * 8 + 8;
          break;
        case 3:
          break; // frame register: the fixed part is what matters here
        case 4:
          saved.set(GPR[info] ?? '', word(0) * 8);
          i += 1;
          break;
        case 5:
          saved.set(GPR[info] ?? '', word(0) + word(1) * 0x10000);
          i += 2;
          break;
        case 8:
          i += 1;
          break;
        case 9:
          i += 2;
          break;
        case 10:
          machineFrame = true;
          size += info * 8;
          break;
        default:
          throw new ForgeError(
            `unwind code ${op} of ${module.key}+${rva.toString(16)} is not one that the forge places`,
          );
      }
    }
    unwind = (flags & 4) !== 0 ? view.getUint32(unwind + 4 + ((count + 1) & ~1) * 2 + 8, true) : 0;
  }
  return { size, saved, machineFrame };
}

/**
 * x64 frames, innermost first. A frame's size comes from the unwind data of the function that its pc is in (the first
 * frame's is `pc` of the stack, the others' the return address below them); an `sp` that the scenario gives must agree.
 */
export function placeFrames(m: Machine, name: string, stack: StackContents, w: StructWriter): void {
  let sp = stack.sp === undefined ? undefined : m.value(stack.sp, `stacks.${name}.sp`);
  let pc = stack.pc === undefined ? undefined : m.value(stack.pc, `stacks.${name}.pc`);
  stack.frames.forEach((frame, index) => {
    const where = `stacks.${name}.frames[${index}]`;
    const given = frame.sp === undefined ? undefined : m.value(frame.sp, `${where}.sp`);
    if (sp !== undefined && given !== undefined && sp !== given) {
      throw new ForgeError(
        `${where}.sp: ${given.toString(16)}, but the unwind data of the frames below gives ${sp.toString(16)}`,
      );
    }
    const own = given ?? sp;
    if (frame.pc !== undefined) pc = m.value(frame.pc, `${where}.pc`);
    if (own === undefined) throw new ForgeError(`${where}: no sp is known`);
    const module =
      pc === undefined
        ? undefined
        : m.modules.find((c) => pc !== undefined && pc >= c.base && pc < c.base + BigInt(c.size));
    const shape = module === undefined || pc === undefined ? undefined : frame64(module, Number(pc - module.base));
    const next = stack.frames[index + 1];
    const nextSp = next?.sp === undefined ? undefined : m.value(next.sp, `${where}.sp of the caller`);
    const slot =
      shape?.machineFrame === true
        ? undefined
        : shape !== undefined
          ? own + BigInt(shape.size)
          : nextSp === undefined
            ? undefined
            : nextSp - 8n;
    for (const [offset, value] of Object.entries(frame.slots ?? {})) {
      w.u64(BigInt.asUintN(64, own + m.value(offset, `${where}.slots`)), m.value(value, `${where}.slots.${offset}`));
    }
    for (const [register, value] of Object.entries(frame.saved ?? {})) {
      const at = shape?.saved.get(register);
      if (at === undefined)
        throw new ForgeError(`${where}.saved.${register}: this function does not save that register`);
      w.u64(own + BigInt(at), m.value(value, `${where}.saved.${register}`));
    }
    pc = undefined;
    sp = undefined;
    if (frame.ret === undefined) return;
    if (slot === undefined)
      throw new ForgeError(`${where}.ret: no place for the return address (no unwind data, no sp of the caller)`);
    pc = m.value(frame.ret, `${where}.ret`);
    w.u64(slot, pc);
    sp = slot + 8n;
  });
}
