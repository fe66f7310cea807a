import type { Thread } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, clock, json, list, plural } from '../../engine/words.ts';
import { type ProcessCpu, processCpu, type ThreadShare } from '../../facts/process-cpu.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Confidence, Finding } from '../../report/report.ts';

/** A thread with more of one processor than this is a Spiking Thread, and explains itself. */
const MAX_THREAD_SHARE = 0.2;
/** Least load, in processors and as a part of all of them: below it a process with many threads is only at work. */
const MIN_LOAD = 0.25;
const MIN_PART = 0.1;
/** Less than this is a process that works hard as well as one that spikes. */
const LIKELY_LOAD = 0.5;
const LIKELY_PART = 0.15;
/** As many equal threads as would spread the time as it is spread (the inverse of the sum of squared shares). */
const MIN_EFFECTIVE = 4;
/** Runnable at the moment of the dump: one may be chance, unless others have run within the last second. */
const MIN_ACTIVE = 2;
const MIN_RECENT = 4;
const MIN_SECONDS = 10;
/** Threads that have run for less than this since their last wait have only just been let go. */
const JUST_WOKEN_SECONDS = 0.05;
const MAX_NAMED = 12;

interface Group {
  readonly processes: readonly ProcessCpu[];
  readonly threads: readonly ThreadShare[];
  readonly seconds: number;
  readonly lifeSeconds: number;
}

/** No thread stands out, and yet their process, or processes of one image, take the processors. */
export const distributedSpike: Pattern = definePattern({
  id: 'distributed-spike',
  title: 'Distributed Spike',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const n = diagnosis.target.processors.length;
    if (n === 0) return [];
    const all = diagnosis.fact(processCpu);
    const single = all.map((cpu) => groupOf([cpu])).filter((group) => isSpike(group, n));
    const taken = new Set(single.flatMap(({ processes }) => processes));
    const coupled = byImage(all.filter((cpu) => !taken.has(cpu)))
      .map(groupOf)
      .filter((group) => isSpike(group, n));
    return [...single, ...coupled].map((group) => finding(diagnosis, group, n));
  },
});

function groupOf(processes: readonly ProcessCpu[]): Group {
  return {
    processes,
    threads: processes.flatMap(({ threads }) => threads).sort((a, b) => b.seconds - a.seconds),
    seconds: processes.reduce((sum, { seconds }) => sum + seconds, 0),
    lifeSeconds: Math.max(...processes.map(({ lifeSeconds }) => lifeSeconds)),
  };
}

/** Processes that run one image, as the workers of one service do. */
function byImage(all: readonly ProcessCpu[]): readonly (readonly ProcessCpu[])[] {
  const groups = new Map<string, ProcessCpu[]>();
  for (const cpu of all) {
    const { image } = cpu.process;
    if (image === null || image === '') continue;
    const group = groups.get(image);
    if (group === undefined) groups.set(image, [cpu]);
    else group.push(cpu);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

function isSpike(group: Group, processors: number): boolean {
  const { threads, seconds, lifeSeconds } = group;
  const top = threads[0]?.seconds ?? 0;
  return (
    seconds >= MIN_SECONDS &&
    seconds / lifeSeconds >= Math.max(MIN_LOAD, MIN_PART * processors) &&
    top / lifeSeconds <= MAX_THREAD_SHARE &&
    effective(group) >= MIN_EFFECTIVE &&
    isUnderWay(group)
  );
}

function isUnderWay(group: Group): boolean {
  const active = activeOf(group).length;
  const recent = group.threads.filter((share) => share.recent && share.active === null).length;
  return active >= MIN_ACTIVE || (active > 0 && recent >= MIN_RECENT);
}

function effective({ threads, seconds }: Group): number {
  return 1 / threads.reduce((sum, share) => sum + (share.seconds / seconds) ** 2, 0);
}

/** Gini coefficient: 0 where all threads used the same, towards 1 where one used all. */
function gini({ threads, seconds }: Group): number {
  const n = threads.length;
  const weighted = threads.reduce((sum, share, i) => sum + (n - i) * share.seconds, 0);
  return n === 0 ? 0 : (2 * weighted) / (n * seconds) - (n + 1) / n;
}

function activeOf({ threads }: Group): readonly ThreadShare[] {
  return threads.filter(({ active }) => active !== null);
}

function finding(diagnosis: Diagnosis, group: Group, processors: number): Finding {
  const { target } = diagnosis;
  const { threads, seconds, lifeSeconds } = group;
  const evidence = diagnosis.evidence('spread');
  const load = seconds / lifeSeconds;
  const active = activeOf(group);
  const running = active.filter((share) => share.active === 'running');
  const percent = (value: number): string => `${((value / lifeSeconds) * 100).toFixed(1)} %`;
  for (const share of threads.slice(0, MAX_NAMED)) {
    const { thread } = share;
    const claim = `thread ${thread.address.toString(16)} has used ${clock(share.seconds)} = ${percent(share.seconds)} of one processor${share.active === null ? (share.recent ? '; it waits since less than a second' : '') : `; it is ${share.active}`}`;
    const at = thread.fieldAddress('KernelTime');
    const show = `!thread ${argument(target, thread.address)}`;
    if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD');
    else evidence.memory(claim, 'true', at, 4, show);
  }
  const half = halfOf(group);
  const spread = `${plural(threads.length, 'thread')} share it: the first has ${(((threads[0]?.seconds ?? 0) / seconds) * 100).toFixed(0)} %, ${plural(half, 'thread makes', 'threads make')} half of it (Gini ${gini(group).toFixed(2)})`;
  evidence.fact(spread, 'true', '!process 0 2', '_KTHREAD.KernelTime, UserTime, CycleTime');
  evidence.fact(
    `${running.length} of them run and ${active.length - running.length} are ready now; ${threads.filter(({ recent, active: state }) => recent && state === null).length} more ran within the last second`,
    'true',
    '!running; !ready',
    '_KTHREAD.State, WaitTime',
  );
  const woken = justWoken(active);
  if (woken)
    evidence.fact(
      'those that run or are ready have hardly run since their last wait, by CurrentRunTime: they may only have been let go',
      'false',
      '!ready',
      '_KTHREAD.CurrentRunTime',
    );
  const first = group.processes[0];
  const image = first?.process.image ?? null;
  const coupled = group.processes.length > 1;
  const who = coupled
    ? `${group.processes.length} processes of ${image ?? '?'}`
    : `process ${image ?? first?.process.address.toString(16)}`;
  const many =
    active.length >= Math.max(MIN_ACTIVE, processors / 2) &&
    load >= Math.max(LIKELY_LOAD, LIKELY_PART * processors) &&
    !woken;
  const confidence: Confidence = many && !coupled ? 'likely' : 'possible';
  const life = coupled ? 'the oldest of them lives' : 'it lives';
  return {
    ...blankFinding(
      'distributed-spike',
      coupled ? 'coupled-processes' : 'one-process',
      confidence,
      `${plural(threads.length, 'thread')} of ${who} take ${load.toFixed(1)} processors, and none of them stands out`,
      `The threads of ${who} have used ${clock(seconds)} in the ${clock(lifeSeconds)} that ${life}: ${load.toFixed(2)} of ${plural(processors, 'processor')}, no thread more than ${percent(threads[0]?.seconds ?? 0)} of one. ${capital(spread)}. Now ${plural(running.length, 'of them runs', 'of them run')} and ${active.length - running.length} ${active.length - running.length === 1 ? 'is' : 'are'} ready.`,
    ),
    process: json(first?.process.address),
    image,
    since: { minSeconds: 0, maxSeconds: lifeSeconds, reason: 'CPU time is a lifetime sum of each thread' },
    evidence: evidence.items,
    assumptions: [
      'the time was used recently, not early in the life of the threads',
      ...(coupled ? ['processes of one image do one thing together'] : []),
    ],
    wouldChange: ['a second dump of the same boot in which these times have not grown, or one of them alone has'],
    downstream: [`whoever waits for ${list(named(active.map(({ thread }) => thread)))}`],
  };
}

function halfOf({ threads, seconds }: Group): number {
  let sum = 0;
  let count = 0;
  for (const share of threads) {
    if (sum * 2 >= seconds) break;
    sum += share.seconds;
    count++;
  }
  return count;
}

/** Null of CurrentRunTime is no news; where the build has it, it decides. */
function justWoken(active: readonly ThreadShare[]): boolean {
  const known = active.filter(({ cpu }) => cpu.cycleSeconds !== null);
  return known.length > 0 && known.every(({ cpu }) => (cpu.recentSeconds ?? 0) < JUST_WOKEN_SECONDS);
}

function named(threads: readonly Thread[]): readonly string[] {
  const names = threads.slice(0, MAX_NAMED).map((thread) => `thread ${thread.address.toString(16)}`);
  return threads.length > MAX_NAMED ? [...names, `${threads.length - MAX_NAMED} more`] : names;
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
