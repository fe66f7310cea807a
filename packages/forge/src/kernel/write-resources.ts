/**
 * Executive resources with owners and waiters. Up to 8.1 waiters wait on an event (exclusive) and a semaphore (shared) of
 * the resource; 14393 chains shared ones by single links, 17763 and later both kinds, each entry on its waiter's stack.
 */
import { ForgeError } from '../memory/address-space.ts';
import type { ResourceSpec, ResourceWaiterSpec } from '../scenario/scenario.ts';
import type { ForgedThread, Machine } from './machine.ts';
import { applyFields } from './write-processes.ts';

const EXCLUSIVE = 0x80;
const SYNCHRONIZATION_EVENT = 1;
const SEMAPHORE = 5;
/** Where a chain entry lies below the base of its waiter's stack, unless the scenario says. */
const ENTRY_BELOW_BASE = 0x300n;

interface ResourceWait {
  /** The object of the wait block, or null where it is the event of a chain entry. */
  readonly object: bigint | null;
  readonly entry: bigint | null;
  readonly chain: bigint[] | null;
}

/** Waits for resources by thread, and the chains that they end in. */
export class ResourceWaits {
  readonly #waits = new Map<string, ResourceWait>();
  readonly #chains: { readonly head: bigint; readonly single: boolean; readonly entries: bigint[] }[] = [];

  addObject(thread: string, object: bigint): void {
    this.#add(thread, { object, entry: null, chain: null });
  }

  addChain(head: bigint, single: boolean): bigint[] {
    const entries: bigint[] = [];
    this.#chains.push({ head, single, entries });
    return entries;
  }

  addChained(thread: string, entry: bigint | null, chain: bigint[]): void {
    this.#add(thread, { object: null, entry, chain });
  }

  #add(thread: string, wait: ResourceWait): void {
    if (this.#waits.has(thread)) throw new ForgeError(`resources: thread "${thread}" waits for two of them`);
    this.#waits.set(thread, wait);
  }

  /** The dispatcher object that the thread waits on for a resource; writes its chain entry. */
  objectOf(m: Machine, thread: ForgedThread): bigint | null {
    const wait = thread.idleOf === null ? this.#waits.get(thread.key) : undefined;
    if (wait === undefined) return null;
    if (wait.object !== null || wait.chain === null) return wait.object;
    const base = m.kernel.readInteger(m.write.at('_ETHREAD', thread.at, 'Tcb.StackBase') ?? 0n, m.pointerSize);
    const entry = wait.entry ?? base - ENTRY_BELOW_BASE;
    const event = entry + BigInt(m.layout.offset('_KWAIT_CHAIN_ENTRY', 'Event'));
    m.write.set('_KWAIT_CHAIN_ENTRY', entry, 'Thread', thread.at);
    writeObject(m, event, SYNCHRONIZATION_EVENT);
    wait.chain.push(entry);
    return event;
  }

  /** Once every thread is written: single links end in zero, double links form a ring of the entries alone. */
  link(m: Machine): void {
    for (const { head, single, entries } of this.#chains) {
      const [first, ...rest] = entries;
      if (first === undefined) continue;
      m.write.pointer(head, first);
      if (single) for (const [i, entry] of entries.entries()) m.write.pointer(entry, entries[i + 1] ?? 0n);
      else m.write.linkList(first, rest);
    }
  }
}

function writeObject(m: Machine, at: bigint, type: number): void {
  m.write.set('_DISPATCHER_HEADER', at, 'Type', type);
  m.write.set('_DISPATCHER_HEADER', at, 'Size', m.layout.size(type === SEMAPHORE ? '_KSEMAPHORE' : '_KEVENT') >> 2);
  m.write.emptyListField('_DISPATCHER_HEADER', at, 'WaitListHead');
  if (type === SEMAPHORE) m.write.set('_KSEMAPHORE', at, 'Limit', 0x7fffffff);
}

/** Before the threads: their wait blocks are made with the objects that this leaves in `waits`. */
export function writeResources(m: Machine, waits: ResourceWaits): void {
  const links: bigint[] = [];
  for (const [name, spec] of Object.entries(m.scenario.resources ?? {})) {
    const at = m.objects.get(name)?.at;
    if (at === undefined) continue;
    const where = `resources.${name}`;
    m.kernel.touch(at, m.layout.size('_ERESOURCE'));
    writeOwners(m, at, spec, where);
    const exclusive = waiters(spec.exclusiveWaiters);
    const shared = waiters(spec.sharedWaiters);
    m.write.set('_ERESOURCE', at, 'NumberOfExclusiveWaiters', exclusive.length);
    m.write.set('_ERESOURCE', at, 'NumberOfSharedWaiters', shared.length);
    m.write.set('_ERESOURCE', at, 'ContentionCount', spec.contention ?? exclusive.length + shared.length);
    writeWaiters(m, waits, at, 'ExclusiveWaiters', exclusive, where);
    writeWaiters(m, waits, at, 'SharedWaiters', shared, where);
    const link = m.write.at('_ERESOURCE', at, 'SystemResourcesList');
    if (link !== undefined) {
      if (spec.listed === false) m.write.emptyList(link);
      else links.push(link);
    }
    applyFields(m, '_ERESOURCE', at, spec.fields, `${where}.fields`);
  }
  const head = m.global('ExpSystemResourcesList');
  if (head !== undefined) m.write.linkList(head, links);
}

function waiters(list: ResourceSpec['sharedWaiters']): readonly ResourceWaiterSpec[] {
  return (list ?? []).map((waiter) => (typeof waiter === 'string' ? { thread: waiter } : waiter));
}

/** Exclusively owned unless the scenario says otherwise or there are several owners. */
function writeOwners(m: Machine, at: bigint, spec: ResourceSpec, where: string): void {
  const owners = spec.owners ?? [];
  const exclusive = spec.exclusive ?? owners.length === 1;
  m.write.set('_ERESOURCE', at, 'Flag', exclusive && owners.length > 0 ? EXCLUSIVE : 0);
  m.write.set('_ERESOURCE', at, 'ActiveCount', spec.activeCount ?? owners.length);
  m.write.set('_ERESOURCE', at, 'ActiveEntries', owners.length);
  const entry = m.layout.size('_OWNER_ENTRY');
  // XP: [0] is for an exclusive owner only, [1] for the first shared one.
  const two = m.layout.find('_ERESOURCE', 'OwnerThreads[0]');
  const first = two?.offset ?? m.layout.offset('_ERESOURCE', 'OwnerEntry');
  const inside = at + BigInt(first + (two !== undefined && !exclusive ? entry : 0));
  const rest = owners.length - 1;
  const table = rest > 0 ? m.nonPaged.take(entry * (rest + 2), 0x10) : 0n;
  if (rest > 0) {
    m.kernel.touch(table, entry * (rest + 2));
    m.write.set('_OWNER_ENTRY', table, 'TableSize', rest + 1);
    m.write.set('_ERESOURCE', at, 'OwnerTable', table);
  }
  owners.forEach((owner, index) => {
    const place = index === 0 ? inside : table + BigInt(entry * index);
    m.write.set('_OWNER_ENTRY', place, 'OwnerThread', m.value(owner.thread, `${where}.owners[${index}].thread`));
    m.write.set('_OWNER_ENTRY', place, 'OwnerCount', owner.count ?? 1);
  });
}

function writeWaiters(
  m: Machine,
  waits: ResourceWaits,
  at: bigint,
  path: 'ExclusiveWaiters' | 'SharedWaiters',
  list: readonly ResourceWaiterSpec[],
  where: string,
): void {
  if (list.length === 0) return;
  for (const { thread } of list) m.thread(thread);
  const chained = m.layout.find('_KWAIT_CHAIN_ENTRY', 'Event') !== undefined;
  const double = m.layout.find('_KWAIT_CHAIN_ENTRY', 'Thread') !== undefined;
  const head = m.write.at('_ERESOURCE', at, path);
  if (head === undefined) throw new ForgeError(`${where}: this build's _ERESOURCE has no ${path}`);
  if (chained && (double || path === 'SharedWaiters')) {
    const chain = waits.addChain(head, !double);
    for (const [index, waiter] of list.entries()) {
      const entry = waiter.entry === undefined ? null : m.value(waiter.entry, `${where}.${path}[${index}].entry`);
      waits.addChained(waiter.thread, entry, chain);
    }
    return;
  }
  const size = m.layout.size(path === 'SharedWaiters' ? '_KSEMAPHORE' : '_KEVENT');
  const object = m.nonPaged.take(size + 0x10, 0x10) + 0x10n;
  writeObject(m, object, path === 'SharedWaiters' ? SEMAPHORE : SYNCHRONIZATION_EVENT);
  m.write.pointer(head, object);
  for (const { thread } of list) waits.addObject(thread, object);
}
