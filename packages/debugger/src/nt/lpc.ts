/**
 * LPC (up to 2003): a client waits on its ETHREAD.LpcReplySemaphore for the reply to message LpcReplyMessageId; the server
 * thread that received the message keeps its number in LpcReceivedMessageId. Numbers are unique in the system.
 */
import type { Va } from '@dumpscope/core';
import type { Target, Thread } from '../target/model.ts';
import { Structure, walkList } from './structure.ts';

export interface LpcReplyWait {
  readonly semaphore: Va;
  readonly messageId: number;
  /** The client's port; null where the field holds a message or cannot be read. */
  readonly port: Va | null;
}

export interface LpcPort {
  readonly address: Va;
  readonly connectionPort: bigint;
  /** Process that created the connection port; of other ports the field is a union with MappingProcess. */
  readonly serverProcess: bigint;
}

/** LpcWaitingOnPort shares its place with LpcReplyMessage: bit 0 says that it is a port. */
const IS_PORT = 1n;

export function lpcReplyWait(target: Target, thread: Thread): LpcReplyWait | null {
  const semaphore = thread.fieldAddress('LpcReplySemaphore');
  const id = thread.field('LpcReplyMessageId');
  if (semaphore === null || id === null || id === 0n) return null;
  const waiting = thread.field('LpcWaitingOnPort');
  const port = waiting !== null && (waiting & IS_PORT) !== 0n ? readLpcPort(target, waiting & ~IS_PORT) : null;
  return { semaphore, messageId: Number(id), port: port?.address ?? null };
}

/** The message that a server thread received and has not answered. */
export function lpcReceivedMessage(thread: Thread): number | null {
  const valid = thread.field('LpcReceivedMsgIdValid');
  const id = thread.field('LpcReceivedMessageId');
  return valid === null || valid === 0n || id === null || id === 0n ? null : Number(id);
}

export function readLpcPort(target: Target, address: bigint): LpcPort | null {
  const port = new Structure(target, '_LPCP_PORT_OBJECT', address);
  const connectionPort = port.value('ConnectionPort');
  const serverProcess = port.value('ServerProcess');
  return connectionPort === undefined || serverProcess === undefined
    ? null
    : { address: port.address, connectionPort, serverProcess };
}

/** Numbers of the messages that lie in a port's queue, received by nobody; null where the list breaks off or a number cannot be read. */
export function lpcQueue(target: Target, port: bigint, limit: number): readonly number[] | null {
  const head = new Structure(target, '_LPCP_PORT_OBJECT', port).addressOf('MsgQueue.ReceiveHead');
  const link = new Structure(target, '_LPCP_MESSAGE', 0n).field('Entry');
  if (head === undefined || link === undefined) return null;
  const { entries, end } = walkList(target, target.memory, head, limit);
  if (end !== 'head') return null;
  const ids: number[] = [];
  for (const entry of entries) {
    const id = new Structure(target, '_LPCP_MESSAGE', entry - BigInt(link.offset)).number('Request.MessageId');
    if (id === undefined) return null;
    ids.push(id);
  }
  return ids;
}
