import { resolveFieldPath } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument } from '../../engine/words.ts';
import { member } from '../kernel-struct.ts';
import { parametersOf, type Reading } from './reading.ts';
import { bugcheckRegisters, culpritOn } from './stack-culprit.ts';

/** 0x18 REFERENCE_BY_POINTER: type, object, kind. The counts are in the header before the object. */
export function objectReference(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [, object, kind] = parametersOf(diagnosis);
  const body = resolveFieldPath(target.layouts.table, { kind: 'struct', name: '_OBJECT_HEADER' }, 'Body')?.offset;
  const header = object - BigInt(body ?? (target.pointerSize === 8 ? 0x30 : 0x18));
  const pointers = member(target, '_OBJECT_HEADER', header, 'PointerCount');
  const handles = member(target, '_OBJECT_HEADER', header, 'HandleCount');
  const bits = target.pointerSize * 8;
  const counts: string[] = [];
  for (const [label, found] of [
    ['PointerCount', pointers],
    ['HandleCount', handles],
  ] as const) {
    if (found === null) continue;
    const value = found.value === null ? null : BigInt.asIntN(bits, found.value);
    evidence.memory(
      `${label} of the object header ${address(target, header)}${value === null ? '' : ` is ${value}`}`,
      'true',
      found.address,
      found.size,
      `!object ${argument(target, object)}`,
    );
    if (value !== null) counts.push(`${label} ${value}`);
  }
  if (counts.length === 0)
    evidence.fact(
      `the header of object ${address(target, object)} cannot be read`,
      'undetermined',
      `!object ${argument(target, object)}`,
      'object header',
    );
  const culprit = culpritOn(diagnosis, bugcheckRegisters(diagnosis), evidence, 'last user');
  return {
    verdict: 'reference-count',
    confidence: 'strong',
    title: `Object ${address(target, object)} was dereferenced once too often`,
    summary: [
      `A reference to object ${address(target, object)} was given back that nobody held${kind === 0n ? '' : ` (kind ${kind.toString(16)})`}.`,
      counts.length === 0 ? 'Its counts could not be read.' : `Its header says ${counts.join(', ')}.`,
      'Whoever gave back one reference too many did so earlier; the stack shows the last one.',
    ],
    blame: culprit.blame,
    assumptions: ['every reference was given back through the pointer that took it'],
    wouldChange: ['object reference tracing (pool tag tracing of ObTrace) of that object'],
  };
}
