import { type Memory, type Va, va } from '@dumpscope/core';
import type { FieldFinder } from './fields.ts';
import type { LimitList } from './limits.ts';
import type { Process, Thread } from './model.ts';
import type { KernelProcess } from './process.ts';
import type { KernelProcessor } from './processors.ts';
import type { KernelThread } from './thread.ts';

export interface ListInput {
  readonly memory: Memory;
  readonly fields: FieldFinder;
  readonly limits: LimitList;
  readonly processHead: Va | null;
  processors(): readonly KernelProcessor[];
  process(address: bigint): KernelProcess | null;
  thread(address: bigint): KernelThread | null;
}

const MAX_PROCESSES = 0x10000;
const MAX_THREADS = 0x40000;

/** Processes and threads that the kernel's lists and the processors lead to. */
export class ThreadLists {
  readonly #input: ListInput;
  #processes: readonly KernelProcess[] | undefined;
  #threads: readonly KernelThread[] | undefined;
  /** Heads of lists that could not be followed back to themselves, or were not found. */
  readonly #broken = new Set<bigint | null>();
  #cut = false;

  constructor(input: ListInput) {
    this.#input = input;
  }

  /**
   * Follows a list from its head both ways, so that one broken link does not hide the rest. `accept` says whether an
   * entry is what it should be; the walk stops at one that is not.
   */
  #walk(head: bigint, most: number, accept: (entry: bigint) => boolean | null, what: string): bigint[] {
    const { memory, limits } = this.#input;
    const seen = new Set<bigint>([head]);
    const forward: bigint[] = [];
    const backward: bigint[] = [];
    let broken: string | null = null;
    for (const [out, link] of [
      [forward, 0n],
      [backward, BigInt(memory.pointerSize)],
    ] as const) {
      if (out === backward && broken === null) break;
      let before = head;
      let entry = memory.pointer(head + link);
      for (;;) {
        if (entry === undefined) {
          broken = `a link of ${what} cannot be read after ${seen.size - 1} entries`;
          break;
        }
        if (entry === head) break;
        if (seen.has(entry)) {
          if (out === forward) broken = `${what} runs in a circle at ${entry.toString(16)}`;
          break;
        }
        const good = seen.size > most ? false : accept(entry);
        if (good !== true) {
          broken = `the entry ${entry.toString(16)} of ${what} ${good === null ? 'cannot be read' : 'is not what it should be'}`;
          break;
        }
        // An entry that only the other direction reaches leaves its mark here.
        if (out === forward && memory.pointer(entry + BigInt(memory.pointerSize)) !== before)
          broken = `the links of ${what} disagree at ${entry.toString(16)}`;
        seen.add(entry);
        out.push(entry);
        before = entry;
        entry = memory.pointer(entry + link);
      }
    }
    if (broken !== null) {
      this.#broken.add(head);
      limits.add(what, broken, 'the pages of the list');
    }
    return [...forward, ...backward.reverse()];
  }

  processes(): readonly KernelProcess[] {
    if (this.#processes !== undefined) return this.#processes;
    const { fields, processHead, limits } = this.#input;
    const found = new Map<bigint, KernelProcess>();
    const add = (address: bigint | null): void => {
      if (address === null || found.has(address)) return;
      const process = this.#input.process(address);
      if (process !== null && process.isProcess === true) found.set(address, process);
    };
    const links = fields.find('_EPROCESS', 'ActiveProcessLinks');
    if (processHead !== null && links !== null) {
      const entries = this.#walk(
        processHead,
        MAX_PROCESSES,
        (entry) => this.#input.process(entry - BigInt(links.offset))?.isProcess ?? null,
        'PsActiveProcessHead',
      );
      for (const entry of entries) add(va(entry - BigInt(links.offset)));
    } else {
      this.#broken.add(null);
      limits.add(
        'processes',
        processHead === null
          ? 'the dump names no PsActiveProcessHead'
          : 'the offset of EPROCESS.ActiveProcessLinks is not known',
        'layouts of this kernel',
      );
    }
    for (const processor of this.#input.processors()) {
      const current = processor.currentThread;
      const thread = current === null ? null : this.#input.thread(current);
      if (thread?.isThread === true) {
        add(thread.process);
        add(thread.owningProcess);
      }
    }
    this.#processes = [...found.values()];
    return this.#processes;
  }

  threadsOf(process: Process): readonly KernelThread[] {
    const { fields } = this.#input;
    // ETHREAD.ThreadListEntry in EPROCESS.ThreadListHead; KTHREAD's own list where that one is not known.
    for (const [headPath, struct, entryPath] of [
      ['ThreadListHead', '_ETHREAD', 'ThreadListEntry'],
      ['Pcb.ThreadListHead', '_KTHREAD', 'ThreadListEntry'],
    ] as const) {
      const head = process.fieldAddress(headPath);
      const entry = fields.find(struct, entryPath);
      if (head === null || entry === null) continue;
      const entries = this.#walk(
        head,
        MAX_THREADS,
        (at) => this.#input.thread(at - BigInt(entry.offset))?.isThread ?? null,
        `the threads of process ${process.address.toString(16)}`,
      );
      if (entries.length === 0) continue;
      return entries.flatMap((at) => this.#input.thread(at - BigInt(entry.offset)) ?? []);
    }
    return [];
  }

  /** See {@link Target.listsWhole}. */
  whole(process?: Process): boolean {
    this.threads();
    if (process === undefined) return this.#broken.size === 0 && !this.#cut;
    const { fields } = this.#input;
    const heads = ['ThreadListHead', 'Pcb.ThreadListHead'].map((path) => process.fieldAddress(path));
    const known =
      fields.find('_ETHREAD', 'ThreadListEntry') !== null || fields.find('_KTHREAD', 'ThreadListEntry') !== null;
    return (
      known && heads.some((head) => head !== null) && !heads.some((head) => head !== null && this.#broken.has(head))
    );
  }

  threads(): readonly Thread[] {
    if (this.#threads !== undefined) return this.#threads;
    const found = new Map<bigint, KernelThread>();
    for (const process of this.processes()) {
      for (const thread of this.threadsOf(process)) {
        if (found.size >= MAX_THREADS) {
          this.#cut = true;
          break;
        }
        found.set(thread.address, thread);
      }
    }
    for (const processor of this.#input.processors()) {
      for (const address of [processor.currentThread, processor.nextThread, processor.idleThreadAddress]) {
        const thread = address === null || found.has(address) ? null : this.#input.thread(address);
        if (thread?.isThread === true) found.set(thread.address, thread);
      }
    }
    this.#threads = [...found.values()];
    return this.#threads;
  }
}
