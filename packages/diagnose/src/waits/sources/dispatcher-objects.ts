/**
 * Bare dispatcher objects: what a wait block points at, by DISPATCHER_HEADER.Type, when no lock claimed it. Events,
 * semaphores, timers, queues and gates record no owner: whoever is to signal them is not in the dump, and the chain ends.
 */
import { OBJECT_TYPE, Structure, type ThreadWait, type WaitBlock } from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode, ObjectKind } from '../node.ts';
import { addMutant } from './mutants.ts';
import { addProcessObject } from './process-objects.ts';
import { addThreadObject } from './thread-objects.ts';

const kinds: Readonly<Record<number, ObjectKind>> = {
  [OBJECT_TYPE.notificationEvent]: 'event',
  [OBJECT_TYPE.synchronizationEvent]: 'event',
  [OBJECT_TYPE.mutant]: 'mutant',
  [OBJECT_TYPE.process]: 'process object',
  [OBJECT_TYPE.queue]: 'queue',
  [OBJECT_TYPE.semaphore]: 'semaphore',
  [OBJECT_TYPE.thread]: 'thread object',
  [OBJECT_TYPE.gate]: 'gate',
  [OBJECT_TYPE.notificationTimer]: 'timer',
  [OBJECT_TYPE.synchronizationTimer]: 'timer',
  [OBJECT_TYPE.priorityQueue]: 'queue',
  [OBJECT_TYPE.notificationTimer2]: 'timer',
  [OBJECT_TYPE.synchronizationTimer2]: 'timer',
};

const owners: Partial<
  Readonly<Record<ObjectKind, (builder: WaitGraphBuilder, node: GraphNode, object: bigint) => void>>
> = {
  mutant: addMutant,
  'thread object': addThreadObject,
  'process object': addProcessObject,
};

export const dispatcherObjects: EdgeSource = defineEdgeSource({
  id: 'dispatcher-object',
  run(builder: WaitGraphBuilder): void {
    const added = new Set<bigint>();
    for (const wait of builder.waits) {
      for (const block of wait.blocks) {
        if (builder.claimed(block) || block.type === null) continue;
        const kind = kinds[block.type];
        if (kind === undefined) continue;
        const node: GraphNode = { kind: 'object', object: kind, address: block.object };
        claim(builder, wait, block, node, kind);
        if (added.has(block.object)) continue;
        added.add(block.object);
        owners[kind]?.(builder, node, block.object);
      }
    }
  },
});

function claim(builder: WaitGraphBuilder, wait: ThreadWait, block: WaitBlock, to: GraphNode, kind: ObjectKind): void {
  const { target } = builder.diagnosis;
  const state = new Structure(target, '_DISPATCHER_HEADER', block.object).signed('SignalState');
  // A mutant is recursive: its owner takes it again without waiting, so in a wait for several objects it is had already.
  const own =
    kind === 'mutant' && new Structure(target, '_KMUTANT', block.object).value('OwnerThread') === wait.thread.address;
  const header = target.layouts.table.struct('_DISPATCHER_HEADER')?.size ?? 8 + 2 * target.pointerSize;
  builder.claim(wait, block, {
    to,
    certainty: 'recorded',
    satisfied: own || (state !== undefined && state > 0),
    proof: [
      {
        claim: `${argument(target, block.object)} is ${article(kind)} ${kind}${state === undefined ? '' : `, SignalState ${state}`}`,
        address: block.object,
        length: header,
        command: `dt nt!_DISPATCHER_HEADER ${argument(target, block.object)}`,
        source: '_DISPATCHER_HEADER.Type, SignalState',
      },
    ],
  });
}

function article(word: string): string {
  return /^[aeiou]/i.test(word) ? 'an' : 'a';
}
