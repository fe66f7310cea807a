/** Where a bad pointer may have come from: its value, one flipped bit, the list that was walked. Hints, never proofs. */
import type { Target } from '@dumpscope/debugger';
import type { Evidence } from '../engine/evidence.ts';
import { address } from '../engine/words.ts';
import { kernelStart, NULL_PAGE_END, oddValue } from './address-view.ts';
import { type FlipCandidate, flipCandidates, type KnownValue } from './bit-flips.ts';
import { instructionText } from './fault-text.ts';
import type { FaultView } from './fault-view.ts';
import { type ListWalk, listWalk } from './list-walk.ts';
import type { OperandPart } from './operand.ts';

export interface PointerStory {
  /** Register that should have held a pointer; null where the operand has none. */
  readonly pointer: OperandPart | null;
  /** Sentences for the summary. */
  readonly text: readonly string[];
  /** The pointer is null or another good value but for one bit. */
  readonly flip: FlipCandidate | null;
  readonly walk: ListWalk | null;
}

const none: PointerStory = { pointer: null, text: [], flip: null, walk: null };

/** The register that should hold the pointer: the larger of base and index by its scale; base where they say nothing. */
function pointerPart(view: FaultView): OperandPart | null {
  const parts = view.access?.parts.filter((part) => part.value !== null) ?? [];
  const [base, index] = parts;
  if (base === undefined || index === undefined) return base ?? null;
  if (index.scale > 1) return base;
  return (index.value ?? 0n) > (base.value ?? 0n) ? index : base;
}

/** Other pointers of the same context: what the bad one may have been. */
function knownValues(target: Target, view: FaultView, except: string): KnownValue[] {
  const registers = view.fault.registers;
  if (registers === null) return [];
  const out: KnownValue[] = [];
  for (const [name, value] of registers.values)
    if (
      name !== except &&
      value >= kernelStart(target) &&
      /^(r[a-z0-9]+|e[a-z]{2}|x\d+)$/.test(name) &&
      !/^[re](ip|sp)$/.test(name)
    )
      out.push({ value, what: `the value of ${name}` });
  return out;
}

/** Other registers with the same value: it was handed around, so it came from further back. */
function copiesOf(view: FaultView, except: string, value: bigint): string[] {
  return [...(view.fault.registers?.values ?? [])]
    .filter(([name, other]) => name !== except && other === value && /^(r[a-z0-9]+|e[a-z]{2}|x\d+)$/.test(name))
    .map(([name]) => name);
}

export function pointerStory(target: Target, view: FaultView, evidence: Evidence): PointerStory {
  // A page that is merely not resident is no fault of the pointer.
  if (view.access === null || view.execute || view.verdict === 'pageable') return none;
  const pointer = pointerPart(view);
  if (pointer === null || pointer.value === null) return none;
  const { value, register } = pointer;
  const text: string[] = [];
  const digits = value.toString(16);
  if (value === 0n) text.push(`${register} is null.`);
  const odd = value === 0n ? null : oddValue(target, value);
  if (odd !== null) {
    text.push(`${register} holds ${odd}.`);
    evidence.fact(`${register} holds ${odd}`, 'true', 'r', view.fault.registersFrom);
  }
  const walk = view.fault.instruction === null ? null : listWalk(target, view.fault.instruction, register);
  let flip: FlipCandidate | null = null;
  const bad = view.subject?.kind !== 'kernel' || view.subject.presence === 'not-present';
  if (value !== 0n && odd === null && bad) {
    const candidates = flipCandidates(target, value, knownValues(target, view, register));
    const [best] = candidates;
    const weak = best?.kind === 'canonical' && candidates.length > 1;
    if (best !== undefined && !weak) {
      flip = best;
      const claim = `${register} is ${address(target, value)}: ${best.text}`;
      evidence.fact(claim, 'true', 'r', view.fault.registersFrom);
      text.push(
        best.kind === 'null'
          ? `${register} is not 0 but ${digits}, a single bit: ${best.text}${walk?.endsAtNull === true ? '' : '; or a flag or size where a pointer should be'}.`
          : `${register} is one bit away from a good value: ${best.text}.`,
      );
    }
  }
  if (walk !== null) {
    evidence.memory(
      `the code behind the fault reloads ${register} through itself (${instructionText(target, walk.load)}) and goes back: it walks a list`,
      'true',
      view.fault.instruction?.address ?? 0n,
      Number(walk.branch.address - (view.fault.instruction?.address ?? 0n)) + walk.branch.length,
      `u ${walk.branch.address.toString(16)} l1`,
    );
    const end = walk.endsAtNull ? ', where null ends the list' : '';
    text.push(
      `The code walks a list: unless it was the first node, ${digits} was read as the link at +0x${walk.offset.toString(16)} of the node before${end}; that node is in no register any more.`,
    );
  }
  const copies = value === 0n ? [] : copiesOf(view, register, value);
  if (copies.length > 0) text.push(`${copies.join(', ')} hold${copies.length === 1 ? 's' : ''} the same value.`);
  if (value !== 0n && value < NULL_PAGE_END && flip === null)
    text.push(`${register} is ${digits}: a small number or an offset from null where a pointer should be.`);
  return { pointer, text, flip, walk };
}
