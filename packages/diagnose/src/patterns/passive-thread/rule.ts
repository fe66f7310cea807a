import { type Target, WAIT_REASONS } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { argument, count, list, plural } from '../../engine/words.ts';
import { isSystemThread, type PassiveRole, type PassiveThread, passiveThreads } from '../../facts/passive-threads.ts';
import { isKernelCode } from '../../facts/wait-stacks.ts';
import { type WaitingThread, waitingThreads } from '../../facts/waiting-threads.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** Drivers' threads that get an evidence item of their own, and threads that are named as left over. */
const MAX_NAMED = 8;

/** What the kernel's and the drivers' own threads do when there is nothing to do: said once, so that nobody blames them. */
export const passiveThread: Pattern = definePattern({
  id: 'passive-thread',
  title: 'Passive Thread',
  run: (diagnosis: Diagnosis) => {
    const system = [...diagnosis.fact(passiveThreads).values()].filter((passive) => passive.system);
    return system.length === 0 ? [] : [finding(diagnosis, system)];
  },
});

const roles: Readonly<Record<PassiveRole, string>> = {
  queue: 'idle workers of queues',
  server: 'servers without a request',
  messages: 'threads that wait for messages',
  'zero-page': 'zeroing of free pages',
  memory: "the memory manager's own",
  'kernel-worker': "the kernel's own workers",
  'driver-worker': "drivers' own threads",
};

function finding(diagnosis: Diagnosis, system: readonly PassiveThread[]): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('passive');
  const byRole = new Map<PassiveRole, PassiveThread[]>();
  for (const passive of system) {
    const before = byRole.get(passive.role);
    if (before === undefined) byRole.set(passive.role, [passive]);
    else before.push(passive);
  }
  const kinds = [...byRole].sort(([, a], [, b]) => b.length - a.length);
  for (const [role, threads] of kinds) if (role !== 'driver-worker') example(target, evidence, role, threads);
  const drivers = byDriver(target, system);
  for (const { threads } of drivers.slice(0, MAX_NAMED)) example(target, evidence, 'driver-worker', threads);
  const left = leftOver(diagnosis);
  for (const { thread } of left.slice(0, MAX_NAMED))
    evidence.fact(
      `thread ${argument(target, thread.address)} of the system waits for something particular (${WAIT_REASONS[thread.waitReason ?? -1] ?? 'unknown reason'})`,
      'true',
      `!thread ${argument(target, thread.address)}`,
      '_KTHREAD.WaitReason, wait blocks',
    );
  const whole = target.listsWhole();
  return {
    ...blankFinding(
      'passive-thread',
      null,
      'likely',
      `${plural(system.length, 'thread')} of the system ${system.length === 1 ? 'waits' : 'wait'} for work, as ${system.length === 1 ? 'it' : 'they'} should`,
      `${list(kinds.map(([role, threads]) => `${count(threads.length)} ${threads.length === 1 ? 'is' : 'are'} ${roles[role]}`))}. Long waits of these threads mean that there was nothing to do, not that something hangs.${left.length === 0 ? '' : ` ${plural(left.length, 'other system thread waits', 'other system threads wait')} for something particular: look there.`}`,
    ),
    cleared: drivers.slice(0, MAX_NAMED).map(({ name, threads }) => ({
      what: name,
      reason: `its ${threads.length === 1 ? 'own thread waits' : `${count(threads.length)} own threads wait`} for work in ${threads.length === 1 ? 'its' : 'their'} own routine`,
    })),
    evidence: evidence.items,
    assumptions: [
      'an object that is not on the stack of the waiter is signalled when there is work, not when one request ends',
      ...(whole ? [] : ['threads that the lists did not lead to are not counted']),
    ],
    wouldChange: ['work that was queued to one of them and not taken'],
  };
}

function example(target: Target, evidence: Evidence, role: PassiveRole, threads: readonly PassiveThread[]): void {
  const [first] = threads;
  if (first === undefined) return;
  const show = `!thread ${argument(target, first.thread.address)}`;
  const start = first.thread.field('StartAddress');
  const who = `thread ${argument(target, first.thread.address)} (start ${start === null ? 'unknown' : target.nameOf(start).text})`;
  const more =
    threads.length === 1 ? '' : `, and so ${threads.length === 2 ? 'does' : 'do'} ${count(threads.length - 1)} more`;
  const claim = `${roles[role]}: of ${who}, ${first.reason}${more}`;
  const [block] = first.wait.blocks;
  if (block === undefined) evidence.fact(claim, 'true', show, '_KTHREAD.WaitReason');
  else evidence.memory(claim, 'true', block.address, target.pointerSize * 4, show);
}

function byDriver(
  target: Target,
  system: readonly PassiveThread[],
): { readonly name: string; readonly threads: readonly PassiveThread[] }[] {
  const found = new Map<string, PassiveThread[]>();
  for (const passive of system) {
    const { module } = passive;
    if (module === null || isKernelCode(target, module)) continue;
    const before = found.get(module.name);
    if (before === undefined) found.set(module.name, [passive]);
    else before.push(passive);
  }
  return [...found].map(([name, threads]) => ({ name, threads })).sort((a, b) => b.threads.length - a.threads.length);
}

/** System threads that wait, not for work and not for a time: those come back by themselves. */
function leftOver(diagnosis: Diagnosis): readonly WaitingThread[] {
  const passive = diagnosis.fact(passiveThreads);
  return diagnosis
    .fact(waitingThreads)
    .filter(
      ({ thread, wait }) => isSystemThread(thread) === true && wait.timeout !== true && !passive.has(thread.address),
    );
}
