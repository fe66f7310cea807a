import type { Target } from '@dumpscope/debugger';
import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { argument, clock, json, list, plural } from '../../engine/words.ts';
import { type BlockedKind, type BlockedThread, blockedThreads } from '../../facts/blocked-threads.ts';
import { dependentsOf } from '../../facts/dependents.ts';
import { blankFinding } from '../../report/blank.ts';
import { graphPicture } from '../../report/graph-picture.ts';
import type { Confidence, Finding } from '../../report/report.ts';
import { threadText } from '../../waits/words.ts';
import { blockedEvidence } from './blocked-evidence.ts';

const MAX_NAMED = 8;
const MAX_GROUPS = 16;
/** Single threads that may wait there by design: more of them would tell nothing. */
const MAX_POSSIBLE = 3;
/** Threads of a group whose dependents are looked for. */
const MAX_EXAMINED = 64;
/** As many threads of as many processes in one module do not wait there by design. */
const CLUSTER = { threads: 3, processes: 2 } as const;

/** Threads that wait in a driver or for a device with no other reason; one finding for each module and kind. */
export const blockedThread: Pattern = definePattern({
  id: 'blocked-thread',
  title: 'Blocked Thread',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const findings = groupsOf(diagnosis.fact(blockedThreads))
      .slice(0, MAX_GROUPS)
      .map((group) => finding(diagnosis, group));
    const sure = findings.filter(({ confidence }) => confidence !== 'possible');
    return [...sure, ...findings.filter(({ confidence }) => confidence === 'possible').slice(0, MAX_POSSIBLE)];
  },
});

interface Group {
  readonly kind: BlockedKind;
  readonly name: string;
  /** Oldest first. */
  readonly threads: readonly BlockedThread[];
}

/** Largest first, then by the order in which they were found: oldest first. */
function groupsOf(blocked: readonly BlockedThread[]): readonly Group[] {
  const groups = new Map<string, { kind: BlockedKind; name: string; threads: BlockedThread[] }>();
  for (const thread of blocked) {
    const name = thread.module?.name ?? thread.device?.name ?? 'a driver that could not be read';
    const key = `${thread.kind} ${name}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { kind: thread.kind, name, threads: [thread] });
    else group.threads.push(thread);
  }
  return [...groups.values()].sort((a, b) => b.threads.length - a.threads.length);
}

const meaning: Readonly<Record<BlockedKind, string>> = {
  software: 'No lock and no request of the dump explains the wait: what the driver does not do is the question',
  hardware:
    'The request lies with the driver of a device: the device has not answered, or its driver has lost the request',
  timeout: 'The wait has a time-out: the driver sleeps or polls, and whoever called it waits as long',
};

function finding(diagnosis: Diagnosis, { kind, name, threads }: Group): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('blocked');
  const named = threads.slice(0, MAX_NAMED);
  for (const blocked of named) blockedEvidence(target, evidence, blocked);
  const waiting = new Set(
    threads.slice(0, MAX_EXAMINED).flatMap(({ thread }) => dependentsOf(diagnosis, thread.address).threads),
  );
  const processes = new Set(threads.map(({ thread }) => thread.owningProcess));
  const dying = threads.filter((blocked) => blocked.dying).length;
  const [first] = threads;
  const seconds = first?.seconds ?? 0;
  const process = first?.thread.owningProcess ?? null;
  const edges = named.flatMap(({ device }) => device?.edges ?? []);
  return {
    ...blankFinding(
      'blocked-thread',
      kind,
      confidenceOf(kind, threads, processes.size, waiting.size + dying),
      `${plural(threads.length, 'thread')} of ${plural(processes.size, 'process', 'processes')} ${threads.length === 1 ? 'is' : 'are'} blocked in ${name}, for ${clock(seconds)}`,
      `${meaning[kind]}. A wait in kernel mode${kind === 'timeout' ? '' : ' without a time-out'} cannot even be ended by terminating the thread.${dying === 0 ? '' : ` ${plural(dying, 'of them is', 'of them are')} being terminated and ${dying === 1 ? 'does' : 'do'} not end because of it.`}${waiting.size === 0 ? '' : ` ${plural(waiting.size, 'other thread waits', 'other threads wait')} for ${threads.length === 1 ? 'it' : 'them'}.`}`,
    ),
    thread: json(first?.thread.address),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    since: { minSeconds: 0, maxSeconds: seconds, reason: 'WaitTime of the oldest of these waits' },
    blame: blame(target, kind, named),
    cleared: carriers(named),
    evidence: evidence.items,
    assumptions: [
      ...(kind === 'hardware' ? [] : [`${name} does not mean to wait that long`]),
      ...(named.some(({ stack }) => stack !== null && !stack.sure)
        ? ['frames that were found by scanning the stack are those of the wait']
        : []),
    ],
    wouldChange: ['a second dump in which the wait has ended', `what signals the object, in the code of ${name}`],
    downstream: [...waiting].slice(0, MAX_NAMED).map((thread) => threadText(target, thread)),
    picture: edges.length === 0 ? null : graphPicture(target, edges),
  };
}

function confidenceOf(
  kind: BlockedKind,
  threads: readonly BlockedThread[],
  processes: number,
  held: number,
): Confidence {
  if (kind === 'timeout') return 'possible';
  if (kind === 'hardware' || held > 0) return 'likely';
  return threads.length >= CLUSTER.threads && processes >= CLUSTER.processes ? 'likely' : 'possible';
}

function blame(target: Target, kind: BlockedKind, threads: readonly BlockedThread[]): Finding['blame'] {
  const found = new Map<string, Finding['blame'][number]>();
  for (const { module, caller, device } of threads) {
    if (device !== null) {
      const name = device.driver?.name ?? device.name ?? null;
      if (name !== null && !found.has(name))
        found.set(name, {
          module: name,
          function: null,
          role: 'has the request',
          reason: `the current stack location of the request is that of its device ${argument(target, device.address)}`,
        });
    }
    if (caller === null) continue;
    const name = target.moduleAt(caller.pc)?.name;
    if (name === undefined || found.has(name) || (module === null && kind !== 'hardware')) continue;
    found.set(name, {
      module: name,
      function: target.nameOf(caller.pc).text,
      role: 'blocking module',
      reason: 'its frame is the one just above the wait',
    });
  }
  return [...found.values()];
}

/** Modules further out on the stacks: they called the one that waits. */
function carriers(threads: readonly BlockedThread[]): Finding['cleared'] {
  const above = new Set<string>();
  for (const { stack } of threads) for (const module of stack?.drivers.slice(0, 1) ?? []) above.add(module.name);
  const through = new Set<string>();
  for (const { stack } of threads)
    for (const module of stack?.drivers.slice(1) ?? []) if (!above.has(module.name)) through.add(module.name);
  const names = [...through].slice(0, MAX_NAMED);
  return names.length === 0
    ? []
    : [
        {
          what: list(names),
          reason: `on the stack further out: ${names.length === 1 ? 'it' : 'they'} only called what waits`,
        },
      ];
}
