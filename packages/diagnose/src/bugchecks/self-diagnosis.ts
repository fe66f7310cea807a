/** Self-Diagnosis (kernel): the system stopped itself and its bug check says what it found. One reader a code. */
import { type Diagnosis, definePattern, type Pattern } from '../engine/diagnosis.ts';
import { json } from '../engine/words.ts';
import { isManualCode } from '../facts/dump-taker.ts';
import { toolRequest } from '../facts/tool-request.ts';
import { blankFinding } from '../report/blank.ts';
import type { Finding } from '../report/report.ts';
import { dpcWatchdog } from './codes/dpc-watchdog.ts';
import { clockWatchdog, ipiWatchdog } from './codes/hung-processor.ts';
import { kernelTrap } from './codes/kernel-trap.ts';
import { memoryManagement } from './codes/memory-management.ts';
import { objectReference } from './codes/object-reference.ts';
import { exception, nmi, otherCode, powerButton, requested } from './codes/other-codes.ts';
import { powerState } from './codes/power-state.ts';
import type { Reader } from './codes/reading.ts';
import { securityCheck } from './codes/security-check.ts';
import { stuckThread } from './codes/stuck-thread.ts';
import { verifier } from './codes/verifier.ts';
import { parameterEvidence } from './fault-evidence.ts';
import { clearedIdle } from './fault-finding.ts';
import { faultShape } from './fault-shapes.ts';
import { faultView } from './fault-view.ts';
import { stackOverflowAt } from './stack-overflow-at.ts';

const readers: ReadonlyMap<number, Reader> = new Map<number, Reader>([
  [0x18, objectReference],
  [0x1a, memoryManagement],
  [0x7f, kernelTrap],
  [0x80, nmi],
  [0x9f, powerState],
  [0xc4, verifier],
  [0xea, stuckThread],
  [0x101, clockWatchdog],
  [0x133, dpcWatchdog],
  [0x139, securityCheck],
  [0x1c8, powerButton],
  [0x1db, ipiWatchdog],
  [0x69696969, requested],
  [0xdeaddead, requested],
]);

export const selfDiagnosis: Pattern = definePattern({
  id: 'self-diagnosis',
  title: 'Self-Diagnosis (kernel)',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const { bugcheck } = target;
    if (bugcheck === null) return [];
    const code = bugcheck.baseCode;
    // 80 with other parameters than a dump switch's is a failure and no request.
    if (isManualCode(code) && code !== 0x80) return [];
    // Faults of addresses and overflows of stacks have patterns of their own.
    if (diagnosis.fact(faultView) !== null || diagnosis.fact(stackOverflowAt) !== null) return [];
    // The driver that raised a tool's own code is no culprit: manual-dump says so.
    if (!readers.has(code) && diagnosis.fact(toolRequest) !== null) return [];
    const reader = readers.get(code) ?? (faultShape(code) === null ? otherCode : exception);
    const evidence = diagnosis.evidence('bugcheck');
    parameterEvidence(target, evidence);
    const reading = reader(diagnosis, evidence);
    if (reading === null) return [];
    const own = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
    const number = reading.processor === undefined ? (own?.number ?? null) : reading.processor;
    const thread = reading.thread === undefined ? (own?.currentThread ?? null) : reading.thread;
    const owner = thread === null ? null : target.thread(thread);
    const process = owner?.process ?? owner?.owningProcess ?? null;
    return [
      {
        ...blankFinding(
          'self-diagnosis',
          reading.verdict,
          reading.confidence,
          reading.title,
          reading.summary.join(' '),
        ),
        processor: number,
        thread: json(thread),
        process: json(process),
        image: process === null ? null : (target.process(process)?.image ?? null),
        since: reading.since ?? null,
        blame: reading.blame ?? [],
        cleared: [...(reading.cleared ?? []), ...clearedIdle(diagnosis)],
        evidence: evidence.items,
        assumptions: reading.assumptions ?? [],
        wouldChange: reading.wouldChange ?? [],
        downstream: reading.downstream ?? [],
      },
    ];
  },
});
