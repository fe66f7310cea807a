/** Who waits because a processor's DPCs do not run: timers of its table, and threads that wait for them. */
import type { PendingTimer, Processor } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, clock, plural } from '../../engine/words.ts';
import { lateTimers } from '../../facts/late-timers.ts';

const MAX_NAMED = 4;

/** Lines for `downstream`; the timers go into the evidence. */
export function tellLateTimers(diagnosis: Diagnosis, processor: Processor, evidence: Evidence): readonly string[] {
  const { target } = diagnosis;
  const table = lateTimers(diagnosis, processor);
  if (table === null || table.timers.length === 0) return [];
  const late = (timer: PendingTimer): string => clock(Number(table.now - timer.due) / 1e7);
  const named = table.timers.slice(0, MAX_NAMED);
  for (const timer of named) {
    const who = timer.waiters.map((thread) => `thread ${thread.toString(16)}`);
    evidence.memory(
      `timer ${address(target, timer.address)} of processor ${processor.number} is ${late(timer)} late${who.length === 0 ? '' : `; ${who.join(', ')} ${who.length === 1 ? 'waits' : 'wait'} for it`}`,
      'true',
      timer.address,
      target.layouts.table.struct('_KTIMER')?.size ?? 0x28,
      `dt nt!_KTIMER ${argument(target, timer.address)}`,
    );
  }
  const first = named[0];
  const lines = [
    `${plural(table.timers.length, 'timer')} of processor ${processor.number} ${table.timers.length === 1 ? 'is' : 'are'} late${first === undefined ? '' : `, the oldest by ${late(first)}`}`,
  ];
  for (const thread of new Set(named.flatMap((timer) => timer.waiters)))
    lines.push(`thread ${thread.toString(16)}, whose wait should have timed out`);
  return lines;
}
