/** Verdict on a wait for other processors to take a request: who has not, and what keeps him from it. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, list } from '../../engine/words.ts';
import { isStuck, type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { blockedTargets, type IpiTarget, type IpiWait } from '../../locks/ipi-wait.ts';
import { waitCycle } from '../../locks/spin-graph.ts';
import { cycleText, type Judgement } from './judgement.ts';

export function judgeIpi(diagnosis: Diagnosis, site: SpinSite, wait: IpiWait, evidence: Evidence): Judgement {
  const { target } = diagnosis;
  const { owner, field, role } = wait.where;
  const self = site.waiter.processor.number;
  evidence.memory(
    `the cell that the loop waits for is ${field} of the block of processor ${owner.number}${role === 'sender' ? ', in which a sender of IPIs keeps who has not answered yet' : ''}`,
    'true',
    wait.cell.address,
    wait.cell.size,
    `dt nt!_KPRCB ${owner.prcb.toString(16)} ${field}`,
  );
  for (const item of wait.targets) describeTarget(item, evidence);
  const base = { lock: null, holderFrame: null, downstream: [] } as const;
  const blocked = blockedTargets(wait);
  const numbers = (items: readonly IpiTarget[]): string =>
    list(items.map(({ processor }) => `processor ${processor.number}`));
  const wouldChange = [
    `another value at ${address(target, wait.cell.address)}`,
    ...blocked.map(
      ({ processor }) => `interrupts on, and a level below that of IPIs, on processor ${processor.number}`,
    ),
  ];
  if (wait.targets.length === 0) {
    return {
      ...base,
      verdict: wait.complete ? 'ipi-wait' : 'undetermined',
      confidence: 'possible',
      why: wait.complete
        ? `It waits for other processors to finish a request (${field} is 0x${(wait.cell.value ?? 0n).toString(16)}). No processor has one pending that it did not take, and none was seen that cannot run: one of them is still carrying it out.`
        : `It waits for other processors to take a request; which of them have not could not be read.`,
      assumptions: [],
      wouldChange,
    };
  }
  if (blocked.length === 0) {
    const known = wait.targets.every(({ state }) => state === 'able');
    return {
      ...base,
      verdict: known ? 'transient' : 'undetermined',
      confidence: known ? 'likely' : 'possible',
      why: known
        ? `It waits for ${numbers(wait.targets)} to take an IPI, and nothing keeps ${wait.targets.length === 1 ? 'it' : 'them'} from it: interrupts are on there. The request was on its way.`
        : `It waits for ${numbers(wait.targets)} to take an IPI; whether that can happen is not known (${list(wait.targets.filter(({ state }) => state === 'unknown').map(({ processor, text }) => `processor ${processor.number} ${text}`))}).`,
      assumptions: known ? ['the interrupted state of the targets is that of the moment of the dump'] : [],
      wouldChange,
    };
  }
  const cycle = waitCycle(diagnosis, site);
  const stuck = blocked.filter(({ processor }) =>
    diagnosis.fact(spinSites).some((other) => other.waiter.processor.number === processor.number && isStuck(other)),
  );
  const recorded = blocked.every(({ record, state }) => record !== null && state !== 'unanswered');
  const culprit = blocked[0]?.processor;
  const walk = culprit?.interrupted == null ? [] : target.walkStack(culprit.interrupted).frames;
  // The kernel only carries the wait; whoever runs it with interrupts off is further out.
  const frame =
    walk.find(({ pc }) => target.moduleAt(pc) !== target.kernel && target.moduleAt(pc) !== undefined) ??
    walk[0] ??
    null;
  const told = list(blocked.map(({ processor, text }) => `processor ${processor.number} ${text}`));
  const ending =
    cycle !== null
      ? ` It is a cycle across a lock and an IPI: ${cycleText(diagnosis, cycle)}.`
      : stuck.length > 0
        ? ` Processor ${stuck[0]?.processor.number} cannot leave a loop itself: the root is there.`
        : '';
  return {
    ...base,
    ...(frame === null
      ? null
      : {
          holderFrame: frame,
          holderWalk: walk,
          holderReason: `processor ${culprit?.number} runs it and cannot take the IPI meanwhile`,
        }),
    verdict: 'ipi-wait',
    confidence: recorded && (cycle !== null || stuck.length > 0) ? 'strong' : 'likely',
    why: `Processor ${self} waits for ${numbers(blocked)} to take its request, and ${told}.${ending}`,
    assumptions: [
      cycle !== null || stuck.length > 0
        ? 'the code that the target runs does not turn interrupts on before it ends'
        : 'the target stays as it was captured; code that turns interrupts off for a moment only would take the request next',
    ],
    wouldChange,
  };
}

function describeTarget(item: IpiTarget, evidence: Evidence): void {
  const { processor, record, text, state } = item;
  if (record !== null)
    evidence.memory(
      `processor ${processor.number} has not answered: ${record.how}`,
      'true',
      record.address,
      record.size,
    );
  evidence.fact(
    `processor ${processor.number} ${text}`,
    state === 'unknown' ? 'undetermined' : 'true',
    `~${processor.number}s; r`,
    processor.interrupted?.source ?? processor.contextReason,
  );
}
