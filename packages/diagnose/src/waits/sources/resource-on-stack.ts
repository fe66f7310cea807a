/**
 * The executive resource that a thread waits for, by a pointer to it on the thread's own stack: what is left where the
 * list of resources or a wait chain cannot be followed.
 */
import { type Resource, readResource, resourceWaiters, type Target, type Thread } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { EdgeProof } from '../wait-edge.ts';

/** ExpWaitForResource and its caller stand right below the wait: a few hundred bytes from the stack pointer. */
const REACH = 0x600;

export interface StackResource {
  readonly resource: bigint;
  readonly access: 'exclusive' | 'shared' | null;
  /** The resource's own lists lead to the thread. */
  readonly recorded: boolean;
  readonly proof: EdgeProof;
}

export function resourceOnStack(target: Target, thread: Thread, object: bigint): StackResource | null {
  const { kernelStack, stackBase } = thread;
  if (kernelStack === null || stackBase === null || kernelStack >= stackBase) return null;
  const size = Math.min(REACH, Number(stackBase - kernelStack));
  const seen = new Set<bigint>();
  let inferred: StackResource | null = null;
  for (let at = 0; at < size; at += target.pointerSize) {
    const slot = kernelStack + BigInt(at);
    const value = target.memory.pointer(slot);
    if (value === undefined || value % BigInt(target.pointerSize) !== 0n || seen.has(value)) continue;
    seen.add(value);
    const resource = readResource(target, value);
    if (!plausible(resource)) continue;
    const waiter = resourceWaiters(target, value).waiters.find((candidate) => candidate.thread === thread.address);
    const proof: EdgeProof = {
      claim: `executive resource ${argument(target, value)} is on the stack of thread ${argument(target, thread.address)}, which waits for a resource`,
      address: slot,
      length: target.pointerSize,
      command: `dps ${argument(target, slot)} l1`,
      source: 'stack',
    };
    if (waiter !== undefined && waiter.object === object)
      return { resource: value, access: waiter.access, recorded: true, proof };
    inferred ??= { resource: value, access: null, recorded: false, proof };
  }
  return inferred;
}

/** Owned, waited for, and with counts that such a lock can have. */
function plausible(resource: Resource): boolean {
  const waiters = (resource.numberOfExclusiveWaiters ?? 0) + (resource.numberOfSharedWaiters ?? 0);
  const active = resource.activeCount ?? 0;
  return (
    active > 0 &&
    active < 0x4000 &&
    waiters > 0 &&
    waiters < 0x10000 &&
    resource.contentionCount !== null &&
    resource.contentionCount >= waiters
  );
}
