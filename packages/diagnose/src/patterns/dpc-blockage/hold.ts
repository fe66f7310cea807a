/** Why the DPCs of a processor do not run, and how long that has lasted. */
import type { Processor } from '@dumpscope/debugger';
import type { Member } from '../../bugchecks/kernel-struct.ts';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { clock, count, plural } from '../../engine/words.ts';
import { countedTicks, type DpcState, HELD_SECONDS, lasts, type TickCount } from '../../facts/dpc-state.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { spinFindings } from '../dispatch-level-spin/rule.ts';

export interface Hold {
  readonly verdict: 'long-dpc' | 'raised-irql';
  readonly confidence: Confidence;
  /** `processor 1 runs one DPC for 20.000 s`. */
  readonly why: string;
  readonly since: Finding['since'];
  /** The spin on this processor that this is downstream of. */
  readonly spin: Finding | null;
  readonly assumptions: readonly string[];
}

/** Null where the queue can drain, where nothing shows that it could not for long, or where that cannot be read. */
export function holdOf(diagnosis: Diagnosis, state: DpcState, evidence: Evidence): Hold | null {
  const { processor } = state;
  if (processor.idle === true) return null;
  const spin = spinOn(diagnosis, processor);
  if (processor.dpcRoutineActive === true) {
    const ran = countedTicks(diagnosis, state.dpcTicks, state.dpcLimit);
    if (spin === null && !lasts(ran)) return null;
    tickEvidence(evidence, 'in the DPC that runs', state.dpcTicks, state.dpcLimit, ran);
    return hold(diagnosis, state, 'long-dpc', ran, spin);
  }
  const above = countedTicks(diagnosis, state.dispatchTicks, state.dispatchLimit);
  const level = processor.irql?.level ?? null;
  // A recorded level below DISPATCH_LEVEL: DPCs run at the next chance, whatever the count was.
  if (level !== null && level < 2 && processor.irql?.kind === 'exact') return null;
  if (spin === null && !lasts(above)) return null;
  tickEvidence(evidence, 'in a row at DISPATCH_LEVEL or above', state.dispatchTicks, state.dispatchLimit, above);
  return hold(diagnosis, state, 'raised-irql', above, spin);
}

/** A spin that is known to go on, at DISPATCH_LEVEL or above; one that may have begun just now holds up nobody. */
function spinOn(diagnosis: Diagnosis, processor: Processor): Finding | null {
  return (
    diagnosis
      .fact(spinFindings)
      .find(
        (finding) =>
          finding.processor === processor.number &&
          finding.verdict !== 'transient' &&
          finding.verdict !== 'undetermined' &&
          (finding.since?.maxSeconds ?? HELD_SECONDS) >= HELD_SECONDS,
      ) ?? null
  );
}

function tickEvidence(
  evidence: Evidence,
  what: string,
  ticks: Member | null,
  limit: Member | null,
  counted: TickCount | null,
): void {
  if (ticks !== null)
    evidence.memory(
      counted === null
        ? `ticks ${what}`
        : `${plural(counted.ticks, 'tick')}${counted.seconds === null ? '' : ` = ${clock(counted.seconds)}`} ${what}`,
      'true',
      ticks.address,
      ticks.size,
    );
  if (limit !== null && counted?.limit != null)
    evidence.memory(
      counted.limit === 0
        ? 'the watchdog has no limit (0): it is turned off'
        : `the watchdog allows ${plural(counted.limit, 'tick')}${counted.over ? ', which are over' : ''}`,
      'true',
      limit.address,
      limit.size,
    );
}

function hold(
  diagnosis: Diagnosis,
  state: DpcState,
  verdict: Hold['verdict'],
  ran: TickCount | null,
  spin: Finding | null,
): Hold {
  const { processor } = state;
  const n = processor.number;
  const long = lasts(ran);
  const stale = processor.contextTrust === 'stale' || processor.contextTrust === 'missing';
  const assumptions: string[] = [];
  let confidence: Confidence = long ? 'strong' : spin !== null && isSure(spin) ? 'strong' : 'likely';
  // 5.1 has no limit beside its count, and only the count says that the DPC is one and the same.
  if (long && ran?.limit === null && spin === null) confidence = 'likely';
  if (stale) {
    confidence = 'likely';
    assumptions.push(`processor ${n} is still what its KPRCB shows: its context is ${processor.contextTrust}`);
  }
  const time = long && ran?.seconds != null ? ` for ${clock(ran.seconds)}` : '';
  const routine = state.running === null ? '' : ` (${diagnosis.target.nameOf(state.running.routine).text})`;
  const raised = processor.irql === null ? '' : ` ${processor.irql.level}`;
  if (verdict === 'raised-irql' && processor.irql === null && !long)
    assumptions.push('whoever waits for a spin lock is at DISPATCH_LEVEL or above: the level itself is not recorded');
  return {
    verdict,
    confidence,
    why:
      verdict === 'long-dpc'
        ? `processor ${n} runs one DPC${routine}${time}, and DPCs run one after the other`
        : `processor ${n} stays at IRQL${raised === '' ? ' 2 or above' : raised} in a thread${time}, and DPCs run only below DISPATCH_LEVEL`,
    since:
      long && ran?.seconds != null && ran.ticks > 0
        ? {
            minSeconds: ((ran.ticks - 1) / ran.ticks) * ran.seconds,
            maxSeconds: verdict === 'long-dpc' ? ((ran.ticks + 1) / ran.ticks) * ran.seconds : null,
            reason: `the clock counted ${count(ran.ticks)} ticks`,
          }
        : (spin?.since ?? null),
    spin,
    assumptions,
  };
}

function isSure(finding: Finding): boolean {
  return finding.confidence === 'proven' || finding.confidence === 'strong';
}
