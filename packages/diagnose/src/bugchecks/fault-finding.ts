/** A finding about a fault: what every pattern of them says alike. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Evidence } from '../engine/evidence.ts';
import { address, irqlName, json } from '../engine/words.ts';
import { blankFinding } from '../report/blank.ts';
import type { Confidence, Finding } from '../report/report.ts';
import {
  addressEvidence,
  instructionEvidence,
  levelEvidence,
  parameterEvidence,
  recordEvidence,
  stackEvidence,
} from './fault-evidence.ts';
import { atomicNote, instructionText, kindClause, siteOf, verbOf } from './fault-text.ts';
import type { FaultView } from './fault-view.ts';
import { type Blame, blameFrame, firstOutside, foundBy, isKernelOrHal } from './frames.ts';
import { type PointerStory, pointerStory } from './pointer-story.ts';

export interface FaultParts {
  readonly pattern: string;
  /** The whole title; default `SITE read from ADDRESS, through REGISTER`. */
  readonly title?: string;
  /** Sentences of the pattern's own, after the facts. */
  readonly story?: (evidence: Evidence) => readonly string[];
  readonly confidence?: Confidence;
  /** Called after `story`. Default: the faulting code, or the first frame outside the kernel. */
  readonly blame?: () => readonly Blame[];
  readonly wouldChange?: readonly string[];
  readonly assumptions?: readonly string[];
}

/** Proven where report and captured operand agree, strong where only the report speaks, likely where they differ. */
export function faultConfidence(view: FaultView): Confidence {
  // Nothing reports an address: the operand is all there is.
  if (view.fault.reported === null && !view.execute) return 'likely';
  if (view.agree === true) return 'proven';
  return view.agree === null ? 'strong' : 'likely';
}

export function faultFinding(diagnosis: Diagnosis, view: FaultView, parts: FaultParts): Finding {
  const { target } = diagnosis;
  const { fault } = view;
  const evidence = diagnosis.evidence('fault');
  parameterEvidence(target, evidence);
  recordEvidence(target, fault, evidence);
  instructionEvidence(target, view, evidence);
  addressEvidence(target, view, evidence);
  const pointer = pointerStory(target, view, evidence);
  const own = parts.story?.(evidence) ?? [];
  levelEvidence(target, fault, evidence);
  stackEvidence(target, fault, evidence);
  const image = fault.process === null ? null : (target.process(fault.process)?.image ?? null);
  const summary = [...sentences(diagnosis, view), ...own, ...pointer.text].join(' ');
  return {
    ...blankFinding(
      parts.pattern,
      view.verdict,
      parts.confidence ?? faultConfidence(view),
      parts.title ?? `${siteOf(target, fault)} ${defaultTitle(diagnosis, view, pointer)}`,
      summary,
    ),
    processor: fault.processor?.number ?? null,
    thread: json(fault.thread),
    process: json(fault.process),
    image,
    blame: parts.blame?.() ?? faultBlame(diagnosis, view, pointer),
    cleared: clearedIdle(diagnosis),
    evidence: evidence.items,
    assumptions: [...assumptionsOf(view), ...(parts.assumptions ?? [])],
    wouldChange: [...(parts.wouldChange ?? []), ...changes(diagnosis, view, pointer)],
  };
}

function defaultTitle(diagnosis: Diagnosis, view: FaultView, pointer: PointerStory): string {
  const { target } = diagnosis;
  const at = view.subject === null ? 'an address that is not recorded' : address(target, view.subject.address);
  const by =
    pointer.pointer !== null && pointer.pointer.value !== null && !view.execute
      ? `, through ${pointer.pointer.register}=${pointer.pointer.value.toString(16)}`
      : '';
  const flip = isLikelyFlip(pointer)
    ? `, one bit away from ${pointer.flip?.kind === 'null' ? 'null' : address(target, pointer.flip?.value ?? 0n)}`
    : '';
  if (view.verdict === 'no-page-fault') {
    const trap = view.fault.trap?.handler ?? null;
    return `raised ${trap === null || trap.vector === 0xe ? 'a fault that reports no address' : `vector ${trap.vector.toString(16)} (${trap.name})`} on ${view.access === null ? 'an operand that is not known' : `a ${view.access.kind === 'read' ? 'read of' : 'write to'} ${at}`}`;
  }
  return `${verbOf(view)} ${at}${by}${flip}`;
}

function sentences(diagnosis: Diagnosis, view: FaultView): string[] {
  const { target } = diagnosis;
  const { fault, subject } = view;
  const out: string[] = [];
  const who = fault.processor === null ? 'The processor' : `Processor ${fault.processor.number}`;
  const level =
    fault.irql === null
      ? ''
      : `, IRQL ${fault.irql.kind === 'minimum' ? 'at least ' : ''}${irqlName(fault.irql.level)}`;
  out.push(
    fault.instruction === null
      ? `${who} was at ${siteOf(target, fault)}${level}.`
      : `${who} executed \`${instructionText(target, fault.instruction)}\` at ${siteOf(target, fault)}${level}.`,
  );
  if (subject !== null && !view.execute) {
    const { access } = view;
    if (fault.reported?.unspecified === true) {
      const trap = fault.trap?.handler ?? null;
      out.push(
        trap?.vector === 0xe
          ? 'The exception reports no address (all ones), as for a fault that is no page fault; yet the trap frame was built by the page fault handler.'
          : `The exception reports no address (all ones): that is no page fault${trap === null ? '' : `; the trap frame was built by the handler of vector ${trap.vector.toString(16)}, ${trap.name}`}.`,
      );
      if (access?.address != null)
        out.push(`The operand [${access.text}] is ${address(target, access.address)}, ${kindClause(subject)}.`);
    } else if (view.agree === true)
      out.push(
        `Its operand [${access?.text ?? ''}] is ${address(target, access?.address ?? 0n)}, as reported: ${kindClause(subject)}.`,
      );
    else
      out.push(
        `${view.agree === false ? 'No operand recomputed from the captured registers covers the reported address' : 'The reported address is'} ${address(target, subject.address)}${view.agree === false ? '' : ''}, ${kindClause(subject)}.`,
      );
  }
  const atomic = atomicNote(fault.instruction);
  if (atomic !== null) out.push(atomic);
  return out;
}

/**
 * A single bit may be a flag as well as a null gone wrong: it counts where null was due (the end of a list), or where
 * another register holds the value without the bit.
 */
function isLikelyFlip(pointer: PointerStory): boolean {
  return (pointer.flip?.kind === 'null' && pointer.walk?.endsAtNull === true) || pointer.flip?.kind === 'equals';
}

/** The code that faulted, or the first outside the kernel that led to it; a victim where the value shows a flipped bit. */
function faultBlame(diagnosis: Diagnosis, view: FaultView, pointer: PointerStory): readonly Blame[] {
  const { target } = diagnosis;
  const { fault } = view;
  const module = fault.pc === null ? undefined : target.moduleAt(fault.pc);
  const flipped = isLikelyFlip(pointer);
  if (module !== undefined && !isKernelOrHal(target, module)) {
    const reason = flipped
      ? 'its instruction used the bad value; a single flipped bit points at memory or another writer rather than at it'
      : 'the faulting instruction is its own, by the captured context';
    return [
      {
        module: module.name,
        function: target.nameOf(fault.pc ?? 0n).text,
        role: flipped ? 'victim' : 'faulting code',
        reason,
        address: json(fault.pc),
      },
    ];
  }
  const frame = firstOutside(target, fault.frames);
  if (frame !== null)
    return [
      blameFrame(
        target,
        frame,
        'caller',
        `first frame outside the kernel above the fault; ${foundBy(fault.frames, frame)}`,
      ),
    ];
  return module === undefined
    ? []
    : [
        {
          module: module.name,
          function: target.nameOf(fault.pc ?? 0n).text,
          role: flipped ? 'victim' : 'faulting code',
          reason: 'no frame outside the kernel was found above it',
          address: json(fault.pc),
        },
      ];
}

export function clearedIdle(diagnosis: Diagnosis): Finding['cleared'] {
  return diagnosis.target.processors
    .filter((p) => p.idle === true && p.contextTrust !== 'bugchecking')
    .map((p) => ({ what: `processor ${p.number}`, reason: `idle: ${p.idleReason}` }));
}

function assumptionsOf(view: FaultView): string[] {
  const { carried, accesses } = view.fault;
  const used = carried.filter((name) => accesses.some((access) => access.parts.some((part) => part.register === name)));
  return used.length === 0
    ? []
    : [
        `${used.join(', ')} did not change between the fault and the bug check: the trap frame does not hold ${used.length === 1 ? 'it' : 'them'}`,
      ];
}

function changes(diagnosis: Diagnosis, view: FaultView, pointer: PointerStory): string[] {
  const { target } = diagnosis;
  const { fault, subject } = view;
  const out: string[] = [];
  if (fault.pc !== null && fault.instruction === null && target.memory.gap(fault.pc, 1) !== null) {
    const module = target.moduleAt(fault.pc);
    if (module !== undefined)
      out.push(
        `the code at ${target.nameOf(fault.pc).text} (${module.imageName}${module.timeDateStamp === null ? '' : `, ${module.timeDateStamp.toString(16)}`}, ${module.size.toString(16)})`,
      );
  }
  if (subject !== null && subject.kind === 'kernel' && subject.presence === 'unknown')
    out.push(`the page tables of ${address(target, subject.address)}, which a kernel or full dump holds`);
  if (isLikelyFlip(pointer))
    out.push('a second crash of this machine whose bad value is not one bit off, or a memory test that passes');
  if (pointer.walk !== null) out.push('the node that the list walk came from');
  if (fault.registers === null) out.push('the trap frame or context record of the fault');
  return out;
}
