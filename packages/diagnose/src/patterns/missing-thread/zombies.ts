/** Processes without threads: many of one image, or many in all, are a leak of handles or references. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { argument, clock, count, list, plural } from '../../engine/words.ts';
import { type EndedProcess, endedProcesses } from '../../facts/ended-processes.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** A few lie about on every system: parents that keep a handle, tools that look on. */
const MIN_OF_ONE_IMAGE = 5;
const MIN_IN_ALL = 16;
const LIKELY = 64;
const MAX_NAMED = 8;

export function zombieProcesses(diagnosis: Diagnosis): readonly Finding[] {
  const ended = diagnosis.fact(endedProcesses);
  const byImage = new Map<string, EndedProcess[]>();
  for (const one of ended) {
    const image = one.process.image ?? 'a process without a name';
    const before = byImage.get(image);
    if (before === undefined) byImage.set(image, [one]);
    else before.push(one);
  }
  const groups = [...byImage].sort(([, a], [, b]) => b.length - a.length);
  const most = groups[0]?.[1].length ?? 0;
  if (most < MIN_OF_ONE_IMAGE && ended.length < MIN_IN_ALL) return [];
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('zombies');
  for (const [image, processes] of groups.slice(0, MAX_NAMED)) {
    const [first] = processes;
    if (first === undefined) continue;
    const { process, secondsAgo, handles } = first;
    const at = process.fieldAddress('ExitTime');
    const show = `!process ${argument(target, process.address)} 1`;
    const claim = `${image}: ${plural(processes.length, 'process', 'processes')} without threads; ${argument(target, process.address)} ended ${clock(secondsAgo)} ago${handles === null ? '' : `, ${plural(handles, 'handle')} to it`}`;
    if (at === null) evidence.fact(claim, 'true', show, '_EPROCESS.ExitTime');
    else evidence.memory(claim, 'true', at, 8, show);
  }
  const open = ended.filter(({ handles }) => handles !== null && handles > 0).length;
  const names = groups.slice(0, 4).map(([image, processes]) => `${image} (${count(processes.length)})`);
  return [
    {
      ...blankFinding(
        'missing-thread',
        'zombie-processes',
        ended.length >= LIKELY ? 'likely' : 'possible',
        `${plural(ended.length, 'process has', 'processes have')} ended and ${ended.length === 1 ? 'is' : 'are'} still referenced`,
        `${list(names)}: no thread, but on the list of processes. ${open === 0 ? 'No handle keeps them, so a reference of the kernel or a driver does.' : `${open === ended.length ? 'Handles keep them' : `Handles keep ${count(open)} of them`}: whoever opened them does not close.`} Each costs memory and none runs.`,
      ),
      evidence: evidence.items,
      assumptions: ['their owners do not mean to look at them later'],
      wouldChange: ['fewer of them in a later dump'],
    },
  ];
}
