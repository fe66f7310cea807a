import type { Thread } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { clock, count, json, plural } from '../../engine/words.ts';
import { threadTimes } from '../../facts/times.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** Less CPU time than this is no spike, whatever its share of a young system. */
const MIN_SECONDS = 10;
/** Share of the uptime; the pattern's own page shows a real-time spike at 24.7 % of one processor. */
const MIN_SHARE = 0.15;
/** Share of the time since its last wait began that a thread must have run to count as never letting go. */
const BUSY_SHARE = 0.9;

const RUNNING = 2;
const READY = 1;

/** CPU time is a lifetime sum: only a thread that runs or is ready now can be the spike of this snapshot. */
export const spikingThread: Pattern = definePattern({
  id: 'spiking-thread',
  title: 'Spiking Thread',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    // The idle threads' KernelTime is idling.
    const idle = new Set(target.processors.map((processor) => processor.idleThreadAddress));
    const running = new Map(target.processors.map((processor) => [processor.currentThread, processor.number]));
    const findings: Finding[] = [];
    for (const thread of target.threads()) {
      if (idle.has(thread.address)) continue;
      const processor = running.get(thread.address) ?? null;
      if (processor === null && thread.state !== RUNNING && thread.state !== READY) continue;
      const finding = judge(diagnosis, thread, processor);
      if (finding !== null) findings.push(finding);
    }
    return findings;
  },
});

function judge(diagnosis: Diagnosis, thread: Thread, processor: number | null): Finding | null {
  const { target } = diagnosis;
  const times = threadTimes(diagnosis, thread);
  if (times.tickSeconds === null || times.kernelTicks === null || times.userTicks === null) return null;
  const ticks = times.kernelTicks + times.userTicks;
  const seconds = ticks * times.tickSeconds;
  if (seconds < MIN_SECONDS) return null;
  const uptime = target.time.uptime === null ? null : Number(target.time.uptime) / 1e7;
  const share = uptime === null || uptime <= 0 ? null : seconds / uptime;
  const sinceWait = times.ticksSinceWait === null ? null : times.ticksSinceWait * times.tickSeconds;
  // More CPU time than has passed since the wait was charged before it: then the sum says nothing about now.
  const letsGo = sinceWait === null || sinceWait < MIN_SECONDS || ticks < (times.ticksSinceWait ?? 0) * BUSY_SHARE;
  if (letsGo && (share === null || share < MIN_SHARE)) return null;
  const evidence = diagnosis.evidence('spike');
  const show = `!thread ${thread.address.toString(16)}`;
  const used = `${clock(times.kernelTicks * times.tickSeconds)} in the kernel and ${clock(times.userTicks * times.tickSeconds)} in user mode`;
  const at = thread.fieldAddress('Tcb.KernelTime') ?? thread.fieldAddress('KernelTime');
  const claim = `thread ${thread.address.toString(16)} has used ${used}${share === null ? '' : `: ${(share * 100).toFixed(1)} % of one processor since the system started (${clock(uptime ?? 0)})`}`;
  if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD');
  else evidence.memory(claim, 'true', at, 4, show);
  if (sinceWait !== null && !letsGo) {
    evidence.fact(
      `its last wait began ${count(times.ticksSinceWait ?? 0)} ticks = ${clock(sinceWait)} ago; it has run nearly all of that time`,
      'true',
      show,
      '_KTHREAD.WaitTime',
    );
  }
  if (thread.contextSwitches !== null) {
    evidence.fact(
      `${plural(thread.contextSwitches, 'context switch', 'context switches')} in its life: ${thread.contextSwitches < 1000 ? 'few, it rarely lets go' : 'many, it runs in slices'}`,
      'true',
      show,
      '_KTHREAD.ContextSwitches',
    );
  }
  const process = thread.process ?? thread.owningProcess;
  const where = processor === null ? 'ready' : `running on processor ${processor}`;
  return {
    ...blankFinding(
      'spiking-thread',
      null,
      letsGo ? 'likely' : 'strong',
      `Thread ${thread.address.toString(16)} consumes CPU: ${clock(seconds)}`,
      `The thread is ${where} and has used ${used}. CPU time is a lifetime sum, so it bounds the spike.${processor === null || letsGo ? '' : ' If its processor is in a Dispatch Level Spin, this is what that looks like from the outside.'}`,
    ),
    processor,
    thread: json(thread.address),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    since: {
      minSeconds: 0,
      maxSeconds: letsGo ? seconds : Math.min(seconds, (sinceWait ?? seconds) + times.tickSeconds),
      reason: 'CPU time charged to the thread, a lifetime sum',
    },
    evidence: evidence.items,
    assumptions: letsGo
      ? ['the time was used recently, not early in the life of the thread']
      : ['little of it was used before the last wait'],
    wouldChange: ['a second dump of the same boot in which the times have not grown'],
  };
}
