/**
 * Executive resources: who waits for which, and its owners. A wait for a resource has a timer of a few seconds in every
 * version, after which the same wait begins again: the timer frees nobody, and WaitTime bounds the wait from below only.
 */
import {
  type Resource,
  type ResourceWaiter,
  readResource,
  resourceOwners,
  resourceWaiters,
  systemResources,
  type Target,
  type ThreadWait,
  type WaitBlock,
} from '@dumpscope/debugger';
import { argument, count, plural } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { EdgeProof } from '../wait-edge.ts';
import { resourceOnStack } from './resource-on-stack.ts';
import { addOwners } from './resource-owners.ts';

/** KWAIT_REASON WrResource, from XP on. */
const WR_RESOURCE = 27;

/** Stacks to search for resources that no list leads to. */
const MAX_SEARCHED = 1000;

type Access = 'exclusive' | 'shared';

export const executiveResources: EdgeSource = defineEdgeSource({
  id: 'executive-resource',
  run(builder: WaitGraphBuilder): void {
    const { target } = builder.diagnosis;
    const contended = new Map<bigint, Resource>();
    const list = systemResources(target);
    if (list === null || (list.resources.length === 0 && list.end !== 'head'))
      builder.limit(
        'executive resources',
        'nt!ExpSystemResourcesList or the layout of _ERESOURCE is not known or not in the dump',
      );
    else if (list.end !== 'head')
      builder.limit(
        'executive resources',
        `nt!ExpSystemResourcesList cannot be followed beyond ${argument(target, list.at)}: ${list.end}`,
      );
    let unread = 0;
    for (const address of list?.resources ?? []) {
      const resource = readResource(target, address);
      const counted = (resource.numberOfExclusiveWaiters ?? 0) + (resource.numberOfSharedWaiters ?? 0);
      // XP to 8.1 keep the event and the semaphore of a resource once somebody has waited for it.
      const { waiters, complete } =
        counted > 0 || resource.activeCount !== 0
          ? resourceWaiters(target, address)
          : { waiters: [] as readonly ResourceWaiter[], complete: true };
      if (!complete) unread++;
      if (counted === 0 && waiters.length === 0) continue;
      contended.set(address, resource);
      claimWaiters(builder, resource, waiters);
    }
    if (unread > 0)
      builder.limit('waiters of executive resources', `those of ${count(unread)} could not be followed to their end`);
    claimByStack(builder, contended);
    for (const resource of contended.values()) addOwners(builder, nodeOf(resource), resource);
  },
});

interface Held {
  readonly resource: Resource;
  readonly owners: ReadonlySet<bigint>;
}

function holdersOf(target: Target, resource: Resource): Held {
  return { resource, owners: new Set(resourceOwners(target, resource.address).owners.map(({ pointer }) => pointer)) };
}

function nodeOf(resource: Resource): GraphNode {
  return { kind: 'object', object: 'executive resource', address: resource.address };
}

function claimWaiters(builder: WaitGraphBuilder, resource: Resource, waiters: readonly ResourceWaiter[]): void {
  const { target } = builder.diagnosis;
  const held = holdersOf(target, resource);
  let found = 0;
  for (const waiter of waiters) {
    const wait = builder.waitOf(waiter.thread);
    const block = wait?.blocks.find(({ object }) => object === waiter.object);
    if (wait === undefined || block === undefined) continue;
    found++;
    claim(builder, wait, block, held, waiter.access, [
      counters(target, resource, waiter.access),
      {
        claim: `thread ${argument(target, waiter.thread)} is among its ${waiter.access} waiters`,
        address: waiter.link,
        length: target.pointerSize * 3,
        command: `!locks ${argument(target, resource.address)}`,
        source: '_ERESOURCE.ExclusiveWaiters, SharedWaiters',
      },
    ]);
  }
  const counted = (resource.numberOfExclusiveWaiters ?? 0) + (resource.numberOfSharedWaiters ?? 0);
  if (found < counted)
    builder.limit(
      `waiters of executive resource ${argument(target, resource.address)}`,
      `it counts ${plural(counted, 'waiter')}, its wait lists lead to ${found}`,
    );
}

/** Waits for resources that no list leads to: a resource is an argument of the functions that wait, so it is on the stack. */
function claimByStack(builder: WaitGraphBuilder, contended: Map<bigint, Resource>): void {
  const { target } = builder.diagnosis;
  let searched = 0;
  for (const wait of builder.waits) {
    if (wait.reason !== WR_RESOURCE || wait.blocks.length !== 1) continue;
    const block = wait.blocks[0];
    if (block === undefined || builder.claimed(block)) continue;
    if (searched++ >= MAX_SEARCHED) break;
    const found = resourceOnStack(target, wait.thread, block.object);
    if (found === null) continue;
    const resource = contended.get(found.resource) ?? readResource(target, found.resource);
    contended.set(found.resource, resource);
    claim(
      builder,
      wait,
      block,
      holdersOf(target, resource),
      found.access,
      [counters(target, resource, found.access), found.proof],
      found.recorded,
    );
  }
}

function claim(
  builder: WaitGraphBuilder,
  wait: ThreadWait,
  block: WaitBlock,
  { resource, owners }: Held,
  access: Access | null,
  proof: readonly EdgeProof[],
  recorded = true,
): void {
  // The releasing thread makes the first exclusive waiter the owner before that thread runs again.
  const handedOver = resource.exclusive === true && owners.has(wait.thread.address);
  builder.claim(wait, block, {
    to: nodeOf(resource),
    certainty: recorded ? 'recorded' : 'inferred',
    access,
    retries: true,
    satisfied: handedOver || resource.activeCount === 0,
    proof,
  });
}

function counters(target: Target, resource: Resource, access: Access | null): EdgeProof {
  const exclusive = resource.numberOfExclusiveWaiters ?? '?';
  const shared = resource.numberOfSharedWaiters ?? '?';
  return {
    claim: `executive resource ${argument(target, resource.address)}: ${exclusive} exclusive and ${shared} shared waiters, contention ${resource.contentionCount ?? '?'}, ${resource.exclusive === true ? 'owned exclusively' : resource.exclusive === false ? 'owned shared' : 'owned'}${access === null ? '' : `; wanted ${access}`}`,
    address: resource.address,
    length: target.layouts.table.struct('_ERESOURCE')?.size ?? target.pointerSize * 13,
    command: `!locks ${argument(target, resource.address)}`,
    source: '_ERESOURCE',
  };
}
