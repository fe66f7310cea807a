import { faultFinding } from '../../bugchecks/fault-finding.ts';
import { type FaultView, faultView } from '../../bugchecks/fault-view.ts';
import { whoRaised } from '../../bugchecks/raised-level.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Finding } from '../../report/report.ts';

/** A reference to an address that cannot be one, or is not mapped, or may not be touched that way or at that level. */
export const invalidPointer: Pattern = definePattern({
  id: 'invalid-pointer',
  title: 'Invalid Pointer',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const view = diagnosis.fact(faultView);
    if (view === null || view.category !== 'invalid-pointer') return [];
    const { why, wouldChange, confidence, assumptions = [] } = explain(view);
    const raised = (view.fault.irql?.level ?? 0) >= 2 && /^pageable/.test(view.verdict);
    let blame: Finding['blame'] = [];
    return [
      faultFinding(diagnosis, view, {
        pattern: 'invalid-pointer',
        story: (evidence) => {
          if (!raised) return why;
          const who = whoRaised(diagnosis, view.fault, evidence);
          blame = who.blame;
          return [...why, ...who.text];
        },
        wouldChange,
        assumptions,
        ...(raised ? { blame: () => blame } : {}),
        ...(confidence === undefined ? {} : { confidence }),
      }),
    ];
  },
});

type Explanation = {
  readonly why: readonly string[];
  readonly wouldChange: readonly string[];
  readonly confidence?: Finding['confidence'];
  readonly assumptions?: readonly string[];
};

function explain(view: FaultView): Explanation {
  const { fault, subject } = view;
  const raised = (fault.irql?.level ?? 0) >= 2;
  const level = raised ? `IRQL ${fault.irql?.level}` : '';
  switch (view.verdict) {
    case 'non-canonical':
      return { why: ['No address has that form: the pointer itself is corrupt or was never one.'], wouldChange: [] };
    case 'user-address':
      return {
        why: [
          raised
            ? `Kernel code at ${level} must not touch user memory, which may be paged out.`
            : 'Kernel code touched a user address without a handler for its fault.',
        ],
        wouldChange: [],
      };
    case 'not-mapped':
      return {
        why: ['Whatever was there has been freed, or this was never a pointer.'],
        wouldChange: [],
      };
    case 'pageable':
      return {
        why: [
          raised
            ? `The page is valid but not resident, and at ${level} it cannot be brought in: pageable memory was touched at raised IRQL.`
            : 'The page is not resident.',
        ],
        wouldChange: [],
      };
    case 'pageable-code':
      return {
        why: [
          `The code that was to run next is not in memory, and at ${level === '' ? 'this level' : level} it cannot be brought in: pageable code was called at raised IRQL, or the image is damaged.`,
        ],
        wouldChange: [`the page tables of the code, where the dump lacks them`],
      };
    case 'write-protected':
      return { why: ['The page is there, but it may not be written.'], wouldChange: [] };
    case 'freed':
      return {
        why: ['Special pool says that the block at this address had been freed: use after free.'],
        wouldChange: [],
      };
    case 'beyond-allocation':
      return { why: ['Special pool says that the access ran over the end of its block.'], wouldChange: [] };
    case 'misaligned':
      return {
        why: [
          'The instruction demands an operand aligned to its size and gets one that is not: that alone raises this fault.',
        ],
        wouldChange: [],
      };
    case 'no-page-fault': {
      const vector = fault.trap?.handler?.vector ?? null;
      const known = view.agree === false;
      return {
        why: known
          ? [
              `The operand is canonical, the instruction demands no alignment and uses a flat segment: by itself it cannot raise ${vector === null ? 'anything but a page fault' : `vector ${vector.toString(16)}`}. Something else delivered it (a hypervisor that emulates the access, an interrupt with that vector), or the captured registers are not those of the fault.`,
            ]
          : ['What it touched cannot be recomputed.'],
        wouldChange: [
          'the physical address behind the operand: device memory that a hypervisor emulates would explain it',
          'registers at the fault other than the captured ones',
        ],
        confidence: known ? 'likely' : 'possible',
      };
    }
    case 'contradiction':
      return {
        why: [
          'By the page tables in the dump the address is mapped and allows this access: it was mapped since, the translation that faulted was a stale or damaged one, or the report is of another access.',
        ],
        wouldChange: [`a page-table entry of ${subject?.address.toString(16)} that is not valid`],
        confidence: 'possible',
      };
    default:
      return {
        why: [
          raised
            ? `At ${level} that is either an invalid address or pageable memory that was not resident: the dump's bytes do not tell which.`
            : 'The dump does not hold its page tables: freed, paged out with an error, or never mapped.',
        ],
        wouldChange: [],
        assumptions: [
          'the page was not valid when the access was made, as the report says: its page tables are not in the dump',
        ],
        ...(view.agree === true ? { confidence: 'strong' as const } : {}),
      };
  }
}
