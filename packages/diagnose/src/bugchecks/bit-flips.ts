/** Values one bit away from a bad pointer: what a flipped bit in memory or on a bus would have made of a good one. */
import type { Target } from '@dumpscope/debugger';
import { isCanonical, kernelStart, placeOf, translate } from './address-view.ts';

export interface KnownValue {
  readonly value: bigint;
  readonly what: string;
}

export interface FlipCandidate {
  readonly bit: number;
  readonly value: bigint;
  /** Best first: `null`, `equals` another captured value, `mapped`, `canonical`. */
  readonly kind: 'null' | 'equals' | 'mapped' | 'canonical';
  readonly text: string;
}

/** More candidates than this say nothing: most bits lead somewhere. */
const MAX_MAPPED = 3;

/** The one bit in which two values differ; null where they are equal or differ in more. */
export function differingBit(a: bigint, b: bigint): number | null {
  const difference = a ^ b;
  return difference !== 0n && (difference & (difference - 1n)) === 0n ? difference.toString(2).length - 1 : null;
}

/**
 * Candidates for `value`: null, other captured values, kernel addresses that the dump maps, and, for a value that is not
 * canonical, the kernel addresses that one bit makes of it. Empty where nothing stands out.
 */
export function flipCandidates(target: Target, value: bigint, known: readonly KnownValue[]): readonly FlipCandidate[] {
  const bits = target.pointerSize * 8;
  const out: FlipCandidate[] = [];
  const mapped: FlipCandidate[] = [];
  const canonical = isCanonical(target, value);
  const digits = (x: bigint): string => x.toString(16).padStart(target.pointerSize * 2, '0');
  for (let bit = 0; bit < bits; bit++) {
    const candidate = value ^ (1n << BigInt(bit));
    if (candidate === 0n) {
      out.push({ bit, value: candidate, kind: 'null', text: `without bit ${bit} it is null` });
      continue;
    }
    const same = known.find((item) => item.value === candidate && item.value !== value);
    if (same !== undefined) {
      out.push({
        bit,
        value: candidate,
        kind: 'equals',
        text: `with bit ${bit} flipped it is ${digits(candidate)}, ${same.what}`,
      });
      continue;
    }
    if (candidate < kernelStart(target) || !isCanonical(target, candidate)) continue;
    const place = placeOf(target, candidate);
    const walk = translate(target, candidate, null);
    const present = walk === null ? target.memory.gap(candidate, 1) === null : walk.physical !== null;
    if (present && (!canonical || value < kernelStart(target) || (bit >= 12 && !isPresent(target, value))))
      mapped.push({
        bit,
        value: candidate,
        kind: 'mapped',
        text: `with bit ${bit} flipped it is ${digits(candidate)}, which is mapped${place === null ? '' : `: ${place.text}`}`,
      });
    else if (!canonical)
      out.push({
        bit,
        value: candidate,
        kind: 'canonical',
        text: `with bit ${bit} flipped it is ${digits(candidate)}, a canonical kernel address${place === null ? '' : `: ${place.text}`}`,
      });
  }
  if (mapped.length <= MAX_MAPPED) out.push(...mapped);
  const order = { null: 0, equals: 1, mapped: 2, canonical: 3 };
  return out.sort((a, b) => order[a.kind] - order[b.kind]);
}

function isPresent(target: Target, value: bigint): boolean {
  const walk = translate(target, value, null);
  return walk === null ? target.memory.gap(value, 1) === null : walk.physical !== null;
}
