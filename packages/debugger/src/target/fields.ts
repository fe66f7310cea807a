import { type Memory, type Va, va } from '@dumpscope/core';
import { type Field, fieldAt, type TypeRef, type TypeTable, typeSize } from '@dumpscope/symbols';
import type { Kdbg } from './model.ts';

/** A member found by its path: bytes from the start of the outermost structure, and the bits of a bit field. */
export interface FieldPlace {
  readonly offset: number;
  readonly size: number;
  readonly type: TypeRef | null;
  readonly bits: { readonly position: number; readonly length: number } | null;
  /** `layout` or the KDBG field that gave the offset. */
  readonly from: 'layout' | 'kdbg';
}

/** Offsets that KDDEBUGGER_DATA64 gives for members of structures, where no layout is known. Widths are per pointer. */
const kdbgPlaces: Readonly<Record<string, readonly [field: string, size: number | 'pointer']>> = {
  '_KPRCB.CurrentThread': ['OffsetPrcbCurrentThread', 'pointer'],
  '_KPRCB.IdleThread': ['OffsetPrcbIdleThread', 'pointer'],
  '_KPRCB.DpcRoutineActive': ['OffsetPrcbDpcRoutine', 1],
  '_KPRCB.MHz': ['OffsetPrcbMhz', 4],
  '_KPRCB.Number': ['OffsetPrcbNumber', 4],
  '_KPRCB.ProcessorState.ContextFrame': ['OffsetPrcbProcStateContext', 0],
  '_KPRCB.ProcessorState.SpecialRegisters': ['OffsetPrcbProcStateSpecialReg', 0],
  '_KPRCB.Context': ['OffsetPrcbContext', 'pointer'],
  '_KPRCB.DpcStack': ['OffsetPrcbDpcStack', 'pointer'],
  '_KPRCB.IsrStack': ['OffsetPrcbIsrStack', 'pointer'],
  '_KTHREAD.NextProcessor': ['OffsetKThreadNextProcessor', 4],
  '_KTHREAD.Teb': ['OffsetKThreadTeb', 'pointer'],
  '_KTHREAD.KernelStack': ['OffsetKThreadKernelStack', 'pointer'],
  '_KTHREAD.InitialStack': ['OffsetKThreadInitialStack', 'pointer'],
  '_KTHREAD.ApcState.Process': ['OffsetKThreadApcProcess', 'pointer'],
  '_KTHREAD.State': ['OffsetKThreadState', 1],
  '_KTHREAD.StackLimit': ['OffsetKThreadStackLimit', 'pointer'],
  '_KTHREAD.StackBase': ['OffsetKThreadStackBase', 'pointer'],
  '_KTHREAD.WaitReason': ['OffsetKThreadWaitReason', 1],
  '_EPROCESS.Peb': ['OffsetEprocessPeb', 'pointer'],
  '_EPROCESS.InheritedFromUniqueProcessId': ['OffsetEprocessParentCID', 'pointer'],
  '_KPROCESS.DirectoryTableBase': ['OffsetEprocessDirectoryTableBase', 'pointer'],
};

/** Finds members by path: `ApcState.Process`, `DpcData[0].DpcQueueDepth`, bit fields. Answers are kept. */
export class FieldFinder {
  readonly #table: TypeTable;
  readonly #kdbg: Kdbg | null;
  readonly #known = new Map<string, FieldPlace | null>();

  constructor(table: TypeTable, kdbg: Kdbg | null) {
    this.#table = table;
    this.#kdbg = kdbg;
  }

  find(struct: string, path: string): FieldPlace | null {
    const key = `${struct}.${path}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const found = this.#byLayout(struct, path) ?? this.#byKdbg(struct, path);
    this.#known.set(key, found);
    return found;
  }

  /** Size of a structure; null where the layout lacks it. */
  sizeOf(struct: string): number | null {
    const size = this.#table.struct(struct)?.size;
    if (size !== undefined) return size;
    const field = { _KPRCB: 'SizePrcb', _EPROCESS: 'SizeEProcess', _ETHREAD: 'SizeEThread', _KPCR: 'SizePcr' }[struct];
    return field === undefined ? null : (this.#kdbg?.offset(field) ?? null);
  }

  #byLayout(struct: string, path: string): FieldPlace | null {
    let offset = 0;
    let type: TypeRef | null = { kind: 'struct', name: struct };
    for (const part of path.split('.')) {
      const match = /^([^[\]]+)((?:\[\d+\])*)$/.exec(part);
      if (match === null || type?.kind !== 'struct') return null;
      const field: Field | undefined = fieldAt(this.#table, type.name, [match[1] ?? '']);
      if (field === undefined) return null;
      offset += field.offset;
      type = field.type;
      for (const index of (match[2] ?? '').matchAll(/\[(\d+)\]/g)) {
        if (type.kind !== 'array') return null;
        const element: number | undefined = typeSize(this.#table, type.of);
        const at = Number(index[1]);
        if (element === undefined || at >= type.count) return null;
        offset += element * at;
        type = type.of;
      }
    }
    if (type === null) return null;
    const bits = type.kind === 'bitfield' ? { position: type.position, length: type.length } : null;
    return { offset, size: typeSize(this.#table, type) ?? 0, type, bits, from: 'layout' };
  }

  #byKdbg(struct: string, path: string): FieldPlace | null {
    if (this.#kdbg === null) return null;
    const tcb = struct === '_ETHREAD' && path.startsWith('Tcb.') ? ['_KTHREAD', path.slice(4)] : null;
    const pcb = struct === '_EPROCESS' && path.startsWith('Pcb.') ? ['_KPROCESS', path.slice(4)] : null;
    const [name, member] = tcb ?? pcb ?? [struct, path];
    const pointer = this.#table.pointerSize;
    // NextThread and IdleThread follow CurrentThread in every kernel since XP.
    if (name === '_KPRCB' && (member === 'NextThread' || member === 'IdleThread')) {
      const current = this.#kdbg.offset('OffsetPrcbCurrentThread');
      if (current === null) return null;
      const steps = member === 'NextThread' ? 1 : 2;
      return { offset: current + steps * pointer, size: pointer, type: null, bits: null, from: 'kdbg' };
    }
    const place = kdbgPlaces[`${name}.${member}`];
    if (place === undefined) return null;
    const offset = this.#kdbg.offset(place[0]);
    if (offset === null) return null;
    return { offset, size: place[1] === 'pointer' ? pointer : place[1], type: null, bits: null, from: 'kdbg' };
  }
}

/** One structure in memory, read member by member. */
export class StructReader {
  readonly struct: string;
  readonly address: Va;
  readonly #memory: Memory;
  readonly #fields: FieldFinder;

  constructor(memory: Memory, fields: FieldFinder, struct: string, address: bigint) {
    this.#memory = memory;
    this.#fields = fields;
    this.struct = struct;
    this.address = va(address);
  }

  place(path: string): FieldPlace | null {
    return this.#fields.find(this.struct, path);
  }

  fieldAddress(path: string): Va | null {
    const place = this.place(path);
    return place === null ? null : va(this.address + BigInt(place.offset));
  }

  /** A member of 1 to 8 bytes, unsigned (a bit field shifted down); null where absent, larger or unreadable. */
  field(path: string): bigint | null {
    const place = this.place(path);
    if (place === null) return null;
    const at = this.address + BigInt(place.offset);
    let value: bigint | undefined;
    switch (place.size) {
      case 1:
      case 2:
      case 4: {
        const number =
          place.size === 1 ? this.#memory.u8(at) : place.size === 2 ? this.#memory.u16(at) : this.#memory.u32(at);
        value = number === undefined ? undefined : BigInt(number);
        break;
      }
      case 8:
        value = this.#memory.u64(at);
        break;
      default: {
        // LARGE_INTEGER, KSYSTEM_TIME and other small unions and arrays read as little-endian numbers.
        if (place.size < 1 || place.size > 8) return null;
        const bytes = this.#memory.bytes(at, place.size);
        if (bytes === undefined) return null;
        value = 0n;
        for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
      }
    }
    if (value === undefined) return null;
    if (place.bits !== null) value = (value >> BigInt(place.bits.position)) & ((1n << BigInt(place.bits.length)) - 1n);
    return value;
  }

  /** Like {@link field} as a number; null beyond 2^53. */
  number(path: string): number | null {
    const value = this.field(path);
    return value === null || value > 9007199254740991n ? null : Number(value);
  }

  /** A signed member of 1, 2 or 4 bytes. */
  signed(path: string): number | null {
    const value = this.field(path);
    const place = this.place(path);
    if (value === null || place === null) return null;
    return Number(BigInt.asIntN(place.size * 8, value));
  }

  /** A pointer; null where it is 0 or unreadable. */
  pointer(path: string): Va | null {
    const value = this.field(path);
    return value === null || value === 0n ? null : va(value);
  }
}
