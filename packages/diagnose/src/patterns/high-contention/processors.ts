/** More ready threads of one priority than processors, all of which run threads of that priority or above. */
import { Structure, type Target, type Thread } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, clock, count, json, plural } from '../../engine/words.ts';
import { BOOST_SECONDS, type ReadyThread, readyThreads } from '../../facts/ready-threads.ts';
import { threadFrames } from '../../facts/thread-frames.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** The longest quantum, a server's: who waits for less has only not had its turn yet. */
const QUANTUM_TICKS = 12;
/** Who has missed its turn this many times gets none: that is Thread Starvation. */
const TURNS = 10;
/** A herd that an event has let go has run within this. */
const MIN_SECONDS = 1;
const MAX_NAMED = 16;
/** Stacks that are compared. */
const MAX_WALKED = 64;
const SAME_FRAMES = 4;

const objectNames: Readonly<Record<number, string>> = {
  0: 'notification event', 1: 'synchronization event', 2: 'mutant', 3: 'process', 4: 'queue', 5: 'semaphore', 6: 'thread', 8: 'notification timer', 9: 'synchronization timer',
}; // biome-ignore format: a table

export function contendedProcessors(diagnosis: Diagnosis): readonly Finding[] {
  const { target } = diagnosis;
  const { processors } = target;
  const n = processors.length;
  // A processor that was not seen, or whose thread could not be read, may be free.
  if (n === 0 || n < target.dump.header.numberProcessors) return [];
  if (processors.some((processor) => processor.idle !== false || processor.idleThread !== false)) return [];
  const running = processors.map(({ currentThread }) => (currentThread === null ? null : target.thread(currentThread)));
  const priorities = running.map((thread) => thread?.priority ?? null);
  if (priorities.includes(null)) return [];
  const lowest = Math.min(...priorities.map((priority) => priority ?? 0));
  const equals = running.filter((thread) => thread?.priority === lowest);
  if (equals.length * 2 < n) return [];
  const ready = diagnosis.fact(readyThreads);
  const same = ready.filter(
    ({ thread, allowed, state }) => state === 'ready' && thread.priority === lowest && allowed.length * 2 >= n,
  );
  // Where nothing is scheduled nobody contends: they wait for the IRQL to fall.
  if (same.some(({ allowed }) => allowed.some(({ dispatch }) => dispatch))) return [];
  const tick = (target.time.tickIncrement ?? 156250) / 1e7;
  const turn = Math.max(BOOST_SECONDS, (TURNS * QUANTUM_TICKS * tick * same.length) / n);
  const queued = same.filter(({ readyTicks, readySeconds }) => readyTicks >= QUANTUM_TICKS && readySeconds <= turn);
  const oldest = queued[0]?.readySeconds ?? 0;
  if (queued.length <= n || oldest < MIN_SECONDS) return [];
  return [
    finding(
      diagnosis,
      lowest,
      same,
      queued,
      equals.flatMap((thread) => thread ?? []),
    ),
  ];
}

function finding(
  diagnosis: Diagnosis,
  priority: number,
  same: readonly ReadyThread[],
  queued: readonly ReadyThread[],
  running: readonly Thread[],
): Finding {
  const { target } = diagnosis;
  const n = target.processors.length;
  const evidence = diagnosis.evidence('contention');
  for (const { number, currentThread } of target.processors) {
    const thread = currentThread === null ? null : target.thread(currentThread);
    const at = thread?.fieldAddress('Priority') ?? null;
    const claim = `processor ${number} runs thread ${currentThread?.toString(16)} at priority ${thread?.priority}`;
    if (at === null) evidence.fact(claim, 'true', '!running', '_KTHREAD.Priority');
    else evidence.memory(claim, 'true', at, 1, '!running');
  }
  for (const { thread, readyTicks, readySeconds } of queued.slice(0, MAX_NAMED)) {
    const claim = `thread ${thread.address.toString(16)} of priority ${priority} is ready for ${count(readyTicks)} ticks = ${clock(readySeconds)}`;
    const at = thread.fieldAddress('WaitTime');
    const show = `!thread ${argument(target, thread.address)}`;
    if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD.WaitTime');
    else evidence.memory(claim, 'true', at, 4, show);
  }
  const median = queued[Math.floor(queued.length / 2)]?.readySeconds ?? 0;
  const oldest = queued[0]?.readySeconds ?? 0;
  const threads = [...running, ...same.map(({ thread }) => thread)];
  const common = [sharedObject(target, threads, evidence), sharedStack(diagnosis, threads, evidence)].filter(
    (text) => text !== null,
  );
  const behind = diagnosis.fact(readyThreads).filter(({ thread }) => (thread.priority ?? 0) < priority);
  const processes = new Set(threads.map((thread) => thread.owningProcess));
  const unread = queued.some(({ affinity }) => affinity === null);
  return {
    ...blankFinding(
      'high-contention',
      'processors',
      median >= MIN_SECONDS && !unread ? 'strong' : 'likely',
      `${count(same.length)} ready threads of priority ${priority} contend for ${plural(n, 'processor')}`,
      `${n === 1 ? 'The processor runs a thread' : `All ${n} processors run threads`} of priority ${priority}${running.length < n ? ' or above' : ''}, and ${count(same.length)} more threads of priority ${priority} are ready, of ${plural(processes.size, 'process', 'processes')}; the oldest for ${clock(oldest)}, half of those that have missed a turn for ${clock(median)} or more.${common.length === 0 ? '' : ` ${common.join(' ')}`} Each gets its turn, slowly${behind.length === 0 ? '.' : `; ${plural(behind.length, 'thread', 'threads')} of lower priority ${behind.length === 1 ? 'gets' : 'get'} none (thread-starvation).`}`,
    ),
    since: { minSeconds: median, maxSeconds: null, reason: 'half of the ready threads have waited for this long' },
    thread: json(queued[0]?.thread.address),
    evidence: evidence.items,
    assumptions: unread ? ['threads whose affinity could not be read may run on every processor'] : [],
    wouldChange: ['a second dump in which an idle processor or no such queue is seen'],
    downstream: behind.slice(0, MAX_NAMED).map(({ thread }) => `thread ${thread.address.toString(16)}`),
  };
}

/** The most common of what the threads carry, where it is that of more than half of them. */
function mostCommon<T>(values: readonly (T | null)[]): { readonly value: T; readonly times: number } | null {
  const times = new Map<T, number>();
  for (const value of values) if (value !== null) times.set(value, (times.get(value) ?? 0) + 1);
  const best = [...times].sort((a, b) => b[1] - a[1])[0];
  return best === undefined || best[1] * 2 <= values.length || best[1] < 2 ? null : { value: best[0], times: best[1] };
}

/** A wait block keeps the object after the wait: what threads last waited for together let them go together. */
function sharedObject(target: Target, threads: readonly Thread[], evidence: Evidence): string | null {
  const objectOf = (thread: Thread): bigint | null => {
    const object = thread.field('WaitBlock[0].Object');
    return object === null || object === 0n ? null : object;
  };
  const common = mostCommon(threads.map(objectOf));
  if (common === null) return null;
  const type = new Structure(target, '_DISPATCHER_HEADER', common.value).number('Type');
  const name = type === undefined ? 'object' : (objectNames[type & 0x7f] ?? 'object');
  const text = `${common.times} of them last waited for the ${name} ${address(target, common.value)}`;
  const example = threads.find((thread) => objectOf(thread) === common.value);
  const at = example?.fieldAddress('WaitBlock[0].Object') ?? null;
  if (at !== null) evidence.memory(text, 'true', at, target.pointerSize);
  return `${text}.`;
}

function sharedStack(diagnosis: Diagnosis, threads: readonly Thread[], evidence: Evidence): string | null {
  const { target } = diagnosis;
  const keys = threads.slice(0, MAX_WALKED).map((thread) => {
    const { frames } = threadFrames(diagnosis, thread.address);
    return frames.length < SAME_FRAMES
      ? null
      : frames
          .slice(0, SAME_FRAMES)
          .map(({ pc }) => pc.toString(16))
          .join();
  });
  const common = mostCommon(keys);
  if (common === null) return null;
  const names = common.value.split(',').map((pc) => target.nameOf(BigInt(`0x${pc}`)).text);
  const text = `${common.times} have the same frames on top of their stacks: ${names.join(' <- ')}`;
  evidence.fact(text, 'true', '!stacks', 'stack walks');
  return `${text}.`;
}
