/**
 * Entries of a queued spin lock: KSPIN_LOCK_QUEUE {Next, Lock} with WAIT (bit 0), OWNER (bit 1, set only by the
 * assembly kernels, x86 up to 6.1) and HALTED (bit 2, newest kernels) in the low bits of Lock. The lock word holds the
 * address of the last entry. Facts: reference on queued spin locks, KSPIN_LOCK_QUEUE of every layout table.
 */
import type { Registers, Target } from '@dumpscope/debugger';
import { type ScanCoverage, scanForPair } from '../facts/stack-scan.ts';
import { type KnownStack, stackHolding } from '../facts/stacks.ts';

export const WAIT = 1n;
export const OWNER = 2n;

export interface QueueEntry {
  readonly address: bigint;
  readonly next: bigint | null;
  readonly lockField: bigint | null;
  /** `edx`, `stack scan`, `PRCB 1 LockQueue[4]`. */
  readonly foundBy: readonly string[];
  readonly stack: KnownStack | null;
  /** LockQueue slot that the entry is. */
  readonly slot: { readonly processor: number; readonly index: number } | null;
}

export interface QueuedWait {
  /** The waiter's own entry, and the field that it spins on. */
  readonly own: bigint;
  readonly cell: bigint;
  readonly cellValue: bigint;
  readonly lock: bigint;
  readonly word: bigint | null;
  /** What the lock word is, seen from the waiter's entry. */
  readonly tail: 'own' | 'behind-own' | 'other-entry' | 'zero' | 'not-an-entry' | 'unreadable';
  readonly next: bigint | null;
  /** KLOCK_QUEUE_HANDLE.OldIrql of the own entry, null where unreadable. Meaningless where the entry is a bare PRCB slot. */
  readonly oldIrql: number | null;
  /** Entries that link to `own`, best first; more than one only where the queue is broken. */
  readonly predecessors: readonly QueueEntry[];
  readonly coverage: ScanCoverage;
  /** Entry without WAIT at the head of the chain of predecessors: the holder's. */
  readonly holder: QueueEntry | null;
  /** Entries from the own one back to the holder, holder last. */
  readonly chain: readonly QueueEntry[];
}

const MAX_CHAIN = 256;

/** The lock that a Lock field names: flags take the bits below pointer alignment (x86 two, x64 three). */
export function lockOf(target: Pick<Target, 'pointerSize'>, field: bigint): bigint {
  return field & ~BigInt(target.pointerSize - 1);
}

/**
 * Reads the cell that a loop waits on as the Lock field of the waiter's own queue entry. Null where it cannot be one:
 * the identity needs the lock word or a predecessor to lead back to the entry, not the shape of one number.
 */
export function identifyQueuedWait(
  target: Target,
  stacks: readonly KnownStack[],
  cell: bigint,
  registers: Registers,
): QueuedWait | null {
  const pointer = BigInt(target.pointerSize);
  const { memory } = target;
  const cellValue = memory.pointer(cell);
  if (cellValue === undefined) return null;
  const own = cell - pointer;
  const lock = lockOf(target, cellValue);
  if (lock === 0n || !isKernelAddress(target, lock) || lock === own) return null;
  const next = memory.pointer(own) ?? null;
  const word = memory.pointer(lock) ?? null;
  const tail = classifyTail(target, own, lock, word, next);
  const { entries: predecessors, coverage } = findLinksTo(target, stacks, own, lock, registers);
  const linked = predecessors.some((entry) => entry.lockField !== null && lockOf(target, entry.lockField) === lock);
  if (tail !== 'own' && tail !== 'behind-own' && !linked) return null;
  const chain = chainBack(target, stacks, predecessors, lock, registers);
  const head = chain.at(-1) ?? null;
  const holder =
    head?.lockField != null && (head.lockField & WAIT) === 0n && lockOf(target, head.lockField) === lock ? head : null;
  return {
    own,
    cell,
    cellValue,
    lock,
    word,
    tail,
    next,
    oldIrql: memory.u8(own + 2n * pointer) ?? null,
    predecessors,
    coverage,
    holder,
    chain,
  };
}

/** Kernel half of the address space; with /3GB (x86) user space ends at C0000000, so 80000000 is the safe lower bound. */
export function isKernelAddress(target: Pick<Target, 'pointerSize'>, value: bigint): boolean {
  return target.pointerSize === 4 ? value >= 0x8000_0000n && value <= 0xffff_ffffn : value >= 0xffff_0000_0000_0000n;
}

function classifyTail(
  target: Target,
  own: bigint,
  lock: bigint,
  word: bigint | null,
  next: bigint | null,
): QueuedWait['tail'] {
  if (word === null) return 'unreadable';
  if (word === 0n) return 'zero';
  if (word === own) return 'own';
  const field = target.memory.pointer(word + BigInt(target.pointerSize));
  if (field === undefined || lockOf(target, field) !== lock) return 'not-an-entry';
  // Follow Next from the own entry; the tail must be reached, unless the last swapper has not linked itself yet.
  let at = next;
  for (let i = 0; i < MAX_CHAIN && at !== null && at !== 0n; i++) {
    if (at === word) return 'behind-own';
    at = target.memory.pointer(at) ?? null;
  }
  return 'other-entry';
}

/** Entries whose Next is `own`: named by a register, in a PRCB's LockQueue, or found on a stack. */
function findLinksTo(
  target: Target,
  stacks: readonly KnownStack[],
  own: bigint,
  lock: bigint,
  registers: Registers | null,
): { entries: QueueEntry[]; coverage: ScanCoverage } {
  const pointer = BigInt(target.pointerSize);
  const found = new Map<bigint, string[]>();
  const note = (address: bigint, by: string): void => {
    // The lock word itself holds the address of its last entry: it is no entry.
    if (address === own || address === lock || address % pointer !== 0n) return;
    found.set(address, [...(found.get(address) ?? []), by]);
  };
  if (registers !== null) {
    for (const [name, value] of registers.values) {
      // What a function saved on top of its stack may well be the entry's address; the stack pointer names no entry.
      if (name === 'esp' || name === 'rsp' || name === 'sp') continue;
      if (!isKernelAddress(target, value) || target.memory.pointer(value) !== own) continue;
      note(value, name);
    }
  }
  const scan = scanForPair(target, stacks, own, lock);
  const saved = savedRegisters(target);
  // Neighbouring registers of a trap frame may hold what an entry holds: on x64 the waiter's own RCX and RDX do.
  for (const hit of scan.hits) if (!saved.some(([low, high]) => hit >= low && hit < high)) note(hit, 'stack scan');
  for (const slot of lockQueueSlots(target))
    if (target.memory.pointer(slot.address) === own)
      note(slot.address, `PRCB ${slot.processor} LockQueue[${slot.index}]`);
  const entries = [...found]
    .map(([address, foundBy]) => readEntry(target, stacks, address, foundBy))
    // Whoever waits has not returned: WAIT below a stack's live part is a spilled register or the past.
    .filter((entry) => !(isDead(entry) && waits(entry, lock)));
  // An intact Lock field outranks how the entry was found.
  const intact = (entry: QueueEntry): number =>
    entry.lockField !== null && lockOf(target, entry.lockField) === lock ? 0 : 1;
  // The past keeps entries that linked to this address; a live one outranks it.
  const dead = (entry: QueueEntry): number => (isDead(entry) ? 1 : 0);
  entries.sort(
    (a, b) =>
      intact(a) - intact(b) ||
      dead(a) - dead(b) ||
      b.foundBy.length - a.foundBy.length ||
      (a.address < b.address ? -1 : 1),
  );
  return { entries, coverage: scan.coverage };

  function waits(entry: QueueEntry, of: bigint): boolean {
    return entry.lockField !== null && lockOf(target, entry.lockField) === of && (entry.lockField & WAIT) !== 0n;
  }
}

function isDead(entry: QueueEntry): boolean {
  return entry.stack !== null && entry.stack.liveFrom !== null && entry.address < entry.stack.liveFrom;
}

/** Bytes of KTRAP_FRAME: 8c on x86, 190 on x64 and as much or more on ARM64. */
const TRAP_FRAME = { x86: 0x8cn, x64: 0x190n, arm64: 0x190n } as const;

/** Trap frames through which the processors' interrupted code was found. */
function savedRegisters(target: Target): (readonly [bigint, bigint])[] {
  return target.processors.flatMap(({ interrupted }) =>
    interrupted?.address == null || !interrupted.source.startsWith('trap frame')
      ? []
      : [[interrupted.address, interrupted.address + TRAP_FRAME[interrupted.arch]] as const],
  );
}

function readEntry(
  target: Target,
  stacks: readonly KnownStack[],
  address: bigint,
  foundBy: readonly string[],
): QueueEntry {
  const slot = lockQueueSlots(target).find((s) => s.address === address);
  return {
    address,
    next: target.memory.pointer(address) ?? null,
    lockField: target.memory.pointer(address + BigInt(target.pointerSize)) ?? null,
    foundBy,
    stack: stackHolding(stacks, address) ?? null,
    slot: slot === undefined ? null : { processor: slot.processor, index: slot.index },
  };
}

/** From the own entry's predecessor back while entries wait themselves; stops at the holder, a gap or a repetition. */
function chainBack(
  target: Target,
  stacks: readonly KnownStack[],
  predecessors: readonly QueueEntry[],
  lock: bigint,
  registers: Registers,
): QueueEntry[] {
  const chain: QueueEntry[] = [];
  const seen = new Set<bigint>();
  let at: QueueEntry | undefined = predecessors[0];
  while (at !== undefined && !seen.has(at.address) && chain.length < MAX_CHAIN) {
    seen.add(at.address);
    chain.push(at);
    if (at.lockField === null || lockOf(target, at.lockField) !== lock || (at.lockField & WAIT) === 0n) break;
    at = findLinksTo(target, stacks, at.address, lock, chain.length === 1 ? registers : null).entries[0];
  }
  return chain;
}

/** `entry` and those before it in the queue: the last is one that no other links. */
export function chainBefore(
  target: Target,
  stacks: readonly KnownStack[],
  entry: bigint,
  lock: bigint,
): readonly QueueEntry[] {
  const chain = [readEntry(target, stacks, entry, ['the lock word'])];
  const seen = new Set([entry]);
  while (chain.length < MAX_CHAIN) {
    const before = findLinksTo(target, stacks, chain.at(-1)?.address ?? entry, lock, null).entries.find(
      (candidate) => candidate.lockField !== null && lockOf(target, candidate.lockField) === lock,
    );
    if (before === undefined || seen.has(before.address)) break;
    seen.add(before.address);
    chain.push(before);
  }
  return chain;
}

interface Slot {
  readonly address: bigint;
  readonly processor: number;
  readonly index: number;
}

const slotCache = new WeakMap<Target, readonly Slot[]>();

/** Every LockQueue[n] of every PRCB that the layout knows. */
export function lockQueueSlots(target: Target): readonly Slot[] {
  const cached = slotCache.get(target);
  if (cached !== undefined) return cached;
  const field = target.layouts.table.struct('_KPRCB')?.fields.get('LockQueue');
  const slots: Slot[] = [];
  if (field?.type.kind === 'array') {
    const size = 2 * target.pointerSize;
    for (const processor of target.processors) {
      for (let index = 0; index < Math.min(field.type.count, 64); index++) {
        slots.push({
          address: processor.prcb + BigInt(field.offset + index * size),
          processor: processor.number,
          index,
        });
      }
    }
  }
  slotCache.set(target, slots);
  return slots;
}
