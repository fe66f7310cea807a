/** Where a thread may run, and which bit of which group a processor is. */
import type { Processor, Target, Thread } from '@dumpscope/debugger';
import { member } from '../bugchecks/kernel-struct.ts';

export interface Affinity {
  /** Masks by processor group; group 0 is the only one up to Vista. */
  readonly groups: ReadonlyMap<number, bigint>;
  /** `3`, `group 1: 5`. */
  readonly text: string;
  readonly address: bigint;
  readonly length: number;
}

export interface ProcessorPlace {
  readonly group: number;
  readonly bit: number;
}

/** Windows 11 and Server 2022 know 32 groups, 10 knows 20, 7 four. */
const MAX_GROUPS = 64;

/**
 * KAFFINITY up to Vista, GROUP_AFFINITY from 7 to Windows 10, pointer to KAFFINITY_EX from 20348 on: layouts of 5.1.2600,
 * 6.1.7601, 10.0.19041, 10.0.20348 and 10.0.22000. Null where it cannot be read or no bit is set.
 */
export function affinityOf(
  target: Target,
  thread: Thread,
  field: 'Affinity' | 'UserAffinity' = 'Affinity',
): Affinity | null {
  const at = thread.fieldAddress(field);
  const mask = thread.field(`${field}.Mask`);
  if (mask !== null) {
    const group = thread.field(`${field}.Group`);
    return group === null ? null : single(Number(group), mask, at, target.pointerSize + 4);
  }
  const embedded = thread.fieldAddress(`${field}.Bitmap[0]`);
  if (embedded !== null) return extended(target, at, embedded);
  const plain = thread.field(field);
  if (plain === null) return null;
  const pointer = BigInt.asUintN(64, plain);
  // A mask of one group has no bit above 47 unless it has nearly all; a kernel pointer has them all.
  if (target.pointerSize === 8 && pointer >> 47n === 0x1ffffn) {
    const bitmap = member(target, '_KAFFINITY_EX', pointer, 'Bitmap[0]');
    if (bitmap !== null) return extended(target, pointer, bitmap.address);
  }
  return single(0, plain, at, target.pointerSize);
}

function single(group: number, mask: bigint, address: bigint | null, length: number): Affinity | null {
  return made(new Map([[group, mask]]), address, length);
}

/** KAFFINITY_EX: Count masks, a group each. */
function extended(target: Target, address: bigint | null, bitmap: bigint): Affinity | null {
  if (address === null) return null;
  const count = target.memory.u16(address);
  if (count === undefined) return null;
  const groups = new Map<number, bigint>();
  for (let i = 0; i < Math.min(count, MAX_GROUPS); i++) {
    const mask = target.memory.pointer(bitmap + BigInt(i * target.pointerSize));
    if (mask === undefined) return null;
    groups.set(i, mask);
  }
  return made(groups, address, Number(bitmap - address) + groups.size * target.pointerSize);
}

function made(groups: ReadonlyMap<number, bigint>, address: bigint | null, length: number): Affinity | null {
  const used = [...groups].filter(([, mask]) => mask !== 0n);
  if (used.length === 0 || address === null) return null;
  const text =
    used.length === 1 && used[0]?.[0] === 0
      ? (used[0][1].toString(16) ?? '')
      : used.map(([group, mask]) => `group ${group}: ${mask.toString(16)}`).join(', ');
  return { groups: new Map(used), text, address, length };
}

/** KPRCB.Group and GroupIndex from 7 on; before, the number is the bit. Null where they cannot be read. */
export function processorPlace(target: Target, processor: Processor): ProcessorPlace | null {
  const group = member(target, '_KPRCB', processor.prcb, 'Group');
  const index = member(target, '_KPRCB', processor.prcb, 'GroupIndex');
  if (group === null || index === null)
    return processor.number < target.pointerSize * 8 ? { group: 0, bit: processor.number } : null;
  if (group.value === null || index.value === null) return null;
  return { group: Number(group.value), bit: Number(index.value) };
}

/**
 * Affinity that the thread gave itself in the kernel (KeSetSystemAffinityThread) and has not reverted: SystemAffinityActive
 * with the user affinity beside it, whatever code did it. Null where it did not, or where that cannot be read.
 */
export function systemAffinity(
  target: Target,
  thread: Thread,
): { readonly at: bigint | null; readonly user: Affinity | null } | null {
  const active = thread.field('SystemAffinityActive');
  if (active === null || active === 0n) return null;
  return { at: thread.fieldAddress('SystemAffinityActive'), user: affinityOf(target, thread, 'UserAffinity') };
}

/** What cannot be read may be allowed: nobody is called bound on a guess. */
export function mayRun(affinity: Affinity | null, place: ProcessorPlace | null): boolean {
  if (affinity === null || place === null) return true;
  return (((affinity.groups.get(place.group) ?? 0n) >> BigInt(place.bit)) & 1n) === 1n;
}
