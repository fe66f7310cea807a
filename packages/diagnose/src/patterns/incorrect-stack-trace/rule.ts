import type { Target } from '@dumpscope/debugger';
import { type Diagnosis, defineReview, type Review } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { argument, list, plural } from '../../engine/words.ts';
import { type FindingStack, findingStacks } from '../../facts/finding-stacks.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { type Doubt, doubtOf } from './doubt.ts';

const MAX_NAMES = 5;

interface Doubtful {
  readonly stack: FindingStack;
  readonly doubt: Doubt;
}

/** Stacks of findings that are not what they are printed as, from which frame on, and what else they can be read as. */
export const incorrectStackTrace: Review = defineReview({
  id: 'incorrect-stack-trace',
  title: 'Incorrect Stack Trace',
  run(diagnosis: Diagnosis, findings: readonly Finding[]): readonly Finding[] {
    const { target } = diagnosis;
    const doubtful: Doubtful[] = [];
    for (const stack of findingStacks(diagnosis, findings)) {
      const doubt = doubtOf(target, stack);
      if (doubt !== null) doubtful.push({ stack, doubt });
    }
    const [worst] = [...doubtful].sort((a, b) => order.indexOf(a.doubt.kind) - order.indexOf(b.doubt.kind));
    if (worst === undefined) return [];
    const evidence = diagnosis.evidence('stack');
    for (const one of doubtful) tell(target, one, evidence);
    const where = doubtful.map(({ stack, doubt }) =>
      doubt.kind === 'ended-early'
        ? `${stack.of} behind its ${plural(doubt.from, 'frame')}`
        : `${stack.of} from frame ${doubt.from} on`,
    );
    const first = worst.doubt;
    return [
      {
        ...blankFinding(
          'incorrect-stack-trace',
          first.kind,
          sure[first.kind],
          `${doubtful.length === 1 ? 'A stack' : `${doubtful.length} stacks`} of the findings cannot be believed to the end`,
          `${list(where.slice(0, MAX_NAMES))}${where.length > MAX_NAMES ? ` and ${where.length - MAX_NAMES} more` : ''}: ${first.why}. ${readings(target, worst)}`,
        ),
        processor: worst.stack.processor,
        evidence: evidence.items,
        assumptions:
          first.kind === 'scanned'
            ? ['what looks like a return address may be left over from an older call']
            : first.kind === 'ended-early'
              ? ['the stack went on where its walk ended']
              : [],
        wouldChange: [
          first.kind === 'not-a-return'
            ? `a call that ends at ${argument(target, first.value ?? 0n)}`
            : first.kind === 'scanned'
              ? 'the images of the modules on it, with their unwind data'
              : 'the rest of the stack, or unwind data for its last frame',
        ],
      },
    ];
  },
});

const order: readonly Doubt['kind'][] = ['not-a-return', 'ended-early', 'scanned'];
const sure: Readonly<Record<Doubt['kind'], Confidence>> = {
  'not-a-return': 'proven',
  'ended-early': 'strong',
  scanned: 'likely',
};

function tell(target: Target, { stack, doubt }: Doubtful, evidence: Evidence): void {
  const frames = stack.trace.frames.length;
  if (doubt.slot === null || doubt.value === null)
    evidence.fact(
      `the walk of ${stack.of} ends after ${plural(frames, 'frame')}: ${doubt.why}`,
      'true',
      stack.command,
      'unwinding',
    );
  else
    evidence.memory(
      `frame ${doubt.from} of ${stack.of} is ${target.nameOf(doubt.value).text} by ${stack.trace.frames[doubt.from]?.trust ?? 'unwinding'}: ${doubt.why}`,
      doubt.kind === 'scanned' ? 'undetermined' : 'true',
      doubt.slot,
      target.pointerSize,
      stack.command,
    );
}

/** What unwinding made of the rest, beside what the words of the stack are. */
function readings(target: Target, { stack, doubt }: Doubtful): string {
  const name = (value: bigint): string => target.nameOf(value).text;
  const walked = stack.trace.frames.slice(doubt.from, doubt.from + MAX_NAMES).map(({ pc }) => name(pc));
  const unwound = walked.length === 0 ? 'nothing' : walked.join(' <- ');
  if (doubt.kind === 'scanned')
    return `The frames from there on (${unwound}) are words that may be return addresses; any of them may be a leftover.`;
  const scanned = doubt.scan.slice(0, MAX_NAMES).map(name);
  return `Unwinding gives ${unwound} there; the words of the stack that calls precede are ${scanned.length === 0 ? 'none' : scanned.join(' <- ')}.`;
}
