import type { Module } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { parametersOf, type Reading } from './reading.ts';
import { bugcheckRegisters, culpritOn } from './stack-culprit.ts';
import { verifierKind } from './verifier-kinds.ts';

/** VerifierExt and Driver Verifier's own images only report. */
function isVerifier(module: Module): boolean {
  return /^(verifierext|vfntlmless|xdv|ndisverif|ddiwdm)/i.test(module.imageName);
}

/** 0xC4 DRIVER_VERIFIER_DETECTED_VIOLATION. */
export function verifier(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [first, ...rest] = parametersOf(diagnosis);
  const kind = Number(first & 0xffffffffn);
  const known = verifierKind(kind);
  const details = (known?.parameters ?? ['', '', ''])
    .map((label, i) => (label === '' ? null : `${label} ${(rest[i] ?? 0n).toString(16)}`))
    .filter((text): text is string => text !== null);
  evidence.fact(
    `kind ${kind.toString(16)}: ${known === null ? (kind >= 0x20000 ? 'a DDI compliance rule' : 'not in the table') : `the driver ${known.what}`}${details.length === 0 ? '' : ` (${details.join(', ')})`}`,
    known === null ? 'undetermined' : 'true',
    '.bugcheck',
    'bug check parameters',
  );
  // A parameter that lies in an image names the driver by itself.
  const named = rest
    .map((value) => target.moduleAt(value))
    .find((module) => module !== undefined && module !== target.kernel);
  const culprit = culpritOn(diagnosis, bugcheckRegisters(diagnosis), evidence, 'violator', {
    skip: isVerifier,
    what: 'nt, hal and Driver Verifier',
  });
  const blame =
    named !== undefined && !culprit.blame.some((item) => item.module === named.name)
      ? [
          {
            module: named.name,
            function: null,
            role: 'violator',
            reason: 'a parameter of the bug check is an address in its image',
          },
          ...culprit.blame,
        ]
      : culprit.blame;
  const who = blame[0]?.module ?? 'A driver under verification';
  return {
    verdict: 'verifier',
    confidence: 'strong',
    title: `Driver Verifier: ${who} ${known?.what ?? `broke rule ${kind.toString(16)}`}`,
    summary: [
      `Driver Verifier stopped the system at the moment of the violation: ${known === null ? `rule ${kind.toString(16)}` : `a driver ${known.what}`}${details.length === 0 ? '' : ` (${details.join(', ')})`}.`,
      'The stack is that of the driver in the act, unlike that of a crash which follows later.',
    ],
    blame,
    wouldChange: ['another driver between the kernel and the violation'],
  };
}
