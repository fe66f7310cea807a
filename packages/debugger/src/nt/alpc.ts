/** ALPC (Vista and later): the message that a client waits to have answered, the port where it lies, who received it. */
import type { Va } from '@dumpscope/core';
import type { Target, Thread } from '../target/model.ts';
import { Structure, walkList } from './structure.ts';

export interface AlpcMessage {
  readonly address: Va;
  /** Port in one of whose queues it lies; 0 where in none. */
  readonly portQueue: bigint;
  /** The sender's port. */
  readonly ownerPort: bigint;
  readonly connectionPort: bigint;
  readonly waitingThread: bigint;
  /** The thread that received it and has not answered; 0 where nobody did. */
  readonly serverThread: bigint;
  readonly messageId: number | null;
  readonly canceled: boolean | null;
}

export interface AlpcPort {
  readonly address: Va;
  readonly ownerProcess: bigint;
  /** Messages that nobody received. */
  readonly mainQueueLength: number | null;
  /** Messages that were received and not answered. */
  readonly pendingQueueLength: number | null;
  /** Threads that wait on the port for a message. */
  readonly waitQueueLength: number | null;
  /** The KQUEUE by which the port's server gets its messages; 0 where it asks the port itself. */
  readonly completionPort: bigint;
}

export function readAlpcMessage(target: Target, address: bigint): AlpcMessage | null {
  const message = new Structure(target, '_KALPC_MESSAGE', address);
  const portQueue = message.value('PortQueue');
  const waitingThread = message.value('WaitingThread');
  const serverThread = message.value('ServerThread');
  if (portQueue === undefined || waitingThread === undefined || serverThread === undefined) return null;
  const canceled = message.number('u1.s1.Canceled');
  return {
    address: message.address,
    portQueue,
    ownerPort: message.value('OwnerPort') ?? 0n,
    connectionPort: message.value('ConnectionPort') ?? 0n,
    waitingThread,
    serverThread,
    messageId: message.number('PortMessage.MessageId') ?? null,
    canceled: canceled === undefined ? null : canceled !== 0,
  };
}

export function readAlpcPort(target: Target, address: bigint): AlpcPort | null {
  const port = new Structure(target, '_ALPC_PORT', address);
  const ownerProcess = port.value('OwnerProcess');
  if (ownerProcess === undefined) return null;
  return {
    address: port.address,
    ownerProcess,
    mainQueueLength: port.number('MainQueueLength') ?? null,
    pendingQueueLength: port.number('PendingQueueLength') ?? null,
    waitQueueLength: port.number('WaitQueueLength') ?? null,
    completionPort: port.value('CompletionPort') ?? 0n,
  };
}

/** Messages of a port's queue, at most `limit`; null where the list cannot be followed to its end. */
export function alpcQueue(
  target: Target,
  port: bigint,
  queue: 'MainQueue' | 'PendingQueue' | 'LargeMessageQueue',
  limit: number,
): readonly Va[] | null {
  const head = new Structure(target, '_ALPC_PORT', port).addressOf(queue);
  const link = new Structure(target, '_KALPC_MESSAGE', 0n).field('Entry');
  if (head === undefined || link === undefined) return null;
  const { entries, end } = walkList(target, target.memory, head, limit);
  return end === 'head' ? entries.map((entry) => (entry - BigInt(link.offset)) as Va) : null;
}

/**
 * What ETHREAD.AlpcMessage means for a client: while the thread waits on its own AlpcWaitSemaphore for a reply, the
 * message that it sent. Keyed events wait on the same semaphore; the wait reason tells them apart.
 */
export function alpcReplyWait(thread: Thread): { readonly semaphore: Va; readonly message: bigint } | null {
  const semaphore = thread.fieldAddress('AlpcWaitSemaphore');
  const message = thread.field('AlpcMessage');
  return semaphore === null || message === null || message === 0n ? null : { semaphore, message };
}
