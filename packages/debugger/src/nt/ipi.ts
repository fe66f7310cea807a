/**
 * Interprocessor requests as processor blocks record them. Two shapes were seen. XP to 7 on x86: the sender keeps the
 * affinity of targets that have not acknowledged in its own TargetSet, each target a RequestSummary and, in SignalDone,
 * whose request it is. 7 on x64 and 8 on x86 on: the sender keeps a TargetCount, and every target a RequestMailbox[n] by
 * number of sender, in which RequestSummary is the request while it is pending. PacketBarrier holds the sender (and, in
 * a reverse stall, the targets) until the other side is through.
 */
import { type Va, va } from '@dumpscope/core';
import { typeSize } from '@dumpscope/symbols';
import type { Processor, Target } from '../target/model.ts';

/** Fields that the sender of a request waits on in its own block. */
const SENDER = ['TargetSet', 'TargetCount', 'PacketBarrier', 'ReverseStall'] as const;
/** Fields that others wait on in a target's block: the request slot to become free, the freeze to be answered. */
const TARGET = ['RequestSummary', 'SignalDone', 'CurrentPacket', 'IpiFrozen', 'RequestMailbox'] as const;

export interface IpiCell {
  /** Processor in whose block the address lies. */
  readonly owner: Processor;
  readonly field: string;
  readonly role: 'sender' | 'target';
}

interface Place {
  readonly field: string;
  readonly role: IpiCell['role'];
  readonly from: number;
  readonly to: number;
}

const places = new WeakMap<Target, readonly Place[]>();

function placesOf(target: Target): readonly Place[] {
  let known = places.get(target);
  if (known === undefined) {
    const { table } = target.layouts;
    const fields = table.struct('_KPRCB')?.fields;
    const of = (names: readonly string[], role: Place['role']): Place[] =>
      names.flatMap((field) => {
        const found = fields?.get(field);
        const size = found === undefined || found.type.kind === 'function' ? undefined : typeSize(table, found.type);
        if (found === undefined || size === undefined) return [];
        // One mailbox for each processor, declared with one element at the block's end.
        const count = field === 'RequestMailbox' ? target.processors.length : 1;
        return [{ field, role, from: found.offset, to: found.offset + size * count }];
      });
    known = [...of(SENDER, 'sender'), ...of(TARGET, 'target')];
    places.set(target, known);
  }
  return known;
}

/** Which field of whose processor block `address` is, where it has to do with IPIs; null for any other place. */
export function ipiCellAt(target: Target, address: bigint): IpiCell | null {
  for (const owner of target.processors) {
    const offset = address - owner.prcb;
    if (offset < 0n || offset >= 0x20000n) continue;
    const place = placesOf(target).find(({ from, to }) => offset >= BigInt(from) && offset < BigInt(to));
    if (place !== undefined) return { owner, field: place.field, role: place.role };
  }
  return null;
}

export interface PendingTarget {
  readonly processor: Processor;
  /** Where the dump shows it, with the size of what is there. */
  readonly address: Va;
  readonly size: number;
  /** `bit 1 of TargetSet`, `RequestMailbox[0].RequestSummary of processor 2`. */
  readonly how: string;
}

export interface PendingTargets {
  readonly targets: readonly PendingTarget[];
  /** Everything that records targets was read: an empty list means that nobody is left. */
  readonly complete: boolean;
}

/** Processors that have not taken (mailboxes) or not acknowledged (TargetSet) the request of `sender`. */
export function pendingTargets(target: Target, sender: Processor): PendingTargets {
  const { table } = target.layouts;
  const set = table.struct('_KPRCB')?.fields.get('TargetSet');
  if (set !== undefined) {
    const address = va(sender.prcb + BigInt(set.offset));
    const value = target.memory.pointer(address);
    if (value === undefined) return { targets: [], complete: false };
    const targets = target.processors
      .filter(({ number }) => number < target.pointerSize * 8 && (value & (1n << BigInt(number))) !== 0n)
      .map((processor) => ({
        processor,
        address,
        size: target.pointerSize,
        how: `bit ${processor.number} of TargetSet`,
      }));
    if (value !== 0n || table.struct('_REQUEST_MAILBOX') === undefined) return { targets, complete: true };
  }
  return pendingMailboxes(target, sender);
}

/** Longest chain of mailboxes: one for each processor that can be. */
const MAX_CHAIN = 2048;

/**
 * The layout declares one mailbox, and others follow it where there is room: what lies there counts as a request only
 * where it names a routine of a module, or where the target's own list of senders (Mailbox) leads to it.
 */
function isRequest(target: Target, processor: Processor, mailbox: Va): boolean {
  const { table } = target.layouts;
  const fields = table.struct('_REQUEST_MAILBOX')?.fields;
  const packet = fields?.get('RequestPacket');
  const worker = table.struct('_KREQUEST_PACKET')?.fields.get('WorkerRoutine');
  if (packet !== undefined && worker !== undefined) {
    const routine = target.memory.pointer(mailbox + BigInt(packet.offset + worker.offset));
    if (routine !== undefined && target.moduleAt(routine) !== undefined) return true;
  }
  const head = table.struct('_KPRCB')?.fields.get('Mailbox');
  const next = fields?.get('Next');
  if (head === undefined || next === undefined) return false;
  let at = target.memory.pointer(processor.prcb + BigInt(head.offset));
  for (let i = 0; i < MAX_CHAIN && at !== undefined && at !== 0n; i++) {
    if (at === mailbox) return true;
    at = target.memory.pointer(at + BigInt(next.offset));
  }
  return false;
}

function pendingMailboxes(target: Target, sender: Processor): PendingTargets {
  const { table } = target.layouts;
  const mailboxes = table.struct('_KPRCB')?.fields.get('RequestMailbox');
  const summary = table.struct('_REQUEST_MAILBOX')?.fields.get('RequestSummary');
  const size = table.struct('_REQUEST_MAILBOX')?.size;
  if (mailboxes === undefined || summary === undefined || size === undefined) return { targets: [], complete: false };
  const targets: PendingTarget[] = [];
  let complete = true;
  for (const processor of target.processors) {
    if (processor.number === sender.number) continue;
    const address = va(processor.prcb + BigInt(mailboxes.offset + sender.number * size + summary.offset));
    const value = target.memory.u32(address);
    if (value === undefined) complete = false;
    else if (value !== 0 && isRequest(target, processor, va(address - BigInt(summary.offset))))
      targets.push({
        processor,
        address,
        size: 4,
        how: `RequestMailbox[${sender.number}].RequestSummary of processor ${processor.number}`,
      });
  }
  return { targets, complete };
}
