import {
  type Resource,
  type ResourceWaiter,
  readResource,
  resourceOwners,
  resourceWaiters,
  systemResources,
} from '../../nt/eresource.ts';
import type { Target } from '../../target/model.ts';
import { type Command, CommandError, defineCommand, type Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';
import { result } from '../format/lines.ts';
import { extensionArgs } from './thread.ts';

const DOT_EVERY = 32;

interface ResourceRow extends Resource {
  readonly owners: readonly { readonly thread: bigint; readonly count: number }[];
  readonly exclusiveWaiters: readonly bigint[];
  readonly sharedWaiters: readonly bigint[];
}

function rowOf(target: Target, address: bigint): ResourceRow {
  const resource = readResource(target, address);
  const { waiters } = resourceWaiters(target, address);
  const threads = (access: ResourceWaiter['access']): readonly bigint[] =>
    waiters.filter((waiter) => waiter.access === access).map(({ thread }) => thread);
  return {
    ...resource,
    owners:
      resource.activeCount === 0
        ? []
        : resourceOwners(target, address).owners.map(({ pointer, count }) => ({ thread: pointer, count })),
    exclusiveWaiters: threads('exclusive'),
    sharedWaiters: threads('shared'),
  };
}

/** `Threads: ff688da0-01<*> `: `<*>` marks a real thread; with the low bits set the pointer is a transferred owner's. */
function ownerText(session: Session, owner: ResourceRow['owners'][number]): string {
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
  fidelity: 'Lines as in WinDbg; the number of dots is ours. -v lists free ones too.',
  run(session, args) {
    const { target } = session;
    const { options, values } = extensionArgs(session, args, 1);
    if (target.layouts.table.struct('_ERESOURCE') === undefined)
      throw new CommandError('!locks: nt!_ERESOURCE is not in the layouts of this kernel');
    if (values[0] !== undefined) {
      const row = rowOf(target, values[0]);
      if (row.activeCount === null) {
        throw new CommandError(`Unable to read the resource at ${plainAddress(row.address, target)}`);
      }
      return result([row], ['', ...resourceLines(session, row), '1 total locks']);
    }
    const list = systemResources(target);
    if (list === null) throw new CommandError('!locks: the address of nt!ExpSystemResourcesList is not known');
    if (list.resources.length === 0 && list.end !== 'head') {
      throw new CommandError(`Unable to read nt!ExpSystemResourcesList at ${plainAddress(list.head, target)}`);
    }
    const lines = ['**** DUMP OF ALL RESOURCE OBJECTS ****'];
    const rows: ResourceRow[] = [];
    let scan = 'KD: Scanning for held locks';
    let scanned = 0;
    let held = 0;
    for (const address of list.resources) {
      if (scanned++ % DOT_EVERY === 0) scan += '.';
      const row = rowOf(target, address);
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
