import type { Processor, Thread } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { argument, clock, count, json, plural } from '../../engine/words.ts';
import { type CpuTime, cpuSeconds, cpuTime, shareText, uptimes, uptimeText } from '../../facts/cpu-time.ts';
import { processCpu } from '../../facts/process-cpu.ts';
import { threadTimes } from '../../facts/times.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Confidence, Finding } from '../../report/report.ts';

/** Less CPU time than this is no spike, whatever its share of a young system. */
const MIN_SECONDS = 10;
/** Share of the uptime; the pattern's own page shows a real-time spike at 24.7 % of one processor. */
const MIN_SHARE = 0.15;
/** Share of the time since its last wait began that a thread must have run to count as never letting go. */
const BUSY_SHARE = 0.9;
/** A thread cannot run longer than the system; ticks are charged whole. */
const IMPOSSIBLE_SHARE = 1.02;

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
    const running = new Map(target.processors.map((processor) => [processor.currentThread, processor]));
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

function judge(diagnosis: Diagnosis, thread: Thread, processor: Processor | null): Finding | null {
  const { target } = diagnosis;
  const times = threadTimes(diagnosis, thread);
  const cpu = cpuTime(diagnosis, thread);
  if (cpu === null || times.tickSeconds === null) return null;
  const seconds = cpuSeconds(cpu);
  if (seconds < MIN_SECONDS) return null;
  const known = diagnosis.fact(uptimes);
  const longest = Math.max(0, ...known.map((uptime) => uptime.seconds));
  const shares = known.map((uptime) => seconds / uptime.seconds);
  const share = shares.length === 0 ? null : Math.max(...shares);
  const sinceWait = times.ticksSinceWait === null ? null : times.ticksSinceWait * times.tickSeconds;
  // For a ready thread WaitTime dates the readiness: since then it has not run. For one that runs, little CPU time beside
  // the time since the wait means that it let go.
  const runs = processor !== null || thread.state === RUNNING;
  const stays =
    (runs && sinceWait !== null && sinceWait >= MIN_SECONDS && seconds >= sinceWait * BUSY_SHARE) ||
    (cpu.recentSeconds ?? 0) >= MIN_SECONDS;
  if (!stays && (share === null || share < MIN_SHARE)) return null;
  const impossible = longest > 0 && seconds > longest * IMPOSSIBLE_SHARE + 1;
  // A DPC runs over the thread now; its time is charged to the processor, and the thread may have nothing to do with it.
  const inDpc = processor?.dpcRoutineActive === true;
  const evidence = diagnosis.evidence('spike');
  const used = `${clock(cpu.kernelSeconds)} in the kernel and ${clock(cpu.userSeconds)} in user mode`;
  describe(diagnosis, thread, cpu, evidence, `has used ${used}`);
  const show = `!thread ${argument(target, thread.address)}`;
  if (stays && sinceWait !== null)
    evidence.fact(
      `its last wait began ${count(times.ticksSinceWait ?? 0)} ticks = ${clock(sinceWait)} ago; it has run nearly all of that time`,
      'true',
      show,
      '_KTHREAD.WaitTime',
    );
  if (impossible)
    evidence.fact(
      `that is more than the system has been up (${uptimeText(known)}): one of the two is not what it should be`,
      'false',
      show,
      '_KTHREAD.KernelTime, UserTime and the uptime',
    );
  const whole = diagnosis.fact(processCpu).find(({ process }) => process.address === thread.owningProcess);
  if (whole !== undefined && whole.threads.length > 1 && whole.seconds > 0)
    evidence.fact(
      `that is ${((seconds / whole.seconds) * 100).toFixed(0)} % of what the ${count(whole.threads.length)} threads of its process have used that used anything`,
      'true',
      '!process 0 2',
      '_KTHREAD.KernelTime, UserTime, CycleTime',
    );
  if (inDpc)
    evidence.fact(
      `a DPC runs over it on processor ${processor.number}: what runs now is not charged to the thread`,
      'true',
      `~${processor.number}s; k`,
      'KPRCB.DpcRoutineActive',
    );
  const process = thread.process ?? thread.owningProcess;
  const where = processor === null ? 'ready' : `running on processor ${processor.number}`;
  const confidence: Confidence = impossible || (inDpc && !stays) ? 'possible' : stays ? 'strong' : 'likely';
  return {
    ...blankFinding(
      'spiking-thread',
      null,
      confidence,
      `Thread ${thread.address.toString(16)} consumes CPU: ${clock(seconds)}`,
      `The thread is ${where} and has used ${used}${known.length === 0 ? '' : `: ${shareText(seconds, known)} of one processor`}. CPU time is a lifetime sum, so it bounds the spike.${processor === null || !stays ? '' : ' If its processor is in a Dispatch Level Spin, this is what that looks like from the outside.'}`,
    ),
    processor: processor?.number ?? null,
    thread: json(thread.address),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    since: {
      minSeconds: 0,
      maxSeconds: stays ? Math.min(seconds, (sinceWait ?? seconds) + times.tickSeconds) : seconds,
      reason: 'CPU time charged to the thread, a lifetime sum',
    },
    evidence: evidence.items,
    assumptions: stays
      ? ['little of it was used before the last wait']
      : ['the time was used recently, not early in the life of the thread'],
    wouldChange: ['a second dump of the same boot in which the times have not grown'],
  };
}

/** What a thread has used, by ticks and cycles, as items of evidence. */
function describe(diagnosis: Diagnosis, thread: Thread, cpu: CpuTime, evidence: Evidence, text: string): void {
  const { target } = diagnosis;
  const known = diagnosis.fact(uptimes);
  const seconds = cpuSeconds(cpu);
  const show = `!thread ${argument(target, thread.address)}`;
  const at = thread.fieldAddress('KernelTime');
  const claim = `thread ${thread.address.toString(16)} ${text}${known.length === 0 ? '' : `: ${shareText(seconds, known)} of one processor since the system started (${uptimeText(known)})`}`;
  if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD');
  else evidence.memory(claim, 'true', at, 4, show);
  const cycles = thread.fieldAddress('CycleTime');
  if (cpu.cycleSeconds !== null && cycles !== null)
    evidence.memory(`by its cycles it has run ${clock(cpu.cycleSeconds)}`, 'true', cycles, 8, show);
  const recent = thread.fieldAddress('CurrentRunTime');
  if (cpu.recentSeconds !== null && recent !== null)
    evidence.memory(
      `since it last waited it has run ${cpu.recentAtLeast ? 'at least ' : ''}${clock(cpu.recentSeconds)} by its cycles`,
      'true',
      recent,
      4,
      show,
    );
  if (thread.contextSwitches !== null)
    evidence.fact(
      `${plural(thread.contextSwitches, 'context switch', 'context switches')} in its life: ${thread.contextSwitches < 1000 ? 'few, it rarely lets go' : 'many, it runs in slices'}`,
      'true',
      show,
      '_KTHREAD.ContextSwitches',
    );
}
