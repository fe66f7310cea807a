/** What drawings of a finding need beyond its words. Additive to the report: null where a rule fills none in. */

export interface LoopLine {
  readonly address: string;
  /** Hex bytes as they lie in memory. */
  readonly bytes: string;
  /** WinDbg's text: `test dword ptr [eax+4],1`. */
  readonly text: string;
  readonly isPc: boolean;
  readonly isExit: boolean;
  /** Where a direct jump goes. */
  readonly target: string | null;
  /** Captured values in place: `[eax+4] = [a07be204] holds 831dabf5, bit 0 set`. */
  readonly note: string | null;
}

export interface StackPicture {
  /** thread, dpc, isr, idle, nmi, … */
  readonly kind: string;
  readonly limit: string;
  readonly base: string;
  /** Lowest live byte: what lies below belongs to calls that have returned. */
  readonly sp: string | null;
  /** `thread 830c07c0, running on processor 0`. */
  readonly owner: string;
}

export interface QueueEntryPicture {
  readonly address: string;
  readonly next: string | null;
  readonly lockField: string | null;
  /** waiter: the entry that the finding's processor spins on. waiting: another that waits before or behind it. */
  readonly role: 'holder' | 'predecessor' | 'waiting' | 'waiter';
  readonly foundBy: readonly string[];
  /** Index into `stacks`; null on no known stack. */
  readonly stack: number | null;
  /** `LockQueue[4] of processor 1`. */
  readonly slot: string | null;
}

export interface StackMark {
  /** Index into `stacks`. */
  readonly stack: number;
  readonly address: string;
  readonly role: 'waits' | 'holds' | 'trap-frame';
  readonly label: string;
}

/** A lock, its queue where it has one, and the stacks on which waiter and holder are. */
export interface QueuePicture {
  readonly lock: string;
  readonly word: string | null;
  /** Holder first; empty for a lock that keeps no queue. */
  readonly entries: readonly QueueEntryPicture[];
  readonly stacks: readonly StackPicture[];
  readonly marks: readonly StackMark[];
}

export interface WaitNode {
  /** processor, thread, lock, memory, unknown, … */
  readonly kind: string;
  /** Unique with `kind`: a number or an address. */
  readonly id: string;
  readonly label: string;
  /** Second line: the thread on a processor, the address of a lock. */
  readonly detail: string | null;
}

/** `from` cannot go on before `to` does something. */
export interface WaitEdge {
  readonly from: WaitNode;
  readonly to: WaitNode;
  readonly label: string;
}

/** Where a watchdog's samples interrupted a processor. */
export interface ProfilePicture {
  readonly samples: number;
  readonly places: readonly { readonly address: string; readonly symbol: string; readonly times: number }[];
}

export interface FindingPicture {
  /** In address order; a cut-out around the PC where `loopLength` is greater. */
  readonly loop: readonly LoopLine[];
  /** Instructions of the whole loop; null where only a part of it is in the dump. */
  readonly loopLength: number | null;
  readonly queue: QueuePicture | null;
  readonly waits: readonly WaitEdge[];
  readonly profile: ProfilePicture | null;
}
