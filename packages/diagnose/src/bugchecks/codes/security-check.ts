import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, json } from '../../engine/words.ts';
import type { Finding } from '../../report/report.ts';
import { type Fault, readFault } from '../fault-context.ts';
import { levelEvidence, recordEvidence, stackEvidence } from '../fault-evidence.ts';
import { instructionText, pcEvidenceCommand, siteOf } from '../fault-text.ts';
import { blameFrame, firstOutside, foundBy, isKernelOrHal } from '../frames.ts';
import { type BrokenEntry, brokenEntry, type ListLink } from './corrupt-list.ts';
import { fastFailMeaning, fastFailName } from './fast-fail-names.ts';
import { parametersOf, type Reading } from './reading.ts';

/** 0x139 KERNEL_SECURITY_CHECK_FAILURE: code, trap frame, exception record. */
export function securityCheck(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [code] = parametersOf(diagnosis);
  const number = Number(code & 0xffffffffn);
  const name = fastFailName(number);
  const fault = readFault(target, 0x139, { trap: 1, record: 2 });
  recordEvidence(target, fault, evidence);
  if (fault.instruction !== null && fault.pc !== null)
    evidence.memory(
      `the instruction at ${siteOf(target, fault)} is ${instructionText(target, fault.instruction)}: a check of the code itself failed`,
      'true',
      fault.pc,
      fault.instruction.length,
      pcEvidenceCommand(target, fault.pc),
    );
  const label = name === null ? `code ${number.toString(16)}` : `${name} (${number})`;
  const who = fault.processor === null ? 'A processor' : `Processor ${fault.processor.number}`;
  const opening = `${who} failed a check in ${siteOf(target, fault)}: ${label}.`;
  const meaning = fastFailMeaning(number);
  const list = number === 3 && fault.registers !== null ? brokenEntry(target, fault.registers) : null;
  if (list !== null) return corruptList(diagnosis, fault, list, opening, evidence);
  if (number === 3)
    evidence.fact(
      'no register of the fault leads to a LIST_ENTRY whose broken link can be read',
      'undetermined',
      'r',
      fault.registersFrom,
    );
  levelEvidence(target, fault, evidence);
  stackEvidence(target, fault, evidence);
  return {
    verdict: number === 3 ? 'corrupt-list-entry' : number === 2 || number === 0 ? 'stack-cookie' : 'security-check',
    confidence: 'strong',
    title: `${siteOf(target, fault)} failed its own check: ${label}`,
    summary: [opening, ...(meaning === null ? [] : [meaning])],
    blame: blameOf(diagnosis, fault, number === 2 || number === 0 ? 'overrun function' : 'detector'),
    assumptions: ['the check that failed is the one that the code names'],
    wouldChange: number === 3 ? ['the entry that the check looked at, and its neighbours'] : [],
  };
}

function corruptList(
  diagnosis: Diagnosis,
  fault: Fault,
  list: BrokenEntry,
  opening: string,
  evidence: Evidence,
): Reading {
  const { target } = diagnosis;
  const a = (value: bigint): string => address(target, value);
  const width = target.pointerSize;
  evidence.memory(
    `${list.register} is a LIST_ENTRY at ${a(list.entry)}: Flink ${a(list.flink)}, Blink ${a(list.blink)}`,
    'true',
    list.entry,
    width * 2,
    `dps ${argument(target, list.entry)} l2`,
  );
  const told = [list.forward, list.backward].map((link) => linkClaim(diagnosis, list, link, evidence));
  levelEvidence(target, fault, evidence);
  stackEvidence(target, fault, evidence);
  const bad = [list.forward, list.backward].find((link) => link.holds === false) ?? null;
  const entry = a(list.entry);
  let title: string;
  let why: string;
  switch (list.kind) {
    case 'one-bit':
      title = `one wrong bit in the list entry after ${entry}`;
      if (bad?.name === 'Blink->Flink') title = `one wrong bit in the list entry before ${entry}`;
      why = `${a(bad?.value ?? 0n)} and ${entry} differ in bit ${bad?.bit} alone: code writes whole pointers, so a single wrong bit in an otherwise right link points at memory (a RAM or bus error) or at a stray write of one bit, at ${a(bad?.at ?? 0n)}.`;
      break;
    case 'removed':
      title = `the list entry ${entry} removed already`;
      why =
        'Its neighbours point at each other and past it: the entry was removed before and is removed again, or it was removed and still used.';
      break;
    case 'one-link':
      title = `the list around ${entry} broken at ${bad?.name ?? 'a link'}`;
      why = `One neighbour still points back, the other does not: that neighbour was overwritten, freed and reused, or linked elsewhere, at ${a(bad?.at ?? 0n)}.`;
      break;
    case 'bad-link':
      title = `a link of the list entry ${entry} that leads nowhere`;
      why = `One neighbour points back; what the other link leads to is no entry of this list: the entry itself was overwritten at ${a(list.forward.holds === true ? list.entry + BigInt(width) : list.entry)}.`;
      break;
  }
  const flipped = list.kind === 'one-bit';
  return {
    verdict: 'corrupt-list-entry',
    confidence: 'proven',
    title: `${siteOf(target, fault)} found ${title}`,
    summary: [
      opening,
      `The entry is in ${list.register}: Flink ${a(list.flink)}, Blink ${a(list.blink)}.`,
      ...told,
      why,
    ],
    blame: blameOf(diagnosis, fault, flipped ? 'victim' : 'detector'),
    assumptions: [
      `${list.register} of the captured registers names the entry that the check looked at`,
      ...(fault.carried.includes(list.register)
        ? [`${list.register} did not change between the check and the bug check`]
        : []),
    ],
    wouldChange: [
      bad === null ? 'both neighbours pointing back at the entry' : `the value ${entry} at ${a(bad.at)}`,
      ...(flipped
        ? ['a second crash of this machine whose bad value is not one bit off, or a memory test that passes']
        : []),
    ],
  };
}

function linkClaim(diagnosis: Diagnosis, list: BrokenEntry, link: ListLink, evidence: Evidence): string {
  const { target } = diagnosis;
  const a = (value: bigint): string => address(target, value);
  const width = target.pointerSize;
  if (link.value === null) {
    const from = link.name === 'Flink->Blink' ? list.flink : list.blink;
    evidence.memory(`${link.name} of ${a(list.entry)}`, 'undetermined', link.at, width);
    return `${link.name} (at ${a(from)}) cannot be read.`;
  }
  if (link.holds === true) {
    evidence.memory(
      `${link.name} is ${a(link.value)}: it points back`,
      'true',
      link.at,
      width,
      `dps ${argument(target, link.at)} l1`,
    );
    return `${link.name} points back.`;
  }
  const bit = link.bit === null || list.kind !== 'one-bit' ? '' : `, which differs in bit ${link.bit} alone`;
  evidence.memory(
    `${link.name} is ${a(link.value)}, not ${a(list.entry)}${bit}`,
    'true',
    link.at,
    width,
    `dps ${argument(target, link.at)} l1`,
  );
  return `${link.name}, at ${a(link.at)}, is ${a(link.value)} instead of ${a(list.entry)}.`;
}

/** The detector is seldom the culprit: it says so. */
function blameOf(diagnosis: Diagnosis, fault: Fault, role: string): Finding['blame'] {
  const { target } = diagnosis;
  const module = fault.pc === null ? undefined : target.moduleAt(fault.pc);
  const out: Finding['blame'][number][] = [];
  if (module !== undefined) {
    const reason =
      role === 'victim'
        ? 'it found the damage; a single flipped bit points at memory rather than at code'
        : role === 'overrun function'
          ? 'the check at its end found its own stack frame overwritten'
          : 'it found the damage; who did it came before';
    out.push({
      module: module.name,
      function: target.nameOf(fault.pc ?? 0n).text,
      role,
      reason,
      address: json(fault.pc),
    });
  }
  if (role === 'victim' || (module !== undefined && !isKernelOrHal(target, module))) return out;
  const frame = firstOutside(target, fault.frames);
  if (frame !== null)
    out.push(
      blameFrame(
        target,
        frame,
        'caller',
        `first frame outside the kernel above the check; ${foundBy(fault.frames, frame)}`,
      ),
    );
  return out;
}
