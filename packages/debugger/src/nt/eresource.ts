/**
 * Executive resources (ERESOURCE): who owns one, who waits for it, and the list of all of them.
 *
 * Layouts by build: XP keeps OwnerThreads[2] ([0] exclusive, [1] first shared owner), 7 and later one OwnerEntry; further
 * owners are in OwnerTable. Up to 8.1 waiters wait on a semaphore (shared) and an event (exclusive) that the resource
 * points at; 14393 chains shared waiters in a KWAIT_CHAIN of single links, 17763 and later both kinds in chains of double
 * links, each entry on its waiter's stack with an event of its own.
 */
import { type Va, va } from '@dumpscope/core';
import type { Target } from '../target/model.ts';
import { type ListEnd, Structure, walkList } from './structure.ts';

const MAX_OWNERS = 65_536;
const MAX_WAITERS = 65_536;
const MAX_RESOURCES = 200_000;
/** ERESOURCE.Flag: ResourceOwnedExclusive. */
const EXCLUSIVE = 0x80;

export interface ResourceOwner {
  /**
   * OwnerThread as it stands: a KTHREAD, or with bits 0 and 1 set what ExSetResourceOwnerPointer stored. 1 alone is what
   * XP and 7 leave while they hand the resource over.
   */
  readonly pointer: Va;
  readonly count: number;
  /** Address of the OWNER_ENTRY. */
  readonly entry: Va;
}

export interface ResourceWaiter {
  readonly thread: Va;
  readonly access: 'exclusive' | 'shared';
  /** The dispatcher object of its wait block: the resource's event or semaphore, or the event in its chain entry. */
  readonly object: Va;
  /** Its KWAIT_BLOCK, or its KWAIT_CHAIN_ENTRY. */
  readonly link: Va;
}

export interface Resource {
  readonly address: Va;
  /** Owned exclusively; null where Flag cannot be read. */
  readonly exclusive: boolean | null;
  readonly activeCount: number | null;
  readonly contentionCount: number | null;
  readonly numberOfExclusiveWaiters: number | null;
  readonly numberOfSharedWaiters: number | null;
}

export function readResource(target: Target, address: bigint): Resource {
  const resource = new Structure(target, '_ERESOURCE', address);
  const flag = resource.number('Flag');
  return {
    address: resource.address,
    exclusive: flag === undefined ? null : (flag & EXCLUSIVE) !== 0,
    activeCount: resource.number('ActiveCount') ?? resource.number('ActiveEntries') ?? null,
    contentionCount: resource.number('ContentionCount') ?? null,
    numberOfExclusiveWaiters: resource.number('NumberOfExclusiveWaiters') ?? null,
    numberOfSharedWaiters: resource.number('NumberOfSharedWaiters') ?? null,
  };
}

/** Owner entries: the one or two inside the resource, then the table behind OwnerTable (element 0 holds its size). */
export function resourceOwners(
  target: Target,
  address: bigint,
): { readonly owners: readonly ResourceOwner[]; readonly complete: boolean } {
  const resource = new Structure(target, '_ERESOURCE', address);
  const owners: ResourceOwner[] = [];
  let complete = true;
  const add = (at: bigint | undefined): void => {
    if (at === undefined) {
      complete = false;
      return;
    }
    const entry = new Structure(target, '_OWNER_ENTRY', at);
    const pointer = entry.value('OwnerThread');
    if (pointer === undefined) complete = false;
    else if (pointer !== 0n)
      // OwnerCount shares its dword with flag bits from 7 on.
      owners.push({ pointer: va(pointer), count: entry.number('OwnerCount') ?? 0, entry: entry.address });
  };
  if (resource.has('OwnerEntry')) add(resource.addressOf('OwnerEntry'));
  else {
    add(resource.addressOf('OwnerThreads[0]'));
    add(resource.addressOf('OwnerThreads[1]'));
  }
  const table = resource.value('OwnerTable');
  const size = target.layouts.table.struct('_OWNER_ENTRY')?.size;
  if (table === undefined || (table !== 0n && size === undefined)) complete = false;
  else if (table !== 0n && size !== undefined) {
    const count = new Structure(target, '_OWNER_ENTRY', table).number('TableSize');
    if (count === undefined || count > MAX_OWNERS) complete = false;
    for (let i = 1; i < Math.min(count ?? 0, MAX_OWNERS); i++) {
      add(table + BigInt(i * size));
      if (!complete) break;
    }
  }
  return { owners, complete };
}

interface Waiters {
  readonly waiters: readonly ResourceWaiter[];
  /** False where a pointer or a list could not be followed to its end. */
  readonly complete: boolean;
}

/** Threads that wait for the resource, exclusive ones first. */
export function resourceWaiters(target: Target, address: bigint): Waiters {
  const exclusive = waitersBehind(target, address, 'ExclusiveWaiters', 'exclusive');
  const shared = waitersBehind(target, address, 'SharedWaiters', 'shared');
  return { waiters: [...exclusive.waiters, ...shared.waiters], complete: exclusive.complete && shared.complete };
}

function waitersBehind(
  target: Target,
  address: bigint,
  path: 'ExclusiveWaiters' | 'SharedWaiters',
  access: ResourceWaiter['access'],
): Waiters {
  const resource = new Structure(target, '_ERESOURCE', address);
  const field = resource.field(path);
  const first = resource.value(field?.type.kind === 'struct' ? `${path}.Head` : path);
  if (field === undefined || first === undefined || first === 0n) return { waiters: [], complete: first === 0n };
  const object = field.type.kind === 'pointer' && field.type.to.kind === 'struct';
  if (object) return waitersOn(target, first, access);
  const chained = chainedWaiters(target, resource, first, access);
  // The field is a void pointer from 17763 on: what it leads to decides.
  return chained.length > 0 || !isWaitObject(target, first, access)
    ? { waiters: chained, complete: chained.length > 0 }
    : waitersOn(target, first, access);
}

const SYNCHRONIZATION_EVENT = 1;
const SEMAPHORE = 5;
const THREAD = 6;

/** An event or semaphore whose wait list is closed. */
function isWaitObject(target: Target, address: bigint, access: ResourceWaiter['access']): boolean {
  const header = new Structure(target, '_DISPATCHER_HEADER', address);
  const head = header.addressOf('WaitListHead');
  if (head === undefined || typeOf(target, address) !== (access === 'shared' ? SEMAPHORE : SYNCHRONIZATION_EVENT))
    return false;
  const next = target.memory.pointer(head);
  return next !== undefined && target.memory.pointer(next + BigInt(target.pointerSize)) === head;
}

function waitersOn(target: Target, object: bigint, access: ResourceWaiter['access']): Waiters {
  const header = new Structure(target, '_DISPATCHER_HEADER', object);
  const head = header.addressOf('WaitListHead');
  const link = new Structure(target, '_KWAIT_BLOCK', 0n).field('WaitListEntry');
  if (head === undefined || link === undefined) return { waiters: [], complete: false };
  const list = walkList(target, target.memory, head, MAX_WAITERS);
  const waiters = list.entries.flatMap((entry) => {
    const block = new Structure(target, '_KWAIT_BLOCK', entry - BigInt(link.offset));
    const thread = block.value('Thread');
    return thread === undefined ? [] : [{ thread: va(thread), access, object: header.address, link: block.address }];
  });
  return { waiters, complete: list.end === 'head' && waiters.length === list.entries.length };
}

/** An entry's event is the object that its thread waits for; where the entry names no thread the event's list does. */
function chainedWaiters(
  target: Target,
  resource: Structure,
  first: bigint,
  access: ResourceWaiter['access'],
): readonly ResourceWaiter[] {
  const found: ResourceWaiter[] = [];
  const seen = new Set<bigint>();
  // A head that is embedded in the resource, instead of a ring of entries alone, would lead back into it.
  const from = resource.address;
  const to = from + BigInt(target.layouts.table.struct('_ERESOURCE')?.size ?? 0);
  let at: bigint | undefined = first;
  while (at !== undefined && at !== 0n && !seen.has(at) && seen.size < MAX_WAITERS && !(at >= from && at < to)) {
    seen.add(at);
    const waiter = chainEntry(target, at);
    if (waiter === null) break;
    found.push({ ...waiter, access, link: va(at) });
    at = target.memory.pointer(at);
  }
  return found;
}

/** The thread and event of a KWAIT_CHAIN_ENTRY; null where `address` is none. */
function chainEntry(target: Target, address: bigint): { readonly thread: Va; readonly object: Va } | null {
  const entry = new Structure(target, '_KWAIT_CHAIN_ENTRY', address);
  const event = entry.addressOf('Event');
  if (event === undefined) return null;
  const thread = entry.has('Thread') ? entry.value('Thread') : waitersOn(target, event, 'shared').waiters[0]?.thread;
  if (thread === undefined || thread === 0n) return null;
  if ((typeOf(target, event) ?? 0xff) > SYNCHRONIZATION_EVENT || typeOf(target, thread) !== THREAD) return null;
  return { thread: va(thread), object: event };
}

function typeOf(target: Target, object: bigint): number | null {
  const type = new Structure(target, '_DISPATCHER_HEADER', object).number('Type');
  return type === undefined ? null : type & 0x7f;
}

/** Every resource of nt!ExpSystemResourcesList, which KDBG names; null where neither it nor symbols do. */
export function systemResources(target: Target): {
  readonly head: Va;
  readonly resources: readonly Va[];
  /** `head` where the list came back to its start. */
  readonly end: ListEnd;
  readonly at: Va;
} | null {
  const link = new Structure(target, '_ERESOURCE', 0n).field('SystemResourcesList');
  const head = target.kdbg?.pointer('ExpSystemResourcesList') ?? target.resolve('nt!ExpSystemResourcesList') ?? null;
  if (head === null || link === undefined) return null;
  const list = walkList(target, target.memory, head, MAX_RESOURCES);
  return { head, resources: list.entries.map((entry) => va(entry - BigInt(link.offset))), end: list.end, at: list.at };
}
