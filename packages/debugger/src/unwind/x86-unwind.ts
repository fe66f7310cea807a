import { va } from '@dumpscope/core';
import type { X86FrameRecord } from '@dumpscope/symbols';
import type { RegisterMap, Step, UnwindPorts } from './ports.ts';
import { checkReturn } from './return-check.ts';
import { readSpan, trapShapeX86 } from './trap-shape.ts';
import { calledNear, frameAt, preserveRegisters, standsAt, type X86Context } from './x86-code-frame.ts';
import { evaluateFrameProgram } from './x86-frame-program.ts';
import { PRESERVED_X86 } from './x86-prologue.ts';

const MASK = 0xffffffffn;
const VOLATILE = ['eax', 'ecx', 'edx', 'efl'] as const;
/** Words searched for a return address after the place where a frame record puts it. */
const SEARCH_WORDS = 64;

type Caller = Extract<Step, { kind: 'caller' }>;

function end(reason: Extract<Step, { kind: 'end' }>['reason'], text: string, childEbp: bigint | null): Step {
  return { kind: 'end', reason, text, childEbp };
}

function caller(
  registers: RegisterMap,
  slot: bigint,
  ret: bigint,
  trust: Caller['trust'],
  childEbp: bigint | null,
  extra: { ebp?: bigint | null; esp?: bigint; remark?: string | null; paramsSize?: number } = {},
): Step {
  const values = new Map(registers);
  for (const name of VOLATILE) values.delete(name);
  values.set('eip', ret);
  values.set('esp', extra.esp ?? (slot + 4n) & MASK);
  if (extra.ebp === null) values.delete('ebp');
  else if (extra.ebp !== undefined) values.set('ebp', extra.ebp & MASK);
  return {
    kind: 'caller',
    registers: values,
    trust,
    returnSlot: slot,
    trapFrame: null,
    childEbp,
    remark: extra.remark ?? null,
    interrupted: false,
    paramsSize: extra.paramsSize ?? 0,
  };
}

/** Registers that a KTRAP_FRAME restores. */
function throughTrapFrame(
  ports: UnwindPorts,
  registers: RegisterMap,
  address: bigint,
  childEbp: bigint | null,
  remark: string | null,
): Step {
  const bytes = ports.memory.bytes(address, 0x74);
  if (bytes === undefined)
    return end('unreadable', `the trap frame at ${address.toString(16)} cannot be read`, childEbp);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Map(registers);
  const word = (name: string, offset: number): void => {
    values.set(name, BigInt(view.getUint32(offset, true)));
  };
  const eax = ports.trapFrameEax?.() ?? 0x44;
  word('edx', eax - 8);
  word('ecx', eax - 4);
  word('eax', eax);
  word('edi', 0x54);
  word('esi', 0x58);
  word('ebx', 0x5c);
  word('ebp', 0x60);
  word('eip', 0x68);
  word('efl', 0x70);
  const cs = view.getUint32(0x6c, true) & 0xffff;
  values.set('cs', BigInt(cs));
  if ((cs & 3) !== 0 || (view.getUint32(0x70, true) & 0x20000) !== 0) {
    const esp = ports.memory.u32(address + 0x74n);
    if (esp === undefined) return end('unreadable', 'the user ESP of the trap frame cannot be read', childEbp);
    values.set('esp', BigInt(esp));
  } else values.set('esp', (address + 0x74n) & MASK);
  return {
    kind: 'caller',
    registers: values,
    trust: 'trap-frame',
    returnSlot: null,
    trapFrame: address,
    childEbp,
    remark,
    interrupted: true,
  };
}

function address8(value: bigint): string {
  return value.toString(16).padStart(8, '0');
}

function fpoCounts(record: X86FrameRecord): string {
  return `[${Math.floor(record.paramsSize / 4)},${Math.floor(record.localsSize / 4)}]`;
}

/** What kv prints of a frame record. Of FrameData, whose functions with a frame pointer name it as the frame's base. */
function remarkOf(record: X86FrameRecord): string {
  if (record.hasSeh) return 'FPO: [SEH]';
  if (record.kind === 'fpo' ? record.frameType === 3 : record.program.includes('$T0 $ebp ')) return 'FPO: [Non-Fpo]';
  const dwords = (bytes: number): number => Math.floor(bytes / 4);
  return `FPO: [${dwords(record.paramsSize)},${dwords(record.localsSize)},${dwords(record.savedRegsSize)}]`;
}

/** First plausible return address from `from` upward. */
function searchReturn(
  ports: UnwindPorts,
  from: bigint,
  pc: bigint,
  words: number,
): { slot: bigint; value: bigint } | null {
  const bytes = readSpan(ports.memory, from, from + BigInt(words * 4));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let second: { slot: bigint; value: bigint } | null = null;
  for (let i = 0; i + 4 <= bytes.length; i += 4) {
    const word = view.getUint32(i, true);
    if (word < 0x10000) continue;
    const value = BigInt(word);
    const quality = checkReturn(ports, 'x86', value, pc);
    if (quality === 'no') continue;
    const found = { slot: from + BigInt(i), value };
    if (quality === 'mismatch') second ??= found;
    else return found;
  }
  return second;
}

function byProgram(
  ports: UnwindPorts,
  registers: RegisterMap,
  record: X86FrameRecord,
  context: X86Context,
): Step | null {
  const pc = registers.get('eip') ?? 0n;
  const esp = registers.get('esp') ?? 0n;
  const known = new Map<string, number>();
  for (const name of ['eip', 'esp', 'ebp', 'ebx', 'esi', 'edi']) {
    const value = registers.get(name);
    if (value !== undefined) known.set(`$${name}`, Number(value));
  }
  const start =
    esp + BigInt(record.localsSize + record.savedRegsSize + (context.interrupted ? 0 : context.calleeParams));
  // .raSearch: where the return address should be, or the first later word that can be one.
  const expected = ports.memory.u32(start & MASK);
  const direct = expected !== undefined && checkReturn(ports, 'x86', BigInt(expected), pc) !== 'no';
  const search = direct ? start & MASK : (searchReturn(ports, start & MASK, pc, SEARCH_WORDS)?.slot ?? start & MASK);
  const constants = new Map<string, number>([
    ['.cbLocals', record.localsSize],
    ['.cbSavedRegs', record.savedRegsSize],
    ['.cbParams', record.paramsSize],
    ['.cbCalleeParams', context.calleeParams],
    ['.raSearch', Number(search)],
    ['.raSearchStart', Number(search)],
  ]);
  const result = evaluateFrameProgram(record.program, {
    registers: known,
    constants,
    readMemory: (address) => ports.memory.u32(BigInt(address)),
  });
  if (!result.ok) return null;
  const eip = result.assigned.get('$eip');
  const newEsp = result.assigned.get('$esp');
  if (eip === undefined || newEsp === undefined) return null;
  const slot = (BigInt(newEsp) - 4n) & MASK;
  if (slot < esp) return null;
  const values = new Map(registers);
  for (const name of ['ebp', 'ebx', 'esi', 'edi']) {
    const value = result.assigned.get(`$${name}`);
    if (value !== undefined) values.set(name, BigInt(value));
  }
  const childEbp = bareReturn(ports, context, slot, registers) ?? (slot - 4n) & MASK;
  const step = caller(values, slot, BigInt(eip), 'frame-data', childEbp, {
    esp: BigInt(newEsp),
    remark: remarkOf(record),
    paramsSize: record.paramsSize,
  });
  const told = PRESERVED_X86.filter((name) => result.assigned.has(`$${name}`));
  return preserveRegisters(ports, registers, step, context, told);
}

/**
 * Where the return address is on top of the stack nothing of the frame exists yet, and WinDbg's ChildEBP column shows
 * EBP (seen on the seed's page: `a07be220 a1342755 hal!KeAcquireInStackQueuedSpinLock+0x47` with ESP a07be1f4).
 */
function bareReturn(ports: UnwindPorts, context: X86Context, slot: bigint, registers: RegisterMap): bigint | null {
  const esp = registers.get('esp') ?? 0n;
  const ebp = registers.get('ebp');
  if (!context.interrupted || slot !== esp || ebp === undefined || ebp < esp) return null;
  const bounds = ports.stackBounds(esp);
  return (bounds !== null ? ebp < bounds.base : ebp - esp < 0x10000n) ? ebp : null;
}

function byFpo(ports: UnwindPorts, registers: RegisterMap, record: X86FrameRecord, context: X86Context): Step | null {
  const pc = registers.get('eip') ?? 0n;
  const esp = registers.get('esp') ?? 0n;
  if (record.frameType === 3) return byEbp(ports, registers, 'frame-data', remarkOf(record), record.paramsSize, true);
  const expected = (esp + BigInt(record.localsSize + record.savedRegsSize)) & MASK;
  const word = ports.memory.u32(expected);
  let slot = expected;
  let value = word === undefined ? null : BigInt(word);
  const inProlog =
    context.interrupted && Number(pc & MASK) !== 0 && context.interrupted && inPrologue(ports, pc, record);
  const good = value !== null && checkReturn(ports, 'x86', value, pc);
  if (inProlog || good === 'no' || good === false) {
    const found = searchReturn(ports, inProlog ? esp : expected, pc, SEARCH_WORDS);
    if (found !== null) {
      slot = found.slot;
      value = found.value;
    } else if (value === null || value !== 0n) return null;
  }
  if (value === null) return null;
  if (value === 0n)
    return {
      kind: 'end',
      reason: 'no-return-address',
      text: 'the return address is 0',
      returnSlot: slot,
      remark: remarkOf(record),
      childEbp: bareReturn(ports, context, slot, registers) ?? (slot - 4n) & MASK,
    };
  const ebp = record.usesBasePointer ? savedEbp(ports, esp, record, slot) : undefined;
  const text = remarkOf(record);
  const remark =
    record.usesBasePointer && registers.get('ebp') !== undefined
      ? `FPO: [EBP 0x${address8(registers.get('ebp') ?? 0n)}] ${text.slice(5)}`
      : text;
  return caller(
    registers,
    slot,
    value,
    'frame-data',
    bareReturn(ports, context, slot, registers) ?? (slot - 4n) & MASK,
    {
      ...(ebp === undefined ? {} : { ebp }),
      remark,
      paramsSize: record.paramsSize,
    },
  );
}

function inPrologue(ports: UnwindPorts, pc: bigint, record: X86FrameRecord): boolean {
  const start = ports.functionStart(pc);
  return start !== null && record.prologSize > 0 && pc - start < BigInt(record.prologSize);
}

/** FPO tells that EBP is among the saved registers, not which: the slot whose value continues a chain of frames. */
function savedEbp(ports: UnwindPorts, esp: bigint, record: X86FrameRecord, slot: bigint): bigint | null {
  for (let at = esp; at < slot && at < esp + BigInt(record.savedRegsSize); at += 4n) {
    const word = ports.memory.u32(at);
    if (word === undefined) continue;
    const value = BigInt(word);
    if (value > slot && value - slot < 0x10000n && (value & 3n) === 0n) {
      const ret = ports.memory.u32(value + 4n);
      if (ret !== undefined && checkReturn(ports, 'x86', BigInt(ret), null) !== 'no') return value;
    }
  }
  return null;
}

/** The classic frame: saved EBP at [ebp], return address at [ebp+4]. Null where EBP is no such frame. */
function byEbp(
  ports: UnwindPorts,
  registers: RegisterMap,
  trust: Caller['trust'],
  remark: string | null,
  paramsSize = 0,
  proven = false,
): Step | null {
  const pc = registers.get('eip') ?? 0n;
  const esp = registers.get('esp') ?? 0n;
  const ebp = registers.get('ebp');
  if (ebp === undefined || (ebp & 3n) !== 0n || ebp < esp) return null;
  const bounds = ports.stackBounds(esp);
  if (bounds !== null ? ebp + 8n > bounds.base : ebp - esp > 0x10000n) return null;
  const ret = ports.memory.u32(ebp + 4n);
  const saved = ports.memory.u32(ebp);
  if (ret === undefined || saved === undefined) return null;
  if (ret === 0) {
    return {
      kind: 'end',
      reason: 'no-return-address',
      text: 'the return address is 0',
      childEbp: ebp,
      returnSlot: ebp + 4n,
      remark,
    };
  }
  const quality = checkReturn(ports, 'x86', BigInt(ret), pc);
  const up = BigInt(saved) > ebp && (bounds === null || BigInt(saved) < bounds.base);
  if (quality === 'no') {
    // No call stands before it, but the chain may go on all the same: code that was patched or unloaded meanwhile.
    const next = up ? ports.memory.u32(BigInt(saved) + 4n) : undefined;
    const chained = next !== undefined && (next === 0 || ports.place(BigInt(next)) === 'code');
    if (ports.place(BigInt(ret)) !== 'code' || !(proven || chained)) return null;
  }
  if (trust === 'frame-pointer' && quality === 'unverified' && !proven && !up && saved !== 0) return null;
  return caller(registers, ebp + 4n, BigInt(ret), trust, ebp, { ebp: BigInt(saved), remark, paramsSize });
}

/** Without a frame record: by the code from the function's start, by EBP, by a scan that checks for calls. */
function byHeuristics(ports: UnwindPorts, registers: RegisterMap, context: X86Context): Step {
  const pc = registers.get('eip') ?? 0n;
  const esp = registers.get('esp') ?? 0n;
  const ebp = registers.get('ebp') ?? null;
  const proven = atReturn(ports, registers, context) ?? byCode(ports, registers, context);
  if (proven !== null) return proven;
  const frame = byEbp(ports, registers, 'frame-pointer', null);
  if (frame !== null) return frame;
  const bounds = ports.stackBounds(esp);
  const high = bounds?.base ?? esp + 0x2000n;
  const words = Number((high - esp) / 4n);
  const found = words > 0 ? searchReturn(ports, esp, pc, Math.min(words, 0x4000)) : null;
  const shown =
    ebp !== null && ebp >= esp && (bounds === null ? ebp - esp < 0x10000n : ebp < bounds.base)
      ? ebp
      : (esp - 4n) & MASK;
  if (found !== null)
    return caller(
      registers,
      found.slot,
      found.value,
      'scan',
      context.interrupted ? shown : (found.slot - 4n) & MASK,
      {},
    );
  if (ports.memory.u32(esp) === undefined)
    return end('unreadable', `the stack at ${address8(esp)} cannot be read`, shown);
  return end('no-return-address', 'no word up to the end of the stack is a return address', shown);
}

/** Stopped at a `ret`, as system call stubs are: the return address is on top of the stack, EBP is the caller's. */
function atReturn(ports: UnwindPorts, registers: RegisterMap, context: X86Context): Step | null {
  if (!context.interrupted || ports.disassembler === undefined) return null;
  const pc = va(registers.get('eip') ?? 0n);
  const esp = registers.get('esp') ?? 0n;
  const bytes = ports.code(pc, 3) ?? ports.code(pc, 1);
  const instruction = bytes === null ? null : ports.disassembler.decode(bytes, 0, pc);
  if (instruction?.valid !== true || instruction.mnemonic !== 'ret') return null;
  const value = ports.memory.u32(esp);
  if (value === undefined || ports.place(BigInt(value)) !== 'code') return null;
  return caller(registers, esp, BigInt(value), 'leaf', registers.get('ebp') ?? (esp - 4n) & MASK, {});
}

/** A function called without a frame pointer lies at most this far below its caller's call. */
const CODE_WORDS = 0x100;

/** The step that the code itself proves: from a start of the function, its instructions put the return address there. */
function byCode(ports: UnwindPorts, registers: RegisterMap, context: X86Context): Step | null {
  if (ports.disassembler === undefined) return null;
  const pc = registers.get('eip') ?? 0n;
  const esp = registers.get('esp') ?? 0n;
  const ebp = registers.get('ebp') ?? null;
  const place = standsAt(ports, pc, context);
  const named = ports.functionStart(pc);
  const starts: bigint[] = named === null ? [] : [named];
  // The call before a return address on top of the stack names the start of the function that it called.
  const words = context.interrupted ? 2 : 0;
  for (let i = 0; i < words; i++) {
    const called = calledNear(ports, ports.memory.u32(esp + BigInt(i * 4)), pc);
    if (called !== null && !starts.includes(called)) starts.push(called);
  }
  const steps = (start: bigint): Step | null => {
    const state = frameAt(ports, start, place);
    if (state === null) return null;
    if (state.kind === 'ebp-frame') return byEbp(ports, registers, 'frame-pointer', null, 0, true);
    const slot = (esp + BigInt(state.depth)) & MASK;
    const ret = ports.memory.u32(slot);
    if (ret === undefined || ports.place(BigInt(ret)) !== 'code') return null;
    const saved = state.savedEbp === null ? undefined : ports.memory.u32((esp + BigInt(state.savedEbp)) & MASK);
    return caller(registers, slot, BigInt(ret), state.depth === 0 ? 'leaf' : 'frame-pointer', ebp ?? slot - 4n, {
      ...(saved === undefined ? {} : { ebp: BigInt(saved) }),
    });
  };
  for (const start of starts) {
    const step = steps(start);
    if (step !== null) return step;
  }
  // Any word above it that is a return into a caller of this function, if the code puts it at that very place.
  const bytes = readSpan(ports.memory, esp, esp + BigInt(CODE_WORDS * 4));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const called = calledNear(ports, view.getUint32(at, true), pc);
    if (called === null || starts.includes(called)) continue;
    starts.push(called);
    const step = steps(called);
    if (step?.kind === 'caller' && step.returnSlot === esp + BigInt(at)) return step;
  }
  return null;
}

/** One step out of an x86 frame. */
export function unwindX86(ports: UnwindPorts, registers: RegisterMap, context: X86Context): Step {
  const pc = registers.get('eip') ?? 0n;
  const ebp = registers.get('ebp') ?? null;
  const esp = registers.get('esp') ?? 0n;
  const lookup = context.interrupted ? pc : pc - 1n;
  const record = ports.frameRecord(lookup);
  const below = context.previousChildEbp ?? ebp;
  if (record?.kind === 'fpo' && record.frameType === 1) {
    const trap = findTrapFrame(ports, ebp, esp);
    const dwords = fpoCounts(record);
    if (trap !== null)
      return throughTrapFrame(ports, registers, trap, below, `FPO: ${dwords} TrapFrame @ ${address8(trap)}`);
  }
  if (record?.kind === 'fpo' && record.frameType === 2) {
    return (
      throughTaskGate(ports, esp, below, true) ?? {
        kind: 'end',
        reason: 'unreadable',
        text: 'the task state segment cannot be read',
        childEbp: below,
        remark: 'FPO: TSS',
      }
    );
  }
  // In the handlers of interrupts and traps EBP is the trap frame: no record is needed to see it.
  if (ebp !== null && record?.frameType !== 0) {
    const shape = ebp >= esp && ebp - esp < 0x400n ? trapShapeX86(ports, ebp) : null;
    if (shape !== null) {
      const dwords = record === undefined ? '' : `FPO: ${fpoCounts(record)} `;
      return throughTrapFrame(
        ports,
        registers,
        shape.address,
        below,
        `${dwords}TrapFrame @ ${address8(shape.address)}`,
      );
    }
  }
  if (record !== undefined) {
    const step =
      record.kind === 'frame-data' && record.program !== ''
        ? byProgram(ports, registers, record, context)
        : byFpo(ports, registers, record, context);
    if (step !== null) return record.kind === 'fpo' ? preserveRegisters(ports, registers, step, context) : step;
  }
  const found = byHeuristics(ports, registers, context);
  // The handler behind a task gate has no caller: where its stack ends, the interrupted task goes on.
  if (found.kind === 'end') {
    const task = throughTaskGate(ports, esp, found.childEbp ?? below, false);
    if (task !== null) return task;
  }
  return preserveRegisters(ports, registers, found, context);
}

/** From the stack of a task gate back to what it interrupted; null where that is not known. */
function throughTaskGate(ports: UnwindPorts, esp: bigint, childEbp: bigint | null, isTask: boolean): Step | null {
  const task = ports.taskRegisters?.(esp, isTask) ?? null;
  if (task === null) return null;
  return {
    kind: 'caller',
    registers: new Map(task),
    trust: 'trap-frame',
    returnSlot: null,
    trapFrame: null,
    childEbp,
    remark: 'FPO: TaskGate 28:0',
    interrupted: true,
  };
}

/** The frame of a trap handler: at EBP, else the first of that shape above ESP. */
function findTrapFrame(ports: UnwindPorts, ebp: bigint | null, esp: bigint): bigint | null {
  if (ebp !== null && trapShapeX86(ports, ebp) !== null) return ebp;
  for (let at = esp & ~3n; at < esp + 0x200n; at += 4n) {
    if (trapShapeX86(ports, at) !== null) return at;
  }
  return null;
}
