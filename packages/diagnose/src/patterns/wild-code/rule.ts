import { callerStory } from '../../bugchecks/caller.ts';
import { faultFinding } from '../../bugchecks/fault-finding.ts';
import { kindClause } from '../../bugchecks/fault-text.ts';
import { type FaultView, faultView } from '../../bugchecks/fault-view.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { address } from '../../engine/words.ts';
import type { Finding } from '../../report/report.ts';

/** The processor executed, or tried to, what is no code: outside every module, on a stack, inside an instruction. */
export const wildCode: Pattern = definePattern({
  id: 'wild-code',
  title: 'Wild Code',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const view = diagnosis.fact(faultView);
    if (view === null || view.category !== 'wild-code') return [];
    const { target } = diagnosis;
    const caller = callerStory(diagnosis, view);
    const subject = view.subject;
    const where = subject === null ? '' : kindClause(subject);
    const at = subject === null ? 'An unknown address' : address(target, subject.address);
    const by = caller.by === null ? '' : `, called from ${caller.by}`;
    const title = titleOf(view.verdict, at, target.nameOf(view.fault.pc ?? 0n).text);
    return [
      faultFinding(diagnosis, view, {
        pattern: 'wild-code',
        title: `${title}${by}`,
        story: (evidence) => [
          view.verdict === 'mid-instruction'
            ? 'The code before it never leads there: the processor got there by a bad jump or return, or the code was changed.'
            : `What was to be executed is ${where}.`,
          ...caller.tell(evidence),
        ],
        confidence: confidenceOf(view, target.dump.complete),
        ...(caller.blame.length === 0 ? {} : { blame: () => caller.blame }),
        wouldChange:
          view.verdict === 'mid-instruction'
            ? ['a jump into the middle of that instruction that its function makes on purpose']
            : [],
      }),
    ];
  },
});

/** A list of modules that a truncated dump cuts off may lack the one that holds the address. */
function confidenceOf(view: FaultView, complete: boolean): Finding['confidence'] {
  if (!complete && view.subject?.place?.kind !== 'stack' && view.verdict !== 'non-canonical') return 'possible';
  return view.verdict === 'mid-instruction' || (!view.execute && view.pc?.place !== null) ? 'strong' : 'proven';
}

function titleOf(verdict: string, at: string, site: string): string {
  switch (verdict) {
    case 'mid-instruction':
      return `${site} is inside an instruction, and was executed`;
    case 'not-executable':
      return `${site} was fetched as code and may not be`;
    case 'non-canonical':
      return `${site} leads to ${at}, which is no address`;
    case 'stack':
      return `${at}, on a stack, was executed`;
    default:
      return `${at}, outside every module, was executed`;
  }
}
