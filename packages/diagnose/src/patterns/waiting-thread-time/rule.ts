import { WAIT_REASONS } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, clock, count, list, plural } from '../../engine/words.ts';
import { threadTimes } from '../../facts/times.ts';
import { type WaitCluster, waitClusters } from '../../facts/wait-clusters.ts';
import { waitStack } from '../../facts/wait-stacks.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

const MAX_NAMED = 8;
/** Stacks that are walked to name modules. */
const MAX_STACKS = 32;
/** A processor whose thread ran on since within this of the cluster's beginning is what the threads met. */
const TOGETHER_SECONDS = 2;
/** As many threads of as many processes do not meet by chance. */
const LIKELY = { threads: 16, processes: 5 } as const;

/** Many threads that began to wait at one moment and still do: the moment when something stopped. */
export const waitingThreadTime: Pattern = definePattern({
  id: 'waiting-thread-time',
  title: 'Waiting Thread Time',
  run: (diagnosis: Diagnosis) => diagnosis.fact(waitClusters).map((cluster) => finding(diagnosis, cluster)),
});

function finding(diagnosis: Diagnosis, cluster: WaitCluster): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('waits');
  const { threads, processes, oldestSeconds: seconds } = cluster;
  for (const { thread, ticks, seconds: age } of threads.slice(0, MAX_NAMED)) {
    const show = `!thread ${argument(target, thread.address)}`;
    const image = thread.owningProcess === null ? null : (target.process(thread.owningProcess)?.image ?? null);
    const claim = `thread ${argument(target, thread.address)}${image === null ? '' : ` of ${image}`} waits for ${count(ticks)} ticks = ${clock(age)} (${WAIT_REASONS[thread.waitReason ?? -1] ?? 'unknown reason'})`;
    const at = thread.fieldAddress('WaitTime');
    if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD.WaitTime');
    else evidence.memory(claim, 'true', at, 4, show);
  }
  const ran = ranSince(diagnosis, seconds);
  for (const { number, ago, text } of ran)
    evidence.fact(
      `processor ${number} runs ${text}, which last waited ${clock(ago)} ago: the same moment`,
      'true',
      `~${number}s; !thread`,
      '_KTHREAD.WaitTime',
    );
  const spread = cluster.spreadSeconds === 0 ? 'in one tick' : `within ${clock(cluster.spreadSeconds)}`;
  const images = histogram(processes.map((process) => target.process(process)?.image ?? 'a process without a name'));
  const reasons = histogram(threads.map(({ thread }) => WAIT_REASONS[thread.waitReason ?? -1] ?? 'unknown'));
  const modules = modulesOf(diagnosis, cluster);
  const object = commonObject(cluster);
  const sure = ran.length > 0 || (threads.length >= LIKELY.threads && processes.length >= LIKELY.processes);
  return {
    ...blankFinding(
      'waiting-thread-time',
      null,
      sure ? 'likely' : 'possible',
      `${plural(threads.length, 'thread')} of ${plural(processes.length, 'process', 'processes')} began to wait ${spread}, ${clock(seconds)} ago`,
      `Threads of ${list(images.slice(0, MAX_NAMED))}${images.length > MAX_NAMED ? ' and others' : ''} have waited for others since then (${reasons.join(', ')})${modules.length === 0 ? '' : `, called by ${list(modules.slice(0, MAX_NAMED))}`}. ${object === null ? '' : `All of them wait for ${argument(target, object)}. `}Waits of that kind end soon on a healthy system, and so many do not begin together by chance: something stopped at that moment${ran.length === 0 ? '' : `, when processor ${list(ran.map(({ number }) => String(number)))} began what it still does`}. What happened then explains them; they are not the cause.`,
    ),
    since: {
      minSeconds: seconds - cluster.spreadSeconds,
      maxSeconds: seconds,
      reason: 'WaitTime is the tick count at which a wait began',
    },
    evidence: evidence.items,
    assumptions: ['no common timer or broadcast had woken these threads just before'],
    wouldChange: ['a second dump in which most of them have waited anew'],
    downstream: threads.slice(0, MAX_NAMED).map(({ thread }) => `thread ${argument(target, thread.address)}`),
  };
}

/** Most frequent first: `a (3)`, `b`. */
function histogram(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([name, n]) => (n === 1 ? name : `${name} (${count(n)})`));
}

function modulesOf(diagnosis: Diagnosis, { threads }: WaitCluster): string[] {
  const names: string[] = [];
  for (const { thread } of threads.slice(0, MAX_STACKS)) {
    const caller = waitStack(diagnosis, thread)?.caller;
    const module = caller == null ? undefined : diagnosis.target.moduleAt(caller.pc);
    if (module !== undefined) names.push(module.name);
  }
  return histogram(names);
}

function commonObject({ threads }: WaitCluster): bigint | null {
  const first = threads[0]?.wait.blocks[0]?.object ?? null;
  return first !== null && threads.every(({ wait }) => wait.blocks[0]?.object === first) ? first : null;
}

/** Processors that have run one thread ever since, by the end of its last wait. */
function ranSince(diagnosis: Diagnosis, seconds: number): { number: number; ago: number; text: string }[] {
  const found: { number: number; ago: number; text: string }[] = [];
  for (const processor of diagnosis.target.processors) {
    if (processor.idleThread !== false || processor.currentThread === null) continue;
    const thread = diagnosis.target.thread(processor.currentThread);
    if (thread === null) continue;
    const { ticksSinceWait, tickSeconds } = threadTimes(diagnosis, thread);
    if (ticksSinceWait === null || tickSeconds === null) continue;
    const ago = ticksSinceWait * tickSeconds;
    if (Math.abs(ago - seconds) > TOGETHER_SECONDS) continue;
    found.push({ number: processor.number, ago, text: `thread ${argument(diagnosis.target, thread.address)}` });
  }
  return found;
}
