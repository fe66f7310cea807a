import { alpcReplyWait, readAlpcMessage, readAlpcPort } from '../../nt/alpc.ts';
import { lpcReplyWait } from '../../nt/lpc.ts';
import { WAIT_REASON } from '../../nt/wait-names.ts';
import type { Thread } from '../../target/model.ts';
import type { Session } from '../command.ts';
import { plainAddress } from '../format/address.ts';

/** Lines of `!thread` behind the wait objects: which LPC or ALPC message a client waits to have answered. */
export function replyLines({ target }: Session, thread: Thread): string[] {
  if (thread.waitReason !== WAIT_REASON.lpcReply) return [];
  const a = (value: bigint): string => plainAddress(value, target);
  const old = lpcReplyWait(target, thread);
  if (old !== null) {
    const lines = [`Waiting for reply to LPC MessageId ${old.messageId.toString(16).padStart(8, '0')}:`];
    return old.port === null ? lines : [...lines, `Current LPC port ${a(old.port)}`];
  }
  const wait = alpcReplyWait(thread);
  if (wait === null) return [];
  const message = readAlpcMessage(target, wait.message);
  const port = message === null || message.portQueue === 0n ? null : readAlpcPort(target, message.portQueue);
  const queued = port === null ? '' : ` : queued at port ${a(port.address)} : owned by process ${a(port.ownerProcess)}`;
  return [`Waiting for reply to ALPC Message ${a(wait.message)}${queued}`];
}
