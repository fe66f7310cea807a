import type { Target } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { address, list } from '../../engine/words.ts';
import { dumpTaker } from '../../facts/dump-taker.ts';
import { toolRequest } from '../../facts/tool-request.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** 'NMI' as the parameter that the NMI handler passes ("OD" and a T: 004f4454), Manual Dump page, part 41a. */
const NMI_MARK = 0x4f4454n;

export const manualDump: Pattern = definePattern({
  id: 'manual-dump',
  title: 'Manual Dump',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { target } = diagnosis;
    const bugcheck = target.bugcheck;
    if (bugcheck === null) return [];
    const code = bugcheck.baseCode;
    const how =
      code === 0xe2
        ? 'on request'
        : code === 0x80 && bugcheck.parameters[0] === NMI_MARK
          ? 'by a non-maskable interrupt'
          : code === 0x161
            ? 'of the running system'
            : null;
    if (how === null) return byTool(diagnosis);
    const evidence = diagnosis.evidence('manual');
    evidence.fact(
      `bugcheck ${code.toString(16)}${bugcheck.name === null ? '' : ` ${bugcheck.name}`} is raised by whoever asks for a dump, not by a fault`,
      'true',
      '.bugcheck',
      'dump header',
    );
    const set = bugcheck.parameters.some((value) => value !== 0n);
    if (code === 0xe2)
      evidence.fact(
        set
          ? 'its parameters are set: the keyboard driver passes zeros, some tools do not'
          : 'its parameters are zero, as the keyboard driver passes them',
        'true',
        '.bugcheck',
        'dump header',
      );
    const taker = diagnosis.fact(dumpTaker);
    const cleared: { what: string; reason: string }[] = [];
    let by = '';
    if (taker !== null) {
      const at = address(target, taker.trapFrame);
      evidence.memory(
        `the bugcheck was raised in an interrupt; the interrupted code is behind the trap frame ${at}`,
        'true',
        taker.trapFrame,
        target.pointerSize === 4 ? 0x8c : 0x40,
        `.trap ${taker.trapFrame.toString(16)}`,
      );
      for (const driver of taker.drivers) {
        cleared.push({
          what: driver.name,
          reason: `only took the dump: its frames lie between the bugcheck and the trap frame ${at}`,
        });
      }
      if (taker.drivers.length > 0) by = `, through ${list(taker.drivers.map((driver) => driver.name))}`;
    }
    const finding = blankFinding(
      'manual-dump',
      null,
      'proven',
      `The dump was taken ${how}${by}`,
      `Bugcheck ${code.toString(16)} says that somebody wanted to see this state: a hang is being investigated. The trigger is no culprit; ${suspects(target)}.`,
    );
    return [{ ...finding, processor: taker?.processor.number ?? null, cleared, evidence: evidence.items }];
  },
});

/** A code that is none of Windows', raised by a driver on behalf of user mode. */
function byTool(diagnosis: Diagnosis): readonly Finding[] {
  const request = diagnosis.fact(toolRequest);
  const { target } = diagnosis;
  if (request === null || target.bugcheck === null) return [];
  const { driver, frame, processor, fromUserMode } = request;
  const code = target.bugcheck.baseCode.toString(16);
  const evidence = diagnosis.evidence('manual');
  evidence.fact(
    `bugcheck ${code} is none that Windows raises from a check of its own, and its parameters are zero`,
    'true',
    '.bugcheck',
    'dump header',
  );
  evidence.memory(
    `${target.nameOf(frame.pc).text} called for it: nothing was interrupted and nothing faulted`,
    'true',
    frame.pc - 8n,
    8,
    'k',
  );
  evidence.fact(
    fromUserMode ? 'it ran in a system call of user mode' : 'whether user mode asked it to is not on the stack',
    fromUserMode ? 'true' : 'undetermined',
    'k',
    'stack walk',
  );
  return [
    {
      ...blankFinding(
        'manual-dump',
        null,
        fromUserMode ? 'likely' : 'possible',
        `The dump was taken on request, through ${driver.name}`,
        `Bugcheck ${code} with zero parameters, raised by a driver ${fromUserMode ? 'in a system call' : 'by itself'}, is how tools take a dump under a code of their own. The trigger is no culprit; ${suspects(target)}.`,
      ),
      processor: processor.number,
      cleared: [{ what: driver.name, reason: 'only took the dump: it was asked to, and nothing had failed' }],
      evidence: evidence.items,
      assumptions: ['the driver raises this code when it is asked to, and not because it found something wrong'],
      wouldChange: ['an exception, or parameters that say what the driver found'],
    },
  ];
}

/** Processors that are not in the dump are suspects like those that are. */
function suspects(target: Target): string {
  const count = Math.max(target.processors.length, Math.min(target.dump.header.numberProcessors, 2048));
  return count > 1 ? `all ${count} processors are suspects` : 'the one processor is the suspect';
}
