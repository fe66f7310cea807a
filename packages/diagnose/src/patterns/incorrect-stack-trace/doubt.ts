/** From which frame on a walked stack cannot be believed, and what the stack itself would say there. */
import type { Frame, Target } from '@dumpscope/debugger';
import { callEndingAt } from '../../bugchecks/caller.ts';
import type { FindingStack } from '../../facts/finding-stacks.ts';

export interface Doubt {
  /**
   * `not-a-return`: no call ends where the frame is said to return to. `ended-early`: the walk broke off away from the end
   * of the stack. `scanned`: found by scanning, and the code that would tell a return address from a leftover is missing.
   */
  readonly kind: 'not-a-return' | 'ended-early' | 'scanned';
  /** First frame that cannot be believed; the number of frames where the walk ended too early. */
  readonly from: number;
  readonly slot: bigint | null;
  readonly value: bigint | null;
  readonly why: string;
  /** The rest of the stack read word by word: return addresses behind calls, nearest first. */
  readonly scan: readonly bigint[];
}

/** Bytes that show the longest near call. */
const CALL = 8;
const MAX_SCAN_BYTES = 0x8000;
const MAX_SCANNED = 6;
/** Above the first frame of a kernel stack lie the trap frame or the start context, FPU state and cookies. */
const TOP = { 4: 0x300n, 8: 0x400n } as const;

/** Ends of a walk that say themselves that something was missing or wrong. */
const BROKEN: ReadonlySet<string> = new Set(['unreadable', 'did-not-advance', 'bad-unwind-data']);

export function doubtOf(target: Target, stack: FindingStack): Doubt | null {
  const { frames, endReason, endText } = stack.trace;
  for (const [i, frame] of frames.entries()) {
    const next = frames[i + 1];
    if (next === undefined || !isReturn(target, frame, next)) continue;
    const value = next.pc;
    const readable = target.memory.gap(value - BigInt(CALL), CALL) === null;
    const place = { from: i + 1, slot: frame.returnSlot, value };
    if (readable && target.arch !== 'arm64' && callEndingAt(target, value) === null)
      return {
        ...place,
        kind: 'not-a-return',
        why: `no call ends before ${target.nameOf(value).text}`,
        scan: scan(target, stack, frame.sp),
      };
    if (!readable && next.trust === 'scan')
      return {
        ...place,
        kind: 'scanned',
        why: `it was found by scanning, and the code before ${target.nameOf(value).text} is not in the dump`,
        scan: [],
      };
  }
  const last = frames.at(-1);
  if (last === undefined || target.arch === 'arm64') return null;
  const end: Pick<Doubt, 'kind' | 'from' | 'slot' | 'value'> = {
    kind: 'ended-early',
    from: frames.length,
    slot: null,
    value: null,
  };
  if (BROKEN.has(endReason)) return { ...end, why: endText, scan: scan(target, stack, last.sp) };
  if (endReason !== 'no-return-address' || stack.range === null) return null;
  // Over the first frame of a thread nothing returns; a return address of 0 elsewhere is no such end.
  const left = stack.range.base - last.sp;
  if (last.sp < stack.range.limit || left <= TOP[target.pointerSize]) return null;
  const found = scan(target, stack, last.sp);
  if (found.length === 0) return null;
  return {
    ...end,
    why: `${endText}, 0x${left.toString(16)} bytes below the end of the stack, and return addresses lie between`,
    scan: found,
  };
}

/** A frame that is said to be entered by a call from the next one, both in the kernel. */
function isReturn(target: Target, frame: Frame, next: Frame): boolean {
  if (frame.trapFrame !== null || frame.returnSlot === null) return false;
  if (next.trust === 'context' || next.trust === 'trap-frame') return false;
  return target.pointerSize === 8 ? next.pc >= 0xffff000000000000n : next.pc >= 0x80000000n;
}

/** Words of the stack from `from` on that a call precedes. */
function scan(target: Target, stack: FindingStack, from: bigint): bigint[] {
  const width = target.pointerSize;
  const base = stack.range === null || from >= stack.range.base ? from + BigInt(MAX_SCAN_BYTES) : stack.range.base;
  const size = Number(base - from > BigInt(MAX_SCAN_BYTES) ? BigInt(MAX_SCAN_BYTES) : base - from) & ~(width - 1);
  const bytes = target.memory.prefix(from & ~BigInt(width - 1), size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: bigint[] = [];
  for (let i = 0; i + width <= bytes.length && out.length < MAX_SCANNED; i += width) {
    // Kernel addresses only: everything else is skipped without a bigint.
    const top = view.getUint32(i + width - 4, true);
    if (width === 8 ? top < 0xffff8000 : top < 0x80000000) continue;
    const value = width === 8 ? view.getBigUint64(i, true) : BigInt(top);
    if (target.moduleAt(value) !== undefined && callEndingAt(target, value) !== null) out.push(value);
  }
  return out;
}
