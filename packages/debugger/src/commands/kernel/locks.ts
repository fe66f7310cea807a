import { Structure, walkList } from '../../nt/structure.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { extensionArgs } from './thread.ts';

const MAX_RESOURCES = 200_000;
const MAX_OWNERS = 4096;
const MAX_WAITERS = 4096;
/** ERESOURCE.Flag: owned exclusively. */
const EXCLUSIVE = 0x80;
const DOT_EVERY = 32;

interface Owner {
  readonly thread: bigint;
  readonly count: number;
}

interface ResourceRow {
  readonly address: bigint;
  readonly exclusive: boolean | null;
  readonly activeCount: number | null;
  readonly contentionCount: number | null;
  readonly owners: readonly Owner[];
  readonly exclusiveWaiters: readonly bigint[];
  readonly sharedWaiters: readonly bigint[];
  readonly numberOfExclusiveWaiters: number | null;
  readonly numberOfSharedWaiters: number | null;
}

function ownerAt(resource: Structure, address: bigint): Owner | null {
  const entry = new Structure(resource.target, '_OWNER_ENTRY', address);
  const thread = entry.value('OwnerThread');
  if (thread === undefined || thread === 0n) return null;
  // OwnerCount shares its dword with flag bits on 6.1 and later.
  const count = entry.number('OwnerCount');
  return { thread, count: count ?? 0 };
}

/** Owner entries: the one or two inside the resource, then the table behind OwnerTable (element 0 holds its size). */
function ownersOf(resource: Structure): readonly Owner[] {
  const owners: Owner[] = [];
  const add = (address: bigint | undefined): void => {
    const owner = address === undefined ? null : ownerAt(resource, address);
    if (owner !== null) owners.push(owner);
  };
  if (resource.has('OwnerEntry')) add(resource.addressOf('OwnerEntry'));
  else {
    add(resource.addressOf('OwnerThreads[0]'));
    add(resource.addressOf('OwnerThreads[1]'));
  }
  const table = resource.value('OwnerTable');
  const size = resource.target.layouts.table.struct('_OWNER_ENTRY')?.size;
  if (table !== undefined && table !== 0n && size !== undefined) {
    const count = new Structure(resource.target, '_OWNER_ENTRY', table).number('TableSize') ?? 0;
    for (let i = 1; i < Math.min(count, MAX_OWNERS); i++) add(table + BigInt(i * size));
  }
  return owners;
}

/** Threads on the wait list of the dispatcher object that `path` points to. */
function waitersOf(resource: Structure, path: string): readonly bigint[] {
  const pointer = resource.value(path);
  // SharedWaiters and ExclusiveWaiters became KWAIT_CHAINs (a single list) later: those hold no dispatcher header.
  if (pointer === undefined || pointer === 0n || resource.field(path)?.type.kind !== 'pointer') return [];
  const header = new Structure(resource.target, '_DISPATCHER_HEADER', pointer);
  const head = header.addressOf('WaitListHead');
  const link = new Structure(resource.target, '_KWAIT_BLOCK', 0n).field('WaitListEntry');
  if (head === undefined || link === undefined) return [];
  const { entries } = walkList(resource.target, resource.memory, head, MAX_WAITERS);
  return entries.flatMap((entry) => {
    const thread = new Structure(resource.target, '_KWAIT_BLOCK', entry - BigInt(link.offset)).value('Thread');
    return thread === undefined ? [] : [thread];
  });
}

function readResource(session: Session, address: bigint): ResourceRow {
  const resource = new Structure(session.target, '_ERESOURCE', address);
  const active = resource.number('ActiveCount') ?? resource.number('ActiveEntries');
  const flag = resource.number('Flag');
  return {
    address: resource.address,
    exclusive: flag === undefined ? null : (flag & EXCLUSIVE) !== 0,
    activeCount: active ?? null,
    contentionCount: resource.number('ContentionCount') ?? null,
    owners: active === 0 ? [] : ownersOf(resource),
    exclusiveWaiters: waitersOf(resource, 'ExclusiveWaiters'),
    sharedWaiters: waitersOf(resource, 'SharedWaiters'),
    numberOfExclusiveWaiters: resource.number('NumberOfExclusiveWaiters') ?? null,
    numberOfSharedWaiters: resource.number('NumberOfSharedWaiters') ?? null,
  };
}

/** `Threads: ff688da0-01<*> `: `<*>` marks a real thread; with the low bits set the pointer is a transferred owner's. */
function ownerText(session: Session, owner: Owner): string {
  const text = `${plainAddress(owner.thread, session.target)}-${owner.count.toString(16).padStart(2, '0')}<*> `;
  const actual = owner.thread & ~3n;
  return actual === owner.thread ? text : `${text}*** Actual Thread ${plainAddress(actual, session.target)}`;
}

function resourceLines(session: Session, row: ResourceRow): string[] {
  const { target } = session;
  const state =
    row.activeCount === 0
      ? 'Available'
      : row.exclusive === true
        ? 'Exclusively owned'
        : `Shared ${row.activeCount ?? '?'} owning threads`;
  const lines = [`Resource @ 0x${plainAddress(row.address, target)}    ${state}`];
  if ((row.contentionCount ?? 0) > 0) lines.push(`    Contention Count = ${row.contentionCount}`);
  if ((row.numberOfSharedWaiters ?? 0) > 0) lines.push(`    NumberOfSharedWaiters = ${row.numberOfSharedWaiters}`);
  if ((row.numberOfExclusiveWaiters ?? 0) > 0) {
    lines.push(`    NumberOfExclusiveWaiters = ${row.numberOfExclusiveWaiters}`);
  }
  if (row.owners.length > 0) lines.push(`     Threads: ${row.owners.map((o) => ownerText(session, o)).join('')}`);
  for (const [title, waiters] of [
    ['     Threads Waiting On Exclusive Access:', row.exclusiveWaiters],
    ['     Threads Waiting On Shared Access:', row.sharedWaiters],
  ] as const) {
    if (waiters.length === 0) continue;
    lines.push(title, ...waiters.map((w) => `${' '.repeat(14)}${plainAddress(w, target)}       `));
  }
  return lines;
}

export const locksCommand: Command = defineCommand({
  names: ['!locks'],
  summary: 'list executive resources (ERESOURCE) that are held or waited for',
  usage: '!locks [-v] [-d] [address]',
  fidelity:
    'Lines as in WinDbg; the number of dots is ours. -v lists free ones too. Waiters of kernels that chain them in KWAIT_CHAIN are counted, not listed.',
  run(session, args) {
    const { target } = session;
    const { options, values } = extensionArgs(session, args, 1);
    const link = new Structure(target, '_ERESOURCE', 0n).field('SystemResourcesList');
    if (link === undefined) throw new CommandError('!locks: nt!_ERESOURCE is not in the layouts of this kernel');
    if (values[0] !== undefined) {
      const row = readResource(session, values[0]);
      if (row.activeCount === null) {
        throw new CommandError(`Unable to read the resource at ${plainAddress(row.address, target)}`);
      }
      return result([row], ['', ...resourceLines(session, row), '1 total locks']);
    }
    const head = target.kdbg?.pointer('ExpSystemResourcesList') ?? target.resolve('nt!ExpSystemResourcesList') ?? null;
    if (head === null) throw new CommandError('!locks: the address of nt!ExpSystemResourcesList is not known');
    const list = walkList(target, target.memory, head, MAX_RESOURCES);
    if (list.entries.length === 0 && list.end !== 'head') {
      throw new CommandError(`Unable to read nt!ExpSystemResourcesList at ${plainAddress(head, target)}`);
    }
    const lines = ['**** DUMP OF ALL RESOURCE OBJECTS ****'];
    const rows: ResourceRow[] = [];
    let scan = 'KD: Scanning for held locks';
    let scanned = 0;
    let held = 0;
    for (const entry of list.entries) {
      if (scanned++ % DOT_EVERY === 0) scan += '.';
      const row = readResource(session, entry - BigInt(link.offset));
      const isHeld = row.activeCount !== null && row.activeCount > 0;
      if (isHeld) held++;
      if (!isHeld && !options.has('v')) continue;
      rows.push(row);
      lines.push(scan, '', ...resourceLines(session, row));
      scan = 'KD: Scanning for held locks.';
    }
    lines.push(scan);
    if (list.end !== 'head') {
      lines.push(`(the list cannot be followed beyond ${plainAddress(list.at, target)}: ${list.end})`);
    }
    lines.push(`${scanned} total locks, ${held} locks currently held`);
    return result(rows, lines);
  },
});
