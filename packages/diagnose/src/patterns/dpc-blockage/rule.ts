import type { Processor } from '@dumpscope/debugger';
import { culpritOn } from '../../bugchecks/codes/stack-culprit.ts';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { json, plural } from '../../engine/words.ts';
import { type DpcState, dpcStates } from '../../facts/dpc-state.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { dpcPicture } from '../../report/wait-nodes.ts';
import { type Hold, holdOf } from './hold.ts';
import { type QueueView, queueEvidence, viewQueue } from './queue.ts';
import { tellLateTimers } from './waiting.ts';

const MAX_DOWNSTREAM = 8;

/** DPCs that are queued to a processor on which no DPC can run. Short queues come and go: what holds them decides. */
export const dpcBlockage: Pattern = definePattern({
  id: 'dpc-blockage',
  title: 'Blocked DPC',
  run: (diagnosis: Diagnosis) => diagnosis.fact(dpcStates).flatMap((state) => judge(diagnosis, state)),
});

function judge(diagnosis: Diagnosis, state: DpcState): readonly Finding[] {
  const { target } = diagnosis;
  const views = state.queues.map((queue) => viewQueue(target, queue));
  const waiting = views.filter((view) => view.waiting > 0);
  const evidence = diagnosis.evidence('dpc');
  const hold = waiting.length === 0 ? null : holdOf(diagnosis, state, evidence);
  if (hold !== null) return [blocked(diagnosis, state, hold, waiting, evidence)];
  const broken = views.filter((view) => view.state === 'broken');
  // Memory that was read while the processor went on may disagree with itself.
  if (broken.length === 0 || state.processor.contextTrust === 'stale') return [];
  return [corrupt(diagnosis, state, broken)];
}

function blocked(
  diagnosis: Diagnosis,
  state: DpcState,
  hold: Hold,
  waiting: readonly QueueView[],
  evidence: Evidence,
): Finding {
  const { target } = diagnosis;
  const { processor } = state;
  const n = processor.number;
  for (const view of waiting) queueEvidence(target, n, view, evidence);
  if (state.running !== null)
    evidence.memory(
      `${state.running.how} is ${target.nameOf(state.running.routine).text}`,
      'true',
      state.running.at.address,
      state.running.at.size,
    );
  const irql = processor.irql;
  if (irql !== null)
    evidence.fact(
      `processor ${n} is at IRQL ${irql.kind === 'minimum' ? 'at least ' : ''}${irql.level}`,
      'true',
      `~${n}s; !irql`,
      irql.source,
    );
  const total = waiting.reduce((sum, view) => sum + view.waiting, 0);
  const first = waiting[0]?.queue.calls[0]?.routine ?? null;
  const what = `${plural(total, 'DPC')}${first === null ? '' : `, the first ${target.nameOf(first).text},`}`;
  const broken = waiting.find((view) => view.state === 'broken');
  const late = tellLateTimers(diagnosis, processor, evidence);
  const spin = hold.spin;
  const root =
    spin === null ? '' : ` This is what its Dispatch Level Spin (${spin.verdict}) does to others: the cause is there.`;
  return {
    ...blankFinding(
      'dpc-blockage',
      hold.verdict,
      broken === undefined ? hold.confidence : weaker(hold.confidence),
      `${plural(total, 'DPC')} of processor ${n} cannot run${spin === null ? '' : ': downstream of its spin'}`,
      `${what} ${total === 1 ? 'is' : 'are'} queued to processor ${n} and cannot run: ${hold.why}.${root}${broken === undefined ? '' : ` The queue itself is not sound: ${broken.problem}.`}`,
    ),
    ...place(diagnosis, processor),
    since: hold.since,
    blame: spin === null ? blame(diagnosis, state, evidence) : [],
    evidence: evidence.items,
    assumptions: [...hold.assumptions],
    wouldChange: [
      hold.verdict === 'long-dpc'
        ? 'another DPC running in a second dump'
        : 'an interrupted IRQL below 2 on this processor',
      'an empty queue (DpcQueueDepth 0)',
    ],
    downstream: [...queued(diagnosis, waiting), ...late],
    picture: dpcPicture(
      target,
      n,
      waiting.flatMap((view) => view.queue.calls),
    ),
  };
}

function corrupt(diagnosis: Diagnosis, state: DpcState, broken: readonly QueueView[]): Finding {
  const { processor } = state;
  const evidence = diagnosis.evidence('dpc');
  for (const view of broken) queueEvidence(diagnosis.target, processor.number, view, evidence);
  const linked = broken.some((view) => view.queue.end === 'cycle' || view.queue.end === 'not-a-dpc');
  return {
    ...blankFinding(
      'dpc-blockage',
      'corrupt-queue',
      linked ? 'likely' : 'possible',
      `The DPC queue of processor ${processor.number} is not sound`,
      `${broken.map((view) => view.problem).join('; ')}. A DPC that was freed, reinitialised or overwritten while it was queued leaves such a list; DPCs behind the damage never run.`,
    ),
    ...place(diagnosis, processor),
    evidence: evidence.items,
    assumptions: ['the pages of the list and of the KPRCB are of the same moment'],
    wouldChange: ['a list as long as DpcQueueDepth says, of DPCs only'],
  };
}

function place(
  diagnosis: Diagnosis,
  processor: Processor,
): Pick<Finding, 'processor' | 'thread' | 'process' | 'image'> {
  const { target } = diagnosis;
  const thread = processor.currentThread === null ? null : target.thread(processor.currentThread);
  const process = thread?.owningProcess ?? null;
  return {
    processor: processor.number,
    thread: json(processor.currentThread),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
  };
}

function blame(diagnosis: Diagnosis, state: DpcState, evidence: Evidence): Finding['blame'] {
  const { target } = diagnosis;
  const { running, processor } = state;
  const module = running === null ? undefined : target.moduleAt(running.routine);
  const culprit = culpritOn(diagnosis, processor.interrupted, evidence, 'running code');
  return [
    ...(running === null || module === undefined
      ? []
      : [
          {
            module: module.name,
            function: target.nameOf(running.routine).text,
            role: 'DPC routine',
            reason: 'it is the DPC that runs while others wait',
            address: json(running.routine),
          },
        ]),
    ...culprit.blame.filter((item) => item.module !== module?.name),
  ];
}

function queued(diagnosis: Diagnosis, waiting: readonly QueueView[]): readonly string[] {
  const names = waiting
    .flatMap((view) => view.queue.calls)
    .map(({ routine, address }) =>
      routine === null ? `DPC ${address.toString(16)}` : `DPC ${diagnosis.target.nameOf(routine).text}`,
    );
  const distinct = [...new Set(names)];
  return distinct.length <= MAX_DOWNSTREAM
    ? distinct
    : [...distinct.slice(0, MAX_DOWNSTREAM), `${distinct.length - MAX_DOWNSTREAM} more routines`];
}

function weaker(confidence: Confidence): Confidence {
  return confidence === 'proven' || confidence === 'strong' ? 'likely' : confidence;
}
