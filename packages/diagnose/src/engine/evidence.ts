import { describeGap, hex } from '@dumpscope/core';
import type { Target } from '@dumpscope/debugger';
import type { EvidenceItem, Outcome } from '../report/report.ts';
import { argument } from './words.ts';

/**
 * Collects the facts of one finding. Every item that speaks of memory carries the bytes as they lie in the dump, read
 * again here, so that a claim can never show bytes other than those at its address.
 */
export class Evidence {
  readonly items: EvidenceItem[] = [];
  readonly #target: Target;
  readonly #prefix: string;

  constructor(target: Target, prefix: string) {
    this.#target = target;
    this.#prefix = prefix;
  }

  #add(item: Omit<EvidenceItem, 'id'>): EvidenceItem {
    const withId: EvidenceItem = { id: `${this.#prefix}.${this.items.length + 1}`, ...item };
    this.items.push(withId);
    return withId;
  }

  /** A claim about `length` bytes at `address`; `command` defaults to the `d*` command that prints them. */
  memory(claim: string, outcome: Outcome, address: bigint, length: number, command?: string): EvidenceItem {
    const bytes = this.#target.memory.bytes(address, length);
    const gap = bytes === undefined ? this.#target.memory.gap(address, length) : null;
    return this.#add({
      claim: gap === null ? claim : `${claim} (${argument(this.#target, gap.address)}: ${describeGap(gap)})`,
      outcome: bytes === undefined ? 'undetermined' : outcome,
      command: command ?? this.#dump(address, length),
      address: hex(address),
      length,
      bytes: bytes === undefined ? null : hexBytes(bytes),
      source: bytes === undefined ? 'missing' : this.#target.memory.sourceOf(address as never),
    });
  }

  /** A claim that follows from registers, other items or the header; no memory bytes of its own. */
  fact(claim: string, outcome: Outcome, command: string | null, source: string): EvidenceItem {
    return this.#add({ claim, outcome, command, address: null, length: null, bytes: null, source });
  }

  #dump(address: bigint, length: number): string {
    const where = argument(this.#target, address);
    if (length === 1) return `db ${where} l1`;
    if (length === 2) return `dw ${where} l1`;
    if (length === 4) return `dd ${where} l1`;
    if (length === 8 && this.#target.pointerSize === 8) return `dq ${where} l1`;
    return length % 4 === 0 && length <= 64
      ? `dd ${where} l${(length / 4).toString(16)}`
      : `db ${where} l${length.toString(16)}`;
  }
}

export function hexBytes(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += byte.toString(16).padStart(2, '0');
  return out;
}
