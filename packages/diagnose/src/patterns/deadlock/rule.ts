import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, json, list, plural } from '../../engine/words.ts';
import { threadFrames } from '../../facts/thread-frames.ts';
import { blameUnloaded } from '../../facts/unloaded-code.ts';
import { blankFinding } from '../../report/blank.ts';
import { graphPicture } from '../../report/graph-picture.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { citeEdges, youngest } from '../../waits/cite.ts';
import { type WaitCycle, waitCycles } from '../../waits/cycles.ts';
import type { Belief } from '../../waits/liveness.ts';
import type { ObjectKind } from '../../waits/node.ts';
import type { GraphEdge } from '../../waits/wait-edge.ts';
import { waitGraph } from '../../waits/wait-graph.ts';
import { edgeText, nodeText, threadText } from '../../waits/words.ts';
import { behind } from './behind.ts';

/** Threads that wait for each other, or one that waits for itself, with every object and every age. */
export const deadlock: Pattern = definePattern({
  id: 'deadlock',
  title: 'Deadlock',
  run: (diagnosis: Diagnosis) =>
    waitCycles(diagnosis.fact(waitGraph))
      // Cycles of processors and spin locks alone are those of dispatch-level-spin.
      .filter((cycle) => cycle.edges.some(({ from }) => from.kind === 'thread'))
      .map((cycle) => finding(diagnosis, cycle)),
});

/** A cycle may be as long as there are threads; what is said of it is not. */
const MAX_EDGES = 64;
const MAX_THREADS = 16;
const MAX_NAMED = 6;

function few(texts: readonly string[]): readonly string[] {
  return texts.length <= MAX_NAMED ? texts : [...texts.slice(0, MAX_NAMED), `${texts.length - MAX_NAMED} more`];
}

type Verdict = 'self' | 'lock-order' | 'lpc' | 'mixed-objects';

/** What is asked of a thread of another process, and no lock. */
const MESSAGES: ReadonlySet<ObjectKind> = new Set(['ALPC message', 'ALPC port', 'LPC reply']);

function verdictOf(cycle: WaitCycle): Verdict {
  const threads = new Set(cycle.edges.flatMap(({ from }) => (from.kind === 'thread' ? [from.address] : [])));
  if (threads.size === 1) return 'self';
  const kinds = kindsOf(cycle);
  if (kinds.every((kind) => MESSAGES.has(kind))) return 'lpc';
  return kinds.length === 1 ? 'lock-order' : 'mixed-objects';
}

function kindsOf(cycle: WaitCycle): readonly ObjectKind[] {
  return [...new Set(cycle.edges.flatMap(({ to }) => (to.kind === 'object' ? [to.object] : [])))];
}

const confidences: Readonly<Record<Belief, Confidence>> = {
  recorded: 'proven',
  'no-alert': 'strong',
  believed: 'likely',
  untimed: 'possible',
};

/** Where memory was copied while the system ran, its parts may be of different moments. */
function confidenceOf({ target }: Diagnosis, cycle: WaitCycle): Confidence {
  const confidence = confidences[cycle.belief];
  return target.bugcheck === null && confidence === 'proven' ? 'strong' : confidence;
}

function assumptionsOf({ target }: Diagnosis, cycle: WaitCycle): string[] {
  const out: string[] = [];
  if (cycle.belief === 'no-alert') out.push('no alert and no user APC ends an alertable wait of the cycle');
  if (cycle.belief === 'believed') {
    if (cycle.edges.some(({ certainty }) => certainty === 'inferred'))
      out.push('owners that were inferred hold what they are said to hold');
    if (cycle.edges.some((edge) => edge.escape === 'unknown'))
      out.push('waits whose timer could not be read have none');
  }
  if (cycle.belief === 'untimed')
    out.push('no timer and no other object of the same wait lets a thread of the cycle go on');
  if (target.bugcheck === null)
    out.push('the memory was copied while the system ran: its parts are of the same moment');
  return out;
}

function finding(diagnosis: Diagnosis, cycle: WaitCycle): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('deadlock');
  citeEdges(evidence, cycle.edges.slice(0, MAX_EDGES));
  const threads = threadsOf(cycle);
  const blame: Finding['blame'][number][] = [];
  for (const thread of threads.slice(0, MAX_THREADS)) {
    const { frames, outside, missing } = threadFrames(diagnosis, thread);
    const show = `!thread ${argument(target, thread)}`;
    if (missing !== null)
      evidence.fact(`stack of thread ${argument(target, thread)}: ${missing}`, 'undetermined', show, 'stack');
    const shown = frames.slice(0, 8).map((frame) => target.nameOf(frame.pc).text);
    if (shown.length > 0)
      evidence.fact(`thread ${argument(target, thread)} waits in ${shown.join(' <- ')}`, 'true', show, 'stack walk');
    blame.push(...blameUnloaded(diagnosis, thread, evidence));
    if (outside === null) continue;
    blame.push({
      module: target.moduleAt(outside.pc)?.name ?? '?',
      function: target.nameOf(outside.pc).text,
      role: 'holder and acquirer',
      reason: `first frame outside the kernel of thread ${argument(target, thread)}, which is in the cycle`,
    });
  }
  const verdict = verdictOf(cycle);
  const confidence = confidenceOf(diagnosis, cycle);
  const age = youngest(cycle.edges);
  const downstream = behind(diagnosis, cycle.component, new Set(threads));
  const first = threads[0] ?? null;
  const process = first === null ? null : (target.thread(first)?.owningProcess ?? null);
  const objects = cycle.edges.flatMap(({ to }) => (to.kind === 'object' ? [to] : []));
  const names = few([...new Set(objects.map((object) => nodeText(target, object)))]);
  return {
    ...blankFinding(
      'deadlock',
      verdict,
      confidence,
      verdict === 'self'
        ? `Thread ${argument(target, first ?? 0n)} waits for what only it can give: ${list(names)}`
        : `${plural(threads.length, 'thread')} wait for each other: ${list(names)}`,
      `${story(diagnosis, cycle)} ${end(cycle)}${downstream.text}`,
    ),
    thread: json(first),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    lock:
      objects[0] === undefined
        ? null
        : { kind: objects[0].object, address: json(objects[0].address) ?? '', word: null, container: null },
    since:
      age === null
        ? null
        : {
            minSeconds: age.minSeconds,
            maxSeconds: age.maxSeconds,
            reason: `as old as the youngest wait of the cycle: ${age.reason}`,
          },
    blame,
    evidence: evidence.items,
    assumptions: assumptionsOf(diagnosis, cycle),
    wouldChange: wouldChange(diagnosis, cycle),
    downstream: downstream.lines,
    picture: graphPicture(target, [...cycle.edges, ...downstream.edges].slice(0, MAX_EDGES)),
  };
}

/** Threads in the order of the cycle; those that a processor of it runs included. */
function threadsOf(cycle: WaitCycle): readonly bigint[] {
  return [...new Set(cycle.edges.flatMap(({ from }) => (from.kind === 'thread' ? [from.address] : [])))];
}

/** `Thread A waits for X, which is owned by thread B; thread B waits for Y, which is owned by thread A.` */
function story({ target }: Diagnosis, cycle: WaitCycle): string {
  const parts: string[] = [];
  for (const edge of cycle.edges) {
    if (edge.from.kind === 'thread') parts.push(`${threadText(target, edge.from.address)} ${edgeText(target, edge)}`);
    else if (edge.from.kind === 'processor') parts.push(`processor ${edge.from.number} ${edgeText(target, edge)}`);
    else parts[parts.length - 1] = `${parts.at(-1) ?? ''}, which ${edgeText(target, edge)}`;
  }
  const text = few(parts).join('; ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function end(cycle: WaitCycle): string {
  switch (cycle.belief) {
    case 'recorded':
      return 'Every owner is recorded and no wait has a time limit of its own: nothing in the machine ends this.';
    case 'no-alert':
      return 'Every owner is recorded; only an alert or a user APC could end an alertable wait.';
    case 'believed':
      return 'An edge of it is inferred or could not be read whole.';
    default:
      return 'A time limit or another object of the same wait may let one of them go on: this is no proven deadlock.';
  }
}

function someInUserMode({ target }: Diagnosis, cycle: WaitCycle): boolean {
  return threadsOf(cycle).some((thread) => target.thread(thread)?.field('WaitMode') === 1n);
}

function wouldChange(diagnosis: Diagnosis, cycle: WaitCycle): string[] {
  const objects = cycle.edges.filter(({ relation }) => relation === 'owned-by');
  return [
    ...(objects.length > 0 ? ['another owner of one of these objects'] : []),
    'a second dump in which a thread of the cycle has run',
    ...(someInUserMode(diagnosis, cycle)
      ? ['the end of a process of the cycle: a wait in user mode ends with its thread']
      : []),
    ...(timed(cycle.edges) ? ['the time limits of the waits: when they expire, and what the threads do then'] : []),
  ];
}

function timed(edges: readonly GraphEdge[]): boolean {
  return edges.some((edge) => edge.escape === 'timeout');
}
