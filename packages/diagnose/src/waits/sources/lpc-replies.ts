/**
 * Threads that wait for the reply to an LPC message (XP, 2003). The server thread that received it keeps its number, which
 * no other message has; while it lies in the port's queue, any thread of the server process may take it.
 */
import {
  type LpcReplyWait,
  lpcQueue,
  lpcReceivedMessage,
  lpcReplyWait,
  readLpcPort,
  Structure,
  type ThreadWait,
  WAIT_REASON,
} from '@dumpscope/debugger';
import { argument } from '../../engine/words.ts';
import { defineEdgeSource, type EdgeSource, type WaitGraphBuilder } from '../edge-source.ts';
import type { GraphNode } from '../node.ts';
import type { EdgeProof } from '../wait-edge.ts';

const MAX_QUEUE = 0x4000;

export const lpcReplies: EdgeSource = defineEdgeSource({
  id: 'lpc-reply',
  run(builder: WaitGraphBuilder): void {
    let receivers: ReadonlyMap<number, bigint> | null = null;
    for (const wait of builder.waits) {
      const [block] = wait.blocks;
      if (block === undefined || wait.reason !== WAIT_REASON.lpcReply || builder.claimed(block)) continue;
      const reply = lpcReplyWait(builder.diagnosis.target, wait.thread);
      if (reply === null || reply.semaphore !== block.object) continue;
      const from: GraphNode = { kind: 'object', object: 'LPC reply', address: reply.semaphore };
      builder.claim(wait, block, { to: from, certainty: 'recorded', proof: [waitProof(builder, wait, reply)] });
      receivers ??= receiversByMessage(builder);
      const server = receivers.get(reply.messageId);
      if (server === undefined) addProcess(builder, from, reply);
      else addServer(builder, from, reply, server);
    }
  },
});

function receiversByMessage(builder: WaitGraphBuilder): ReadonlyMap<number, bigint> {
  const found = new Map<number, bigint>();
  for (const thread of builder.diagnosis.target.threads()) {
    const id = lpcReceivedMessage(thread);
    if (id !== null && !found.has(id)) found.set(id, thread.address);
  }
  return found;
}

function waitProof(builder: WaitGraphBuilder, wait: ThreadWait, reply: LpcReplyWait): EdgeProof {
  const { target } = builder.diagnosis;
  const thread = argument(target, wait.thread.address);
  return {
    claim: `thread ${thread} waits on its own LpcReplySemaphore for the reply to LPC message ${reply.messageId.toString(16)}`,
    address: wait.thread.fieldAddress('LpcReplyMessageId'),
    length: 4,
    command: `!thread ${thread}`,
    source: '_ETHREAD.LpcReplyMessageId',
  };
}

function answer(builder: WaitGraphBuilder, from: GraphNode, to: GraphNode, proof: EdgeProof[]): void {
  builder.add({ from, to, relation: 'answered-by', certainty: 'recorded', proof });
}

function addServer(builder: WaitGraphBuilder, from: GraphNode, reply: LpcReplyWait, server: bigint): void {
  const { target } = builder.diagnosis;
  const id = reply.messageId.toString(16);
  answer(builder, from, { kind: 'thread', address: server }, [
    {
      claim: `thread ${argument(target, server)} received LPC message ${id} and has not answered it`,
      address: target.thread(server)?.fieldAddress('LpcReceivedMessageId') ?? null,
      length: 4,
      command: `!thread ${argument(target, server)}`,
      source: '_ETHREAD.LpcReceivedMessageId',
    },
  ]);
}

/** Nobody keeps the number: it counts as unread only where it is seen in the queue of the connection port. */
function addProcess(builder: WaitGraphBuilder, from: GraphNode, reply: LpcReplyWait): void {
  const { target } = builder.diagnosis;
  const id = reply.messageId.toString(16);
  const client = reply.port === null ? null : readLpcPort(target, reply.port);
  const connection = client === null ? null : readLpcPort(target, client.connectionPort);
  const queued = connection === null ? null : lpcQueue(target, connection.address, MAX_QUEUE);
  if (connection === null || connection.serverProcess === 0n || queued?.includes(reply.messageId) !== true) {
    builder.limit(
      `who is to answer LPC message ${id}`,
      `no thread that could be read has received it, and ${queued === null || queued === undefined ? "its port's queue could not be read" : "it is not in its port's queue"}`,
    );
    return;
  }
  const port = argument(target, connection.address);
  answer(builder, from, { kind: 'process', address: connection.serverProcess }, [
    {
      claim: `LPC message ${id} lies unread in the queue of connection port ${port}; its server is process ${argument(target, connection.serverProcess)}`,
      address: new Structure(target, '_LPCP_PORT_OBJECT', connection.address).addressOf('ServerProcess') ?? null,
      length: target.pointerSize,
      command: `dt nt!_LPCP_PORT_OBJECT ${port}`,
      source: '_LPCP_PORT_OBJECT.ServerProcess',
    },
  ]);
}
