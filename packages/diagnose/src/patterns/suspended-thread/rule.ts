import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, clock, count, json, list, plural } from '../../engine/words.ts';
import { type Dependents, dependentsOf } from '../../facts/dependents.ts';
import { type SuspendedGroup, type SuspendedThread, suspendedThreads } from '../../facts/suspended-threads.ts';
import { blankFinding } from '../../report/blank.ts';
import { graphPicture } from '../../report/graph-picture.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { citeEdges } from '../../waits/cite.ts';
import { nodeText, threadText } from '../../waits/words.ts';
import { suspensionEvidence } from './suspension-evidence.ts';

const MAX_NAMED = 16;
/** Threads whose dependents are looked for: each look is a walk over the wait graph. */
const MAX_EXAMINED = 256;
const MAX_EDGES = 40;
/** Suspended for less than this is somebody walking stacks. */
const MIN_SECONDS = 5;

/** Threads that somebody stopped: those that others wait for, whole processes, and single ones. */
export const suspendedThread: Pattern = definePattern({
  id: 'suspended-thread',
  title: 'Suspended Thread',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const findings: Finding[] = [];
    const told = new Set<bigint>();
    let examined = 0;
    for (const group of diagnosis.fact(suspendedThreads)) {
      for (const suspended of group.threads) {
        if (examined++ >= MAX_EXAMINED) break;
        const dependents = dependentsOf(diagnosis, suspended.thread.address);
        if (dependents.threads.length === 0) continue;
        findings.push(blocking(diagnosis, group, suspended, dependents));
        told.add(suspended.thread.address);
      }
      const stopped = stoppedGroup(diagnosis, group, told);
      if (stopped !== null) findings.push(stopped);
    }
    return findings;
  },
});

/** Others wait for what only this thread can give: it is the end of their chain. */
function blocking(
  diagnosis: Diagnosis,
  group: SuspendedGroup,
  suspended: SuspendedThread,
  dependents: Dependents,
): Finding {
  const { target } = diagnosis;
  const { thread } = suspended;
  const evidence = diagnosis.evidence('suspended');
  suspensionEvidence(target, evidence, suspended, group);
  const edges = [...dependents.edges, ...dependents.waits].slice(0, MAX_EDGES);
  citeEdges(evidence, edges);
  const owned = dependents.edges.filter(({ relation }) => relation === 'owned-by');
  const recorded = owned.some(({ certainty }) => certainty === 'recorded');
  const things = [...new Set(dependents.edges.map(({ from }) => nodeText(target, from)))];
  const who = threadText(target, thread.address);
  const age = suspended.seconds === null ? '' : ` for ${clock(suspended.seconds)}`;
  return {
    ...blankFinding(
      'suspended-thread',
      'blocks-others',
      confidenceOf(group, suspended, recorded),
      `${plural(dependents.threads.length, 'thread')} ${dependents.threads.length === 1 ? 'waits' : 'wait'} for a suspended thread`,
      `${who.charAt(0).toUpperCase()}${who.slice(1)} is suspended${age} and ${owned.length > 0 ? 'holds' : 'is waited for through'} ${list(things.slice(0, 4))}. Nobody gets past it before somebody resumes it.${group.normal === null ? '' : ` The suspension has a reason (${group.normal}); what waits for it meanwhile is the trouble.`}`,
    ),
    thread: json(thread.address),
    process: json(group.process.address),
    image: group.process.image,
    since:
      suspended.seconds === null
        ? null
        : { minSeconds: 0, maxSeconds: suspended.seconds, reason: 'WaitTime of the suspended thread' },
    evidence: evidence.items,
    assumptions: ['nobody was about to resume it'],
    wouldChange: ['a second dump in which its suspend count is zero'],
    downstream: dependents.threads.slice(0, MAX_NAMED).map((address) => threadText(target, address)),
    picture: graphPicture(target, edges),
  };
}

function confidenceOf(group: SuspendedGroup, { suspension }: SuspendedThread, recorded: boolean): Confidence {
  if (!suspension.stopped) return 'possible';
  return recorded && group.normal === null ? 'strong' : 'likely';
}

/** `told`: threads of which a finding of their own says that others wait for them. */
function stoppedGroup(diagnosis: Diagnosis, group: SuspendedGroup, told: ReadonlySet<bigint>): Finding | null {
  const { target } = diagnosis;
  if (group.normal !== null) return null;
  const threads = group.threads.filter(
    ({ neverStarted, seconds }) => !neverStarted && (seconds === null || seconds >= MIN_SECONDS),
  );
  if (threads.length === 0) return null;
  const whole = group.all === true && threads.length === group.threads.length;
  if (!whole && threads.every(({ thread }) => told.has(thread.address))) return null;
  const evidence = diagnosis.evidence('suspended');
  for (const suspended of threads.slice(0, MAX_NAMED)) suspensionEvidence(target, evidence, suspended, group);
  const image = group.process.image ?? 'a process without a name';
  const oldest = threads.reduce((most, { seconds }) => Math.max(most, seconds ?? 0), 0);
  return {
    ...blankFinding(
      'suspended-thread',
      whole ? 'suspended-process' : 'suspended',
      whole ? 'likely' : 'possible',
      whole
        ? `Every thread of ${image} is suspended, ${count(threads.length)} in all`
        : `${plural(threads.length, 'thread')} of ${image} ${threads.length === 1 ? 'is' : 'are'} suspended`,
      `${whole ? 'The process does nothing until somebody resumes it.' : 'The rest of the process runs.'} No debugger is attached, and Windows did not put it to sleep as it does with apps. The oldest suspension began ${clock(oldest)} ago. Windows records who is suspended, not by whom.`,
    ),
    thread: json(threads[0]?.thread.address),
    process: json(group.process.address),
    image: group.process.image,
    since: { minSeconds: 0, maxSeconds: oldest, reason: 'WaitTime of the suspended threads' },
    evidence: evidence.items,
    assumptions: ['nobody was about to resume it'],
    wouldChange: ['a debugger, a profiler or a tool that suspends on purpose', 'a second dump in which they run'],
    downstream: threads.slice(0, MAX_NAMED).map(({ thread }) => `thread ${argument(target, thread.address)}`),
  };
}
