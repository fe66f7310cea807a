import { type Memory, type Va, va } from '@dumpscope/core';
import { type FieldFinder, StructReader } from './fields.ts';
import type { Thread } from './model.ts';

/** Reads an ETHREAD; every member on first use. */
export class KernelThread implements Thread {
  readonly address: Va;
  readonly #thread: StructReader;
  readonly #memory: Memory;

  constructor(memory: Memory, fields: FieldFinder, address: bigint) {
    this.address = va(address);
    this.#memory = memory;
    this.#thread = new StructReader(memory, fields, '_ETHREAD', address);
  }

  #path(path: string): string {
    // Members of the KTHREAD may be named without the Tcb prefix.
    if (this.#thread.place(path) !== null) return path;
    return `Tcb.${path}`;
  }

  field(path: string): bigint | null {
    return this.#thread.field(this.#path(path));
  }

  fieldAddress(path: string): Va | null {
    return this.#thread.fieldAddress(this.#path(path));
  }

  #number(...paths: string[]): number | null {
    for (const path of paths) {
      if (this.#thread.place(path) === null) continue;
      return this.#thread.number(path);
    }
    return null;
  }

  #pointer(...paths: string[]): Va | null {
    for (const path of paths) {
      if (this.#thread.place(path) === null) continue;
      return this.#thread.pointer(path);
    }
    return null;
  }

  get process(): Va | null {
    return this.#pointer('Tcb.ApcState.Process');
  }

  get owningProcess(): Va | null {
    // Vista and later keep KTHREAD.Process, XP and 2003 ETHREAD.ThreadsProcess.
    return this.#pointer('Tcb.Process', 'ThreadsProcess') ?? this.process;
  }

  get cid(): Thread['cid'] {
    const process = this.#number('Cid.UniqueProcess');
    const thread = this.#number('Cid.UniqueThread');
    return process === null || thread === null ? null : { process, thread };
  }

  get teb(): Va | null {
    return this.#pointer('Tcb.Teb');
  }

  get win32Thread(): Va | null {
    return this.#pointer('Tcb.Win32Thread');
  }

  get state(): number | null {
    return this.#number('Tcb.State');
  }

  get waitReason(): number | null {
    return this.#number('Tcb.WaitReason');
  }

  get priority(): number | null {
    return this.#thread.signed('Tcb.Priority');
  }

  get basePriority(): number | null {
    return this.#thread.signed('Tcb.BasePriority');
  }

  get waitTime(): number | null {
    return this.#number('Tcb.WaitTime');
  }

  get contextSwitches(): number | null {
    return this.#number('Tcb.ContextSwitches');
  }

  get kernelTime(): number | null {
    return this.#number('Tcb.KernelTime');
  }

  get userTime(): number | null {
    return this.#number('Tcb.UserTime');
  }

  get initialStack(): Va | null {
    return this.#pointer('Tcb.InitialStack');
  }

  get stackBase(): Va | null {
    return this.#pointer('Tcb.StackBase');
  }

  get stackLimit(): Va | null {
    return this.#pointer('Tcb.StackLimit');
  }

  get kernelStack(): Va | null {
    return this.#pointer('Tcb.KernelStack');
  }

  get nextProcessor(): number | null {
    return this.#number('Tcb.NextProcessor');
  }

  /** Whether the object's header says that this is a thread; null where it cannot be read. */
  get isThread(): boolean | null {
    const type = this.#memory.u8(this.address);
    return type === undefined ? null : (type & 0x7f) === 6;
  }
}
