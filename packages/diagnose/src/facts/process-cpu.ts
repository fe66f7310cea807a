/** CPU time of the threads of each process, over the time that the process has lived. */
import type { Process, Thread } from '@dumpscope/debugger';
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { type CpuTime, cpuSeconds, cpuTime, uptimes } from './cpu-time.ts';
import { threadTimes } from './times.ts';

export interface ThreadShare {
  readonly thread: Thread;
  readonly cpu: CpuTime;
  readonly seconds: number;
  /** Runs, or would if a processor were free. */
  readonly active: 'running' | 'ready' | null;
  /** Its last wait began within the last second: it has run until then. */
  readonly recent: boolean;
}

export interface ProcessCpu {
  readonly process: Process;
  /** Highest first; threads that used nothing are left out. */
  readonly threads: readonly ThreadShare[];
  readonly seconds: number;
  /** Since the process was created, at most the uptime. */
  readonly lifeSeconds: number;
}

const READY: ReadonlySet<number | null> = new Set([1, 3, 7]);
const RECENT_SECONDS = 1;

/** Idle threads are left out: their time is idling. Time in DPCs and interrupts is charged to processors, not here. */
export const processCpu: FactKey<readonly ProcessCpu[]> = defineFact(
  'CPU time of processes',
  (diagnosis: Diagnosis) => {
    const { target } = diagnosis;
    const uptime = Math.max(0, ...diagnosis.fact(uptimes).map(({ seconds }) => seconds));
    if (uptime <= 0) return [];
    const idle = new Set(target.processors.map((processor) => processor.idleThreadAddress));
    const running = new Set(target.processors.map((processor) => processor.currentThread));
    const byProcess = new Map<bigint, ThreadShare[]>();
    for (const thread of target.threads()) {
      const owner = thread.owningProcess;
      if (owner === null || idle.has(thread.address)) continue;
      const cpu = cpuTime(diagnosis, thread);
      const seconds = cpu === null ? 0 : cpuSeconds(cpu);
      if (cpu === null || seconds <= 0) continue;
      const active = running.has(thread.address) ? 'running' : READY.has(thread.state) ? 'ready' : null;
      const { ticksSinceWait, tickSeconds } = threadTimes(diagnosis, thread);
      const recent = ticksSinceWait !== null && ticksSinceWait * (tickSeconds ?? 0) <= RECENT_SECONDS;
      const shares = byProcess.get(owner);
      const share = { thread, cpu, seconds, active, recent } as const;
      if (shares === undefined) byProcess.set(owner, [share]);
      else shares.push(share);
    }
    return [...byProcess].flatMap(([address, threads]) => {
      const process = target.process(address);
      if (process === null) return [];
      threads.sort((a, b) => b.seconds - a.seconds);
      const seconds = threads.reduce((sum, share) => sum + share.seconds, 0);
      return [{ process, threads, seconds, lifeSeconds: lifeOf(process, target.time.systemTime, uptime) }];
    });
  },
);

/** EPROCESS.CreateTime, a FILETIME; the uptime where it is not recorded or says more. */
function lifeOf(process: Process, now: bigint | null, uptime: number): number {
  const created = process.field('CreateTime');
  if (created === null || created === 0n || now === null || created >= now) return uptime;
  return Math.min(uptime, Number(now - created) / 1e7);
}
