import type { Field, StructType, TypeRef, TypeTable } from '@dumpscope/symbols';

/*
 * No layout table of an ARM64 kernel is to be had. What is known comes from the KDDEBUGGER_DATA64 of a real dump of
 * build 22000: the offsets of _KPCR and _KPRCB below, and for threads and processes how far its offsets lie from those
 * of x64 22000: _KTHREAD members up to QueueListEntry 8 bytes lower, NextProcessor and WaitReason 20h higher, _ETHREAD
 * (IrpList and the size) 20h higher, _EPROCESS (Peb, InheritedFromUniqueProcessId) 48h lower. Members between and
 * beyond these are inferred from that.
 */

const u = (size: number): TypeRef => ({ kind: 'base', name: `u${size * 8}`, size, signed: false, form: 'int' });
const POINTER: TypeRef = {
  kind: 'pointer',
  to: { kind: 'base', name: 'void', size: 0, signed: false, form: 'void' },
  size: 8,
};

function bytes(count: number): TypeRef {
  return { kind: 'array', count, of: u(1) };
}

function struct(name: string, size: number, fields: Readonly<Record<string, readonly [number, TypeRef]>>): StructType {
  const map = new Map<string, Field>();
  for (const [field, [offset, type]] of Object.entries(fields)) map.set(field, { name: field, offset, type });
  return { name, kind: 'struct', size, fields: map };
}

const OWN: readonly StructType[] = [
  struct('_KPCR', 0xa000, { Self: [0x18, POINTER], PrcbData: [0x980, { kind: 'struct', name: '_KPRCB' }] }),
  struct('_KPRCB', 0x9680, {
    CurrentThread: [0x08, POINTER],
    NextThread: [0x10, POINTER],
    IdleThread: [0x18, POINTER],
    Number: [0x24, u(4)],
    ProcessorState: [0x40, { kind: 'struct', name: '_KPROCESSOR_STATE' }],
    CpuType: [0x6f0, u(2)],
    MHz: [0x6f4, u(4)],
    VendorString: [0x890, bytes(8)],
    Context: [0x8a0, POINTER],
    DpcStack: [0xaf8, POINTER],
    DpcRoutineActive: [0xb1a, u(1)],
    NormalDpcState: [0xb1c, u(4)],
    IsrStack: [0x18e0, POINTER],
  }),
  struct('_KPROCESSOR_STATE', 0x6b0, {
    SpecialRegisters: [0, { kind: 'struct', name: '_KSPECIAL_REGISTERS' }],
    ContextFrame: [0x320, bytes(0x390)],
  }),
  // Where the processors of that dump have their translation tables: TTBR1 is TTBR0 + 800h, one table for both halves.
  struct('_KSPECIAL_REGISTERS', 0x320, { Ttbr0: [0xc8, u(8)], Ttbr1: [0xd0, u(8)] }),
];

type Move = (offset: number) => number;

const MOVES: Readonly<Record<string, { readonly size: number; readonly move: Move }>> = {
  _KTHREAD: { size: 0x4a0, move: (at) => (at < 0x60 ? at : at < 0x210 ? at - 8 : at + 0x20) },
  _ETHREAD: { size: 0x910, move: (at) => (at === 0 ? 0 : at + 0x20) },
  _KPROCESS: { size: 0x3f0, move: (at) => at },
  _EPROCESS: { size: 0xc80, move: (at) => (at === 0 ? 0 : at - 0x48) },
};

/** The x64 table of build 22000 with what is known of ARM64 over it. */
export function arm64Types(x64: TypeTable): TypeTable {
  const known = new Map(OWN.map((type) => [type.name, type]));
  return {
    pointerSize: 8,
    origin: `${x64.origin}, moved as the KDBG of a real ARM64 dump says`,
    struct(name) {
      const own = known.get(name);
      if (own !== undefined) return own;
      const base = x64.struct(name);
      const change = MOVES[name];
      if (base === undefined || change === undefined) return base;
      const fields = new Map<string, Field>();
      for (const [field, value] of base.fields) {
        const offset = change.move(value.offset);
        // Members that would end beyond the structure are not known to exist.
        if (offset < change.size) fields.set(field, { ...value, offset });
      }
      const moved: StructType = { ...base, size: change.size, fields };
      known.set(name, moved);
      return moved;
    },
    enumeration: (name) => x64.enumeration(name),
    structNames: () => x64.structNames(),
  };
}
