/** What one bug check code's parameters and context say: the part of a finding that differs from code to code. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import type { Confidence, Finding } from '../../report/report.ts';

export interface Reading {
  readonly verdict: string;
  readonly confidence: Confidence;
  readonly title: string;
  readonly summary: readonly string[];
  /** Processor and thread that the finding is about; default those that bugchecked. */
  readonly processor?: number | null;
  readonly thread?: bigint | null;
  readonly blame?: Finding['blame'];
  readonly cleared?: Finding['cleared'];
  readonly assumptions?: readonly string[];
  readonly wouldChange?: readonly string[];
  readonly downstream?: readonly string[];
  readonly since?: Finding['since'];
}

/** Null where another pattern says it already. Evidence gets the parameters first; the reader adds the rest. */
export type Reader = (diagnosis: Diagnosis, evidence: Evidence) => Reading | null;

/** Parameters cut to the width of a pointer: 32-bit dumps may sign-extend them. */
export function parametersOf(diagnosis: Diagnosis): readonly [bigint, bigint, bigint, bigint] {
  const bits = diagnosis.target.pointerSize * 8;
  const [a = 0n, b = 0n, c = 0n, d = 0n] = (diagnosis.target.bugcheck?.parameters ?? []).map((value) =>
    BigInt.asUintN(bits, value),
  );
  return [a, b, c, d];
}

/** A member's claim as evidence, or that the layout does not know it. */
export function memberEvidence(
  evidence: Evidence,
  label: string,
  member: { readonly address: bigint; readonly size: number; readonly value: bigint | null } | null,
  text: (value: bigint) => string,
): bigint | null {
  if (member === null) {
    evidence.fact(`${label}: its place is not in the layouts`, 'undetermined', null, 'layouts');
    return null;
  }
  evidence.memory(
    member.value === null ? label : `${label}: ${text(member.value)}`,
    'true',
    member.address,
    member.size,
  );
  return member.value;
}
