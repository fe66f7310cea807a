import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { clock } from '../../engine/words.ts';
import { exceptionText, IN_PAGE_ERROR } from '../exception-names.ts';
import { faultContext } from '../fault-context.ts';
import { levelEvidence, recordEvidence, stackEvidence } from '../fault-evidence.ts';
import { instructionText, pcEvidenceCommand, siteOf } from '../fault-text.ts';
import { blameFrame, firstOutside, foundBy, isKernelOrHal } from '../frames.ts';
import { parametersOf, type Reading } from './reading.ts';
import { culpritOn } from './stack-culprit.ts';

/** Exceptions under 0x1E, 0x3B, 0x7E and their kin that are no matter of addresses: division, breakpoint, failed read of a page. */
export function exception(diagnosis: Diagnosis, evidence: Evidence): Reading | null {
  const { target } = diagnosis;
  const fault = diagnosis.fact(faultContext);
  if (fault === null) return null;
  recordEvidence(target, fault, evidence);
  if (fault.instruction !== null && fault.pc !== null)
    evidence.memory(
      `the instruction at ${siteOf(target, fault)} is ${instructionText(target, fault.instruction)}`,
      'true',
      fault.pc,
      fault.instruction.length,
      pcEvidenceCommand(target, fault.pc),
    );
  levelEvidence(target, fault, evidence);
  stackEvidence(target, fault, evidence);
  const status = fault.status;
  const what = status === null ? 'an exception whose code was not recorded' : exceptionText(status);
  const module = fault.pc === null ? undefined : target.moduleAt(fault.pc);
  const frame = firstOutside(target, fault.frames);
  const blame =
    module !== undefined && !isKernelOrHal(target, module)
      ? [
          {
            module: module.name,
            function: target.nameOf(fault.pc ?? 0n).text,
            role: 'faulting code',
            reason: 'the instruction that raised the exception is its own, by the captured context',
          },
        ]
      : frame === null
        ? []
        : [blameFrame(target, frame, 'caller', `first frame outside the kernel; ${foundBy(fault.frames, frame)}`)];
  const story =
    status === 0x80000003
      ? 'A breakpoint or assertion was met with no debugger attached.'
      : status === IN_PAGE_ERROR
        ? `A page could not be read in (status ${(fault.exception?.information[2] ?? 0n).toString(16)}): the disk, its driver or the page file, not the code.`
        : status === 0xc000001d
          ? 'The bytes there are no instruction that this processor has: damaged code, or a processor without that extension.'
          : status === 0xc0000094
            ? 'The divisor was 0.'
            : 'Nothing handled it.';
  return {
    verdict: status === IN_PAGE_ERROR ? 'in-page-error' : status === 0x80000003 ? 'breakpoint' : 'exception',
    confidence: fault.exception !== null ? 'proven' : 'strong',
    title: `${siteOf(target, fault)} raised ${what}`,
    summary: [
      `${fault.processor === null ? 'The processor' : `Processor ${fault.processor.number}`} raised ${what} ${fault.instruction === null ? 'at' : `by \`${instructionText(target, fault.instruction)}\` at`} ${siteOf(target, fault)}.`,
      story,
    ],
    blame,
    wouldChange: ['an exception record with another code'],
  };
}

/** 0x80 NMI_HARDWARE_FAILURE that nobody asked for: the one with the mark of a dump switch is manual-dump's. */
export function nmi(diagnosis: Diagnosis, evidence: Evidence): Reading | null {
  const [first] = parametersOf(diagnosis);
  if (first === 0x4f4454n) return null;
  evidence.fact(
    'the first parameter is not the mark of a dump switch (4f4454)',
    'true',
    '.bugcheck',
    'bug check parameter 1',
  );
  return {
    verdict: 'nmi',
    confidence: 'likely',
    title: 'A non-maskable interrupt that no driver claimed',
    summary: [
      'Hardware raised an NMI: memory parity, a bus error, a chipset watchdog, or a management controller. What the processors were executing has nothing to do with it.',
    ],
    blame: [],
    cleared: [{ what: 'the interrupted code', reason: 'an NMI comes from outside of it' }],
    wouldChange: [
      'an error record of the platform (WHEA, management controller log)',
      'a button or watchdog that is set to dump',
    ],
  };
}

/** 0x1C8: the power button was held; 7000 ms on the real dump. */
export function powerButton(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const [time] = parametersOf(diagnosis);
  const held = time >= 1000n && time < 3_600_000n ? ` for ${clock(Number(time) / 1000)}` : '';
  evidence.fact(
    `parameter 1 is ${time.toString(16)}: milliseconds that the button was held`,
    held === '' ? 'undetermined' : 'true',
    '.bugcheck',
    'bug check parameter 1',
  );
  return {
    verdict: 'power-button',
    confidence: 'strong',
    title: `Somebody held the power button${held}`,
    summary: [
      'The dump was forced by the power button: to whoever held it the system did not respond. No code faulted; what the processors and threads waited for is the question.',
    ],
    blame: [],
    wouldChange: [],
  };
}

/** 0xDEADDEAD and the code of a well-known tool (69696969, Manual Dump page, part 41a): asked for, by other means than E2. */
export function requested(_diagnosis: Diagnosis, evidence: Evidence): Reading {
  evidence.fact('the code is one that tools raise to get a dump', 'true', '.bugcheck', 'dump header');
  return {
    verdict: 'requested',
    confidence: 'strong',
    title: 'Somebody asked for this dump',
    summary: ['The code is one that tools raise on request: nothing faulted, and who raised it is no culprit.'],
    blame: [],
    wouldChange: [],
  };
}

/** Any other code: what its parameters mean, and who called KeBugCheckEx. */
export function otherCode(diagnosis: Diagnosis, evidence: Evidence): Reading | null {
  const { target } = diagnosis;
  const { bugcheck } = target;
  if (bugcheck === null) return null;
  bugcheck.meanings.forEach((meaning, i) => {
    if (meaning !== null)
      evidence.fact(
        `parameter ${i + 1}, ${(bugcheck.parameters[i] ?? 0n).toString(16)}: ${meaning}`,
        'true',
        '.bugcheck',
        'dump header',
      );
  });
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking') ?? null;
  const culprit = culpritOn(diagnosis, processor?.registers ?? null, evidence, 'on the stack');
  const name = bugcheck.name ?? `bug check ${bugcheck.baseCode.toString(16)}`;
  const at = culprit.frame === null ? null : target.nameOf(culprit.frame.pc).text;
  return {
    verdict: 'reported',
    confidence: 'possible',
    title: `The system stopped itself: ${name} (${bugcheck.baseCode.toString(16)})`,
    summary: [
      'The bug check was raised by a check of the code, not by a fault; its parameters are all that says why.',
      at !== null
        ? `The first frame outside the kernel is ${at}.`
        : culprit.walked
          ? 'No driver is on the stack of that processor.'
          : 'The stack of that processor could not be walked to its start: whether a driver is on it is not known.',
    ],
    blame: culprit.blame,
    wouldChange: [],
  };
}
