import { type Memory, type Pa, pa, type Va, va } from '@dumpscope/core';
import { type FieldFinder, StructReader } from './fields.ts';
import { isImageName } from './layout-checks.ts';
import type { Process } from './model.ts';

/** Reads an EPROCESS; every member on first use. */
export class KernelProcess implements Process {
  readonly address: Va;
  readonly #memory: Memory;
  readonly #process: StructReader;

  constructor(memory: Memory, fields: FieldFinder, address: bigint) {
    this.address = va(address);
    this.#memory = memory;
    this.#process = new StructReader(memory, fields, '_EPROCESS', address);
  }

  field(path: string): bigint | null {
    return this.#process.place(path) !== null ? this.#process.field(path) : this.#process.field(`Pcb.${path}`);
  }

  fieldAddress(path: string): Va | null {
    return this.#process.fieldAddress(path) ?? this.#process.fieldAddress(`Pcb.${path}`);
  }

  /** ImageFileName: at most 15 characters, the kernel cuts longer names. */
  get image(): string | null {
    const at = this.#process.fieldAddress('ImageFileName');
    const bytes = at === null ? undefined : this.#memory.bytes(at, 15);
    if (bytes === undefined || !isImageName(bytes)) return null;
    let text = '';
    for (const byte of bytes) {
      if (byte === 0) break;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  get pid(): number | null {
    return this.#process.number('UniqueProcessId');
  }

  /** Without PCID and other low bits (PAE tables are 32-byte aligned, all others page-aligned). */
  get directoryTableBase(): Pa | null {
    const place = this.#process.place('Pcb.DirectoryTableBase');
    const at = this.#process.fieldAddress('Pcb.DirectoryTableBase');
    if (at === null || place === null) return null;
    // XP declares an array of two ULONGs there: the first is the base.
    const value = this.#memory.pointerSize === 4 ? this.#memory.u32(at) : this.#memory.u64(at);
    if (value === undefined || value === 0 || value === 0n) return null;
    const low = this.#memory.pointerSize === 4 ? 0x1fn : 0xfffn;
    const base = BigInt(value) & ~low & 0xffffffffff000n;
    const kept = this.#memory.pointerSize === 4 ? BigInt(value) & ~0x1fn : base;
    return kept === 0n ? null : pa(Number(kept));
  }

  /** Whether the object's header says that this is a process; null where it cannot be read. */
  get isProcess(): boolean | null {
    const type = this.#memory.u8(this.address);
    return type === undefined ? null : (type & 0x7f) === 3;
  }
}
