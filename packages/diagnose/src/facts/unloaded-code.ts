/**
 * Return addresses of a thread's stack that lie where a driver was loaded and nothing is any more: a lock that this thread
 * holds may have been taken by code that is gone, so that nobody is left to give it back.
 */
import type { UnloadedModule } from '@dumpscope/debugger';
import { unloadedAt } from '../bugchecks/address-view.ts';
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Evidence } from '../engine/evidence.ts';
import { argument } from '../engine/words.ts';
import type { Finding } from '../report/report.ts';
import { RUNNING } from './stacks.ts';

export interface UnloadedReturn {
  readonly module: UnloadedModule;
  readonly value: bigint;
  /** Stack slot. */
  readonly at: bigint;
  /** In a frame that has not returned; else left by a call that has. */
  readonly live: boolean;
}

/** The largest kernel stack is smaller. */
const MAX_STACK = 0x40000;
const MAX_FOUND = 4;
const buffer = new Uint8Array(MAX_STACK);
const view = new DataView(buffer.buffer);

export function unloadedReturns({ target }: Diagnosis, address: bigint): readonly UnloadedReturn[] {
  const thread = target.thread(address);
  if (thread?.stackBase == null || thread.stackLimit === null || target.unloadedModules.length === 0) return [];
  const length = Number(thread.stackBase - thread.stackLimit);
  if (length <= 0 || length > MAX_STACK) return [];
  const processor = target.processors.find(({ currentThread }) => currentThread === address);
  const live = processor?.interrupted?.sp ?? (thread.state === RUNNING ? null : thread.kernelStack);
  const size = target.pointerSize;
  const found: UnloadedReturn[] = [];
  for (let from = 0; from < length; ) {
    const got = target.memory.readInto(
      (thread.stackLimit + BigInt(from)) as typeof thread.stackLimit,
      buffer.subarray(from, length),
    );
    for (let at = from; at + size <= from + got; at += size) {
      // Most words are told apart by their upper halves alone.
      if (size === 8 && (view.getUint32(at + 4, true) & 0xffff_8000) >>> 0 !== 0xffff_8000) continue;
      const low = view.getUint32(at, true);
      const value = size === 8 ? (BigInt(view.getUint32(at + 4, true)) << 32n) | BigInt(low) : BigInt(low);
      const module = unloadedAt(target, value);
      if (module === null || target.moduleAt(value) !== undefined) continue;
      const slot = thread.stackLimit + BigInt(at);
      found.push({ module, value, at: slot, live: live !== null && slot >= live });
      if (found.length > MAX_STACK / 64) break;
    }
    // Behind a page that is not there.
    from = (Math.floor((from + got) / 0x1000) + 1) * 0x1000;
  }
  const inFrames = found.filter((hit) => hit.live);
  return (inFrames.length > 0 ? inFrames : found).slice(0, MAX_FOUND);
}

/** Blame for drivers that are gone, with the evidence for it. */
export function blameUnloaded(diagnosis: Diagnosis, thread: bigint, evidence: Evidence): Finding['blame'] {
  const { target } = diagnosis;
  const returns = unloadedReturns(diagnosis, thread);
  const told = new Set<string>();
  const blame: Finding['blame'][number][] = [];
  for (const { module, value, at, live } of returns) {
    const place = `${module.name}+0x${(value - module.start).toString(16)}`;
    evidence.memory(
      `${live ? 'a live frame' : 'the remains of a call that has returned'} on the stack of thread ${argument(target, thread)} holds ${argument(target, value)}, which is ${place}: it was unloaded from ${argument(target, module.start)}`,
      'true',
      at,
      target.pointerSize,
      `dps ${argument(target, at)} l1`,
    );
    if (told.has(module.name)) continue;
    told.add(module.name);
    blame.push({
      module: module.name,
      function: null,
      role: 'holder',
      reason: `unloaded, ${live ? 'with a frame still' : 'with return addresses left'} on the stack of thread ${argument(target, thread)}: what its code holds nobody gives back`,
    });
  }
  return blame;
}
