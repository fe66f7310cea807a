import { ForgeError } from '../memory/address-space.ts';
import type { FrameSpec, MemoryWrite, StackContents, Value } from '../scenario/scenario.ts';
import { placeFrames } from './frame-sizes.ts';
import type { Machine } from './machine.ts';
import { asciiBytes, hexToBytes, StructWriter, utf16Bytes } from './struct-writer.ts';
import { applyFields } from './write-processes.ts';

/** Locks, trap frames, stacks and single words of the scenario, in this order: later ones win. */
export function writeContents(m: Machine): void {
  writeLocks(m);
  writeTrapFrames(m);
  for (const [name, stack] of Object.entries(m.scenario.stacks ?? {})) writeStackContents(m, name, stack);
  writeMemory(m);
}

/** Typed objects, before the threads that wait on them are linked to their wait lists. */
export function writeObjects(m: Machine): void {
  const w = m.write;
  for (const [name, spec] of Object.entries(m.scenario.objects ?? {})) {
    const object = m.objects.get(name);
    if (object === undefined) continue;
    const size = m.layout.size(spec.type);
    m.kernel.touch(object.at, spec.size === undefined ? size : m.number(spec.size, `objects.${name}.size`));
    if (spec.pool !== undefined)
      writePoolHeader(m, object.at, size, spec.pool.tag, spec.pool.paged === true, spec.pool.free === true);
    for (const path of spec.emptyLists ?? []) w.emptyList(object.at + BigInt(m.layout.offset(spec.type, path)));
    applyFields(m, spec.type, object.at, spec.fields, `objects.${name}.fields`);
  }
}

/** Lists that the scenario links itself. */
export function writeLists(m: Machine): void {
  const w = m.write;
  m.scenario.lists?.forEach((list, index) => {
    const head = m.value(list.head, `lists[${index}].head`);
    w.linkList(
      head,
      list.entries.map((entry, i) => m.value(entry, `lists[${index}].entries[${i}]`)),
    );
  });
}

/** A pool header before the block: size in units of 8 (16 on 64-bit) bytes, pool type, tag. */
function writePoolHeader(m: Machine, at: bigint, size: number, tag: string, paged: boolean, free: boolean): void {
  const unit = m.pointerSize === 4 ? 8 : 16;
  const header = at - BigInt(unit);
  const units = Math.ceil(size / unit) + 1;
  // Pool type 0 in the header means a free block; allocated ones hold the type plus one.
  const type = free ? 0 : (paged ? 1 : 0) + (m.build < 6000 ? 1 : 2);
  m.write.set('_POOL_HEADER', header, 'BlockSize', units);
  m.write.set('_POOL_HEADER', header, 'PoolType', type);
  m.write.bytes(header + 4n, asciiBytes(tag.padEnd(4, ' ').slice(0, 4)));
}

function writeLocks(m: Machine): void {
  const p = BigInt(m.pointerSize);
  for (const [name, lock] of Object.entries(m.scenario.locks ?? {})) {
    const at = m.value(lock.at, `locks.${name}.at`);
    if (lock.kind === 'plain') {
      m.write.pointer(at, lock.held ? 1n : 0n);
      continue;
    }
    const handles = lock.queue.map((entry, i) => m.value(entry.handle, `locks.${name}.queue[${i}].handle`));
    handles.forEach((handle, index) => {
      const entry = lock.queue[index];
      const flags = index > 0 ? 1n : entry?.owner === true ? 2n : 0n;
      m.write.pointer(handle, handles[index + 1] ?? 0n);
      m.write.pointer(handle + p, at | flags);
      if (entry?.oldIrql !== undefined) m.kernel.write(handle + 2n * p, Uint8Array.of(entry.oldIrql));
    });
    m.write.pointer(at, handles.at(-1) ?? 0n);
  }
}

const TRAP_X86: Readonly<Record<string, string>> = {
  eax: 'Eax',
  ebx: 'Ebx',
  ecx: 'Ecx',
  edx: 'Edx',
  esi: 'Esi',
  edi: 'Edi',
  ebp: 'Ebp',
  eip: 'Eip',
  efl: 'EFlags',
  cs: 'SegCs',
  ds: 'SegDs',
  es: 'SegEs',
  fs: 'SegFs',
  gs: 'SegGs',
  // Pushed by the processor only when it came from user mode.
  esp: 'HardwareEsp',
  ss: 'HardwareSegSs',
};

const TRAP_X64: Readonly<Record<string, string>> = {
  rax: 'Rax',
  rbx: 'Rbx',
  rcx: 'Rcx',
  rdx: 'Rdx',
  rsi: 'Rsi',
  rdi: 'Rdi',
  rbp: 'Rbp',
  r8: 'R8',
  r9: 'R9',
  r10: 'R10',
  r11: 'R11',
  rip: 'Rip',
  rsp: 'Rsp',
  efl: 'EFlags',
  cs: 'SegCs',
  ss: 'SegSs',
};

function writeTrapFrames(m: Machine): void {
  const { arch } = m.scenario;
  for (const [name, frame] of Object.entries(m.scenario.trapFrames ?? {})) {
    const where = `trapFrames.${name}`;
    if (arch === 'arm64') throw new ForgeError(`${where}: ARM64 trap frames have no writer`);
    const at = m.value(frame.at, `${where}.at`);
    const map = arch === 'x86' ? TRAP_X86 : TRAP_X64;
    const registers = m.registers(frame.regs, `${where}.regs`);
    const user = ((registers.get('cs') ?? 0n) & 3n) !== 0n;
    const kernelEsp = at + BigInt(m.layout.offset('_KTRAP_FRAME', arch === 'x86' ? 'HardwareEsp' : 'Rsp'));
    for (const [register, value] of registers) {
      const field = map[register];
      if (field === undefined) throw new ForgeError(`${where}.regs.${register}: no such register in a trap frame`);
      if (arch === 'x86' && !user && (register === 'esp' || register === 'ss')) {
        // A kernel-to-kernel trap pushes neither: esp is where the frame ends, and must agree.
        if (register === 'esp' && value !== kernelEsp) {
          throw new ForgeError(
            `${where}.regs.esp: a trap from kernel mode has esp ${kernelEsp.toString(16)} (frame + 74)`,
          );
        }
        continue;
      }
      m.write.must('_KTRAP_FRAME', at, field, value);
    }
    if (arch === 'x86') {
      m.write.set('_KTRAP_FRAME', at, 'DbgEbp', registers.get('ebp') ?? 0n);
      m.write.set('_KTRAP_FRAME', at, 'DbgEip', registers.get('eip') ?? 0n);
      m.write.set('_KTRAP_FRAME', at, 'DbgArgMark', 0xbadb0d00n);
      m.write.set('_KTRAP_FRAME', at, 'ExceptionList', 0xffffffffn);
    }
    m.write.set(
      '_KTRAP_FRAME',
      at,
      arch === 'x86' ? 'ErrCode' : 'ErrorCode',
      m.valueOr(frame.errorCode, 0n, `${where}.errorCode`),
    );
    if (frame.previousIrql !== undefined) m.write.must('_KTRAP_FRAME', at, 'PreviousIrql', frame.previousIrql);
    if (frame.previousMode !== undefined) {
      const mode = frame.previousMode === 'user' ? 1 : 0;
      m.write.any('_KTRAP_FRAME', at, ['PreviousMode', 'PreviousPreviousMode'], mode);
    }
    applyFields(m, '_KTRAP_FRAME', at, frame.fields, `${where}.fields`);
  }
}

function writeStackContents(m: Machine, name: string, stack: StackContents): void {
  const space = m.spaceOf(stack.process);
  const w = new StructWriter(m.layout, space, m.pointerSize);
  if (m.scenario.arch === 'x64') {
    placeFrames(m, name, stack, w);
    return;
  }
  stack.frames.forEach((frame, index) => {
    writeLinkedFrame(m, w, frame, stack.frames[index + 1], `stacks.${name}.frames[${index}]`);
  });
}

/**
 * A frame of the chain through EBP (x86) or FP (ARM64): the caller's frame pointer, the return address behind it, on
 * x86 the arguments. A frame without one shares its caller's: x86 has its return address at `sp`.
 */
function writeLinkedFrame(
  m: Machine,
  w: StructWriter,
  frame: FrameSpec,
  caller: FrameSpec | undefined,
  where: string,
): void {
  const size = m.pointerSize;
  const link = (of: FrameSpec | undefined): Value | undefined => (size === 4 ? of?.ebp : of?.fp);
  const own = link(frame);
  if (own === undefined) {
    if (frame.sp === undefined || frame.ret === undefined) return;
    w.pointer(m.value(frame.sp, `${where}.sp`), m.value(frame.ret, `${where}.ret`));
    return;
  }
  const at = m.value(own, `${where}.frame pointer`);
  const next = link(caller);
  if (next !== undefined) w.pointer(at, m.value(next, `${where}.frame pointer of the caller`));
  if (frame.ret !== undefined) w.pointer(at + BigInt(size), m.value(frame.ret, `${where}.ret`));
  frame.args?.forEach((arg, index) => {
    w.pointer(at + BigInt(size * (2 + index)), m.value(arg, `${where}.args[${index}]`));
  });
  for (const [offset, value] of Object.entries(frame.slots ?? {})) {
    const place = at + BigInt.asIntN(64, m.value(offset, `${where}.slots`));
    w.pointer(place, m.value(value, `${where}.slots.${offset}`));
  }
}

interface PendingWrite {
  readonly at: bigint;
  readonly bytes: Uint8Array;
  readonly process: string | undefined;
  readonly key: string;
}

/**
 * Single words. Wider writes go first and narrower ones win, whatever their order in the file (JSON objects with
 * all-digit names do not keep theirs); two of the same width that overlap are a mistake.
 */
function writeMemory(m: Machine): void {
  const pending: PendingWrite[] = [];
  for (const [key, raw] of Object.entries(m.scenario.memory ?? {})) {
    const where = `memory.${key}`;
    const spec: MemoryWrite = typeof raw === 'object' ? raw : { pointer: raw };
    pending.push({ at: m.value(key, where), bytes: memoryBytes(m, spec, where), process: spec.process, key });
  }
  pending.sort((a, b) => b.bytes.length - a.bytes.length || (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  pending.forEach((write, index) => {
    const next = pending[index + 1];
    if (
      next !== undefined &&
      next.process === write.process &&
      next.bytes.length === write.bytes.length &&
      next.at < write.at + BigInt(write.bytes.length)
    ) {
      throw new ForgeError(`memory.${next.key}: overlaps memory.${write.key}, and neither is narrower`);
    }
    m.spaceOf(write.process).write(write.at, write.bytes);
  });
}

function integers(m: Machine, values: readonly Value[], size: number, where: string): Uint8Array {
  const out = new Uint8Array(values.length * size);
  values.forEach((value, index) => {
    let rest = BigInt.asUintN(64, m.value(value, where));
    for (let i = 0; i < size; i++) {
      out[index * size + i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
  });
  return out;
}

const MAX_FILL = 0x1000000;

/** Bytes of one write. */
export function memoryBytes(m: Machine, spec: MemoryWrite, where: string): Uint8Array {
  const once = contentOf(m, spec, where);
  const count = spec.repeat === undefined ? 1 : m.number(spec.repeat, `${where}.repeat`);
  if (count * once.length > MAX_FILL) throw new ForgeError(`${where}: more than 16 MiB at once`);
  if (count === 1) return once;
  const out = new Uint8Array(once.length * count);
  for (let i = 0; i < count; i++) out.set(once, i * once.length);
  return out;
}

function contentOf(m: Machine, spec: MemoryWrite, where: string): Uint8Array {
  if (spec.byte !== undefined) return integers(m, [spec.byte], 1, where);
  if (spec.word !== undefined) return integers(m, [spec.word], 2, where);
  if (spec.dword !== undefined) return integers(m, [spec.dword], 4, where);
  if (spec.qword !== undefined) return integers(m, [spec.qword], 8, where);
  if (spec.pointer !== undefined) return integers(m, [spec.pointer], m.pointerSize, where);
  if (spec.dwords !== undefined) return integers(m, spec.dwords, 4, where);
  if (spec.qwords !== undefined) return integers(m, spec.qwords, 8, where);
  if (spec.pointers !== undefined) return integers(m, spec.pointers, m.pointerSize, where);
  if (spec.bytes !== undefined) return hexToBytes(spec.bytes);
  if (spec.ascii !== undefined) return asciiBytes(`${spec.ascii}\0`);
  if (spec.utf16 !== undefined) return utf16Bytes(`${spec.utf16}\0`);
  const [byte, count] = spec.fill ?? [0, spec.zero ?? 0];
  const length = m.number(count, where);
  if (length > MAX_FILL) throw new ForgeError(`${where}: more than 16 MiB at once`);
  return new Uint8Array(length).fill(m.number(byte, where) & 0xff);
}
