import type { Memory, Va } from '@dumpscope/core';
import { type FieldFinder, StructReader } from './fields.ts';

/** Checks of a layout against the dump itself, for tables that are not known to be exact. */

export interface LayoutCheck {
  readonly what: string;
  /** Null: the memory that decides is not in the dump. */
  readonly outcome: boolean | null;
}

export interface CheckInput {
  readonly memory: Memory;
  readonly fields: FieldFinder;
  /** KPRCB addresses by processor number; null for processors whose block is not known. */
  readonly prcbs: readonly (Va | null)[];
  readonly processHead: Va | null;
}

/** DISPATCHER_HEADER.Type, the first byte of both structures in every version. */
const PROCESS_OBJECT = 3;
const THREAD_OBJECT = 6;

/** Processors and processes looked at: more prove nothing more. */
const SAMPLES = 6;

function linksBack(memory: Memory, entry: Va | null): boolean | null {
  if (entry === null) return null;
  const next = memory.pointer(entry);
  if (next === undefined) return null;
  const back = memory.pointer(next + BigInt(memory.pointerSize));
  return back === undefined ? null : back === entry;
}

function isKernel(memory: Memory, address: bigint): boolean {
  return memory.pointerSize === 8 ? address >= 0xffff000000000000n : address >= 0x80000000n;
}

export function checkLayout(input: CheckInput): LayoutCheck[] {
  const { memory, fields } = input;
  const checks: LayoutCheck[] = [];
  const add = (what: string, outcome: boolean | null): void => {
    checks.push({ what, outcome });
  };
  let sampled = 0;
  for (const [number, address] of input.prcbs.entries()) {
    if (address === null || sampled >= SAMPLES) continue;
    const prcb = new StructReader(memory, fields, '_KPRCB', address);
    const stored = prcb.field('Number');
    if (stored === null) continue;
    sampled++;
    add(`KPRCB.Number of processor ${number}`, stored === BigInt(number));
    const current = prcb.pointer('CurrentThread');
    if (current === null) continue;
    checkThread(input, current, add);
  }
  if (input.processHead !== null) {
    const links = fields.find('_EPROCESS', 'ActiveProcessLinks');
    const first = memory.pointer(input.processHead);
    if (links !== null && first !== undefined && first !== input.processHead)
      checkProcess(input, (first - BigInt(links.offset)) as Va, add);
  }
  return checks;
}

function checkThread(input: CheckInput, address: Va, add: (what: string, outcome: boolean | null) => void): void {
  const { memory, fields } = input;
  const type = memory.u8(address);
  if (type === undefined) return;
  const name = address.toString(16);
  add(`thread object at ${name}`, (type & 0x7f) === THREAD_OBJECT);
  const thread = new StructReader(memory, fields, '_ETHREAD', address);
  const base = thread.field('Tcb.StackBase');
  const limit = thread.field('Tcb.StackLimit');
  const initial = thread.field('Tcb.InitialStack');
  if (base !== null && limit !== null && initial !== null)
    add(
      `stack of thread ${name}`,
      limit < initial &&
        initial <= base &&
        base - limit <= 0x40000n &&
        (base & 0xfffn) === 0n &&
        (limit & 0xfffn) === 0n,
    );
  const state = thread.field('Tcb.State');
  if (state !== null) add(`state of thread ${name}`, state <= 9n);
  add(`ETHREAD.ThreadListEntry of ${name}`, linksBack(memory, thread.fieldAddress('ThreadListEntry')));
  const processAddress = thread.pointer('Tcb.ApcState.Process');
  if (processAddress === null) return;
  const kind = memory.u8(processAddress);
  if (kind === undefined) return;
  add(`process of thread ${name}`, (kind & 0x7f) === PROCESS_OBJECT && isKernel(memory, processAddress));
  const process = new StructReader(memory, fields, '_EPROCESS', processAddress);
  const owner = thread.field('Cid.UniqueProcess');
  const pid = process.field('UniqueProcessId');
  // A thread that is attached to another process, or the idle thread, has another owner.
  const owning = thread.pointer('Tcb.Process') ?? thread.pointer('ThreadsProcess');
  if (owner !== null && pid !== null && (owning === null || owning === processAddress))
    add(`client id of thread ${name}`, owner === pid);
  checkProcess(input, processAddress, add);
}

function checkProcess(input: CheckInput, address: Va, add: (what: string, outcome: boolean | null) => void): void {
  const process = new StructReader(input.memory, input.fields, '_EPROCESS', address);
  const name = address.toString(16);
  const pid = process.field('UniqueProcessId');
  // The idle process is in no list.
  if (pid !== null && pid !== 0n)
    add(`EPROCESS.ActiveProcessLinks of ${name}`, linksBack(input.memory, process.fieldAddress('ActiveProcessLinks')));
  if (pid !== null) add(`process id of ${name}`, pid < 0x1000000n && pid % 4n === 0n);
  const at = process.fieldAddress('ImageFileName');
  const text = at === null ? undefined : input.memory.bytes(at, 15);
  if (text !== undefined) add(`image name of ${name}`, isImageName(text));
}

/** Up to 15 printable characters, then zeros. */
export function isImageName(bytes: Uint8Array): boolean {
  let end = bytes.indexOf(0);
  if (end < 0) end = bytes.length;
  if (end === 0) return false;
  for (let i = 0; i < end; i++) if ((bytes[i] ?? 0) < 0x20) return false;
  return true;
}
