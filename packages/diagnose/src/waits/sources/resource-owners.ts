/** Owners of an executive resource as edges. Every shared owner keeps an exclusive waiter, and whoever waits behind that. */
import {
  OBJECT_TYPE,
  type Resource,
  type ResourceOwner,
  resourceOwners,
  Structure,
  type Target,
} from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import type { WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { Certainty } from '../wait-edge.ts';

/** ExSetResourceOwnerPointer wants bits 0 and 1 set in what it stores. */
const POINTER_BITS = 3n;

export function addOwners(builder: WaitGraphBuilder, from: GraphNode, resource: Resource): void {
  const { target } = builder.diagnosis;
  if (resource.activeCount === 0) return;
  const { owners, complete } = resourceOwners(target, resource.address);
  if (!complete)
    builder.limit(
      `owners of executive resource ${argument(target, resource.address)}`,
      'its owner table could not be read',
    );
  const hidden = hiddenOwner(resource, owners.length, complete);
  if (hidden !== null)
    builder.add({
      from,
      to: { kind: 'unknown', id: `owner of ${argument(target, resource.address)}`, label: hidden },
      relation: 'owned-by',
      certainty: 'inferred',
      proof: [
        {
          claim: `executive resource ${argument(target, resource.address)} has ActiveCount ${resource.activeCount ?? '?'}, and ${owners.length} of its owner entries can be told`,
          address: resource.address,
          length: target.layouts.table.struct('_ERESOURCE')?.size ?? 2 * target.pointerSize,
          command: `!locks ${argument(target, resource.address)}`,
          source: '_ERESOURCE.ActiveCount',
        },
      ],
    });
  const size = target.layouts.table.struct('_OWNER_ENTRY')?.size ?? 2 * target.pointerSize;
  for (const owner of owners) {
    const who = ownerNode(target, owner);
    if (who === null) continue;
    builder.add({
      from,
      to: who.node,
      relation: 'owned-by',
      certainty: who.certainty,
      access: resource.exclusive === true ? 'exclusive' : resource.exclusive === false ? 'shared' : null,
      proof: [
        {
          claim: who.claim,
          address: owner.entry,
          length: size,
          command: `!locks ${argument(target, resource.address)}`,
          source: '_OWNER_ENTRY.OwnerThread',
        },
      ],
    });
  }
}

/** What is said of an owner of whom there is no entry; null where the entries account for all. */
function hiddenOwner(resource: Resource, known: number, complete: boolean): string | null {
  if (!complete) return known === 0 ? 'an owner that could not be read' : 'another owner that could not be read';
  return known === 0 && (resource.activeCount ?? 0) > 0 ? 'an owner of whom there is no entry' : null;
}

function ownerNode(
  target: Target,
  { pointer, count }: ResourceOwner,
): { node: GraphNode; certainty: Certainty; claim: string } | null {
  const named = argument(target, pointer);
  if ((pointer & POINTER_BITS) === 0n)
    return {
      node: { kind: 'thread', address: pointer },
      certainty: 'recorded',
      claim: `it is owned by thread ${named}, ${count === 1 ? 'once' : `${count} times`}`,
    };
  // 1 stands there between a release and the moment when the next owner runs (XP to 7).
  if (pointer < 0x10000n) return null;
  const address = pointer & ~POINTER_BITS;
  const text = `its owner is the owner pointer ${named}`;
  const type = new Structure(target, '_DISPATCHER_HEADER', address).number('Type');
  if (type !== undefined && (type & 0x7f) === OBJECT_TYPE.thread && target.thread(address)?.stackBase != null)
    return {
      node: { kind: 'thread', address },
      certainty: 'inferred',
      claim: `${text}, which is the address of a thread: that thread need not be the one to release it`,
    };
  const stack = target.stackAt(address);
  if (stack?.thread != null)
    return {
      node: { kind: 'thread', address: stack.thread },
      certainty: 'inferred',
      claim: `${text}, an address on the stack of thread ${argument(target, stack.thread)}`,
    };
  return {
    node: { kind: 'unknown', id: `owner ${named}`, label: `owner pointer ${named}, no thread` },
    certainty: 'recorded',
    claim: `${text} (ExSetResourceOwnerPointer): no thread is recorded`,
  };
}
