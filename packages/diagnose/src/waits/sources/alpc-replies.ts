/**
 * Threads that wait for the reply to an ALPC message. A message that a server thread received names that thread; one that
 * lies in a port's queue waits for any thread of the server, which may all be busy with messages of the same port.
 */
import {
  type AlpcMessage,
  type AlpcPort,
  alpcQueue,
  alpcReplyWait,
  readAlpcMessage,
  readAlpcPort,
  Structure,
  type ThreadWait,
  WAIT_REASON,
  type WaitBlock,
} from '@dumpscope/debugger';
import { argument, plural } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type NewEdge, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { EdgeProof } from '../wait-edge.ts';

const MAX_QUEUE = 0x4000;

export const alpcReplies: EdgeSource = defineEdgeSource({
  id: 'alpc-reply',
  run(builder: WaitGraphBuilder): void {
    const ports = new Set<bigint>();
    for (const wait of builder.waits) {
      const [block] = wait.blocks;
      if (block === undefined || wait.reason !== WAIT_REASON.lpcReply || builder.claimed(block)) continue;
      const reply = alpcReplyWait(wait.thread);
      if (reply === null || reply.semaphore !== block.object) continue;
      const message = readAlpcMessage(builder.diagnosis.target, reply.message);
      if (message === null) claimUnread(builder, wait, block, reply.message);
      // The message and the thread must name each other.
      else if (message.waitingThread === wait.thread.address) {
        claim(builder, wait, block, message);
        addAnswer(builder, message, ports);
      }
    }
  },
});

const node = (address: bigint): GraphNode => ({ kind: 'object', object: 'ALPC message', address });

function claim(builder: WaitGraphBuilder, wait: ThreadWait, block: WaitBlock, message: AlpcMessage): void {
  const { target } = builder.diagnosis;
  builder.claim(wait, block, {
    to: node(message.address),
    certainty: 'recorded',
    proof: [
      messageProof(builder, wait, message.address),
      {
        claim: `ALPC message ${argument(target, message.address)} has thread ${argument(target, wait.thread.address)} as WaitingThread`,
        address: new Structure(target, '_KALPC_MESSAGE', message.address).addressOf('WaitingThread') ?? null,
        length: target.pointerSize,
        command: `dt nt!_KALPC_MESSAGE ${argument(target, message.address)}`,
        source: '_KALPC_MESSAGE.WaitingThread',
      },
    ],
  });
}

function claimUnread(builder: WaitGraphBuilder, wait: ThreadWait, block: WaitBlock, message: bigint): void {
  const { target } = builder.diagnosis;
  builder.claim(wait, block, {
    to: node(message),
    certainty: 'recorded',
    proof: [messageProof(builder, wait, message)],
  });
  builder.limit(`who is to answer ALPC message ${argument(target, message)}`, 'the message is not in the dump');
}

function messageProof(builder: WaitGraphBuilder, wait: ThreadWait, message: bigint): EdgeProof {
  const { target } = builder.diagnosis;
  const thread = argument(target, wait.thread.address);
  return {
    claim: `thread ${thread} waits on its own AlpcWaitSemaphore for the reply to ALPC message ${argument(target, message)}`,
    address: wait.thread.fieldAddress('AlpcMessage'),
    length: target.pointerSize,
    command: `!thread ${thread}`,
    source: '_ETHREAD.AlpcMessage',
  };
}

type Answer = Omit<NewEdge, 'relation'>;

function answer(builder: WaitGraphBuilder, edge: Answer): void {
  builder.add({ ...edge, relation: 'answered-by' });
}

function addAnswer(builder: WaitGraphBuilder, message: AlpcMessage, ports: Set<bigint>): void {
  const { target } = builder.diagnosis;
  const text = argument(target, message.address);
  const show = `dt nt!_KALPC_MESSAGE ${text}`;
  const place = new Structure(target, '_KALPC_MESSAGE', message.address);
  if (message.serverThread !== 0n) {
    answer(builder, {
      from: node(message.address),
      to: { kind: 'thread', address: message.serverThread },
      certainty: 'recorded',
      proof: [
        {
          claim: `thread ${argument(target, message.serverThread)} received ALPC message ${text} and has not answered it`,
          address: place.addressOf('ServerThread') ?? null,
          length: target.pointerSize,
          command: show,
          source: '_KALPC_MESSAGE.ServerThread',
        },
      ],
    });
    return;
  }
  if (message.portQueue === 0n) {
    builder.limit(`who is to answer ALPC message ${text}`, 'it lies in no queue and names no server thread');
    return;
  }
  const port: GraphNode = { kind: 'object', object: 'ALPC port', address: message.portQueue };
  answer(builder, {
    from: node(message.address),
    to: port,
    certainty: 'recorded',
    proof: [
      {
        claim: `ALPC message ${text} lies in a queue of port ${argument(target, message.portQueue)}: nobody has received it`,
        address: place.addressOf('PortQueue') ?? null,
        length: target.pointerSize,
        command: show,
        source: '_KALPC_MESSAGE.PortQueue',
      },
    ],
  });
  if (ports.has(message.portQueue)) return;
  ports.add(message.portQueue);
  addServers(builder, port, message.portQueue);
}

/** A port's messages wait for the threads that are busy with its others; where none is known, for the owner process. */
function addServers(builder: WaitGraphBuilder, from: GraphNode, address: bigint): void {
  const { target } = builder.diagnosis;
  const port = readAlpcPort(target, address);
  const text = argument(target, address);
  if (port === null || port.ownerProcess === 0n) {
    builder.limit(`who serves ALPC port ${text}`, 'its owner process could not be read');
    return;
  }
  if ((port.waitQueueLength ?? 0) > 0) {
    builder.limit(
      `who serves ALPC port ${text}`,
      `${plural(port.waitQueueLength ?? 0, 'thread waits', 'threads wait')} there for messages: one of them is about to take it`,
    );
    return;
  }
  const busy = busyServers(builder, port);
  if (busy === null) {
    builder.limit(`who serves ALPC port ${text}`, 'its queue of received messages could not be read whole');
    return;
  }
  for (const { thread, message } of busy)
    answer(builder, {
      from,
      to: { kind: 'thread', address: thread },
      certainty: 'recorded',
      combination: busy.length > 1 ? 'any' : 'all',
      proof: [
        queueProof(builder, port, busy.length),
        {
          claim: `thread ${argument(target, thread)} is busy with message ${argument(target, message)} of the same port`,
          address: new Structure(target, '_KALPC_MESSAGE', message).addressOf('ServerThread') ?? null,
          length: target.pointerSize,
          command: `dt nt!_KALPC_MESSAGE ${argument(target, message)}`,
          source: '_KALPC_MESSAGE.ServerThread',
        },
      ],
    });
  if (busy.length > 0) return;
  answer(builder, {
    from,
    to: { kind: 'process', address: port.ownerProcess },
    certainty: 'recorded',
    proof: [
      {
        claim: `port ${text} is owned by process ${argument(target, port.ownerProcess)}; no thread of it waits there for messages`,
        address: new Structure(target, '_ALPC_PORT', address).addressOf('OwnerProcess') ?? null,
        length: target.pointerSize,
        command: `dt nt!_ALPC_PORT ${text}`,
        source: '_ALPC_PORT.OwnerProcess',
      },
    ],
  });
}

function queueProof(builder: WaitGraphBuilder, port: AlpcPort, busy: number): EdgeProof {
  const { target } = builder.diagnosis;
  const text = argument(target, port.address);
  return {
    claim: `${plural(port.mainQueueLength ?? 0, 'message')} in the main queue of port ${text}, no thread waits there, ${plural(busy, 'server thread')} busy with received messages: the queue is blocked`,
    address: new Structure(target, '_ALPC_PORT', port.address).addressOf('MainQueueLength') ?? null,
    length: 4,
    command: `dt nt!_ALPC_PORT ${text}`,
    source: '_ALPC_PORT.MainQueueLength',
  };
}

/** Threads that received a message of the port and have not answered it; null where not all of its messages could be read. */
function busyServers(builder: WaitGraphBuilder, port: AlpcPort): { thread: bigint; message: bigint }[] | null {
  const { target } = builder.diagnosis;
  const queue = alpcQueue(target, port.address, 'PendingQueue', MAX_QUEUE);
  if (queue === null || port.pendingQueueLength !== queue.length) return null;
  const found = new Map<bigint, bigint>();
  for (const address of queue) {
    const message = readAlpcMessage(target, address);
    if (message === null) return null;
    const server = message.serverThread;
    if (server !== 0n && !found.has(server)) found.set(server, address);
  }
  return [...found].map(([thread, message]) => ({ thread, message }));
}
