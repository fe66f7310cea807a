/**
 * A resource for which threads had to wait far more often than for any other. The counter is a lifetime sum: it counts
 * only divided by the uptime, against its peers, and for a resource that is held or waited for now.
 */
import { type Resource, readResource, resourceOwners, type Thread } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, clock, count, json, list, plural } from '../../engine/words.ts';
import { cpuTime, shareText, uptimes, uptimeText } from '../../facts/cpu-time.ts';
import { type ContentionCount, resourceContention } from '../../facts/resource-contention.ts';
import { threadFrames } from '../../facts/thread-frames.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Confidence, Finding } from '../../report/report.ts';

/** The pattern's own page shows 19,648,535 in 6.7 days: 34 a second. */
const MIN_PER_SECOND = 10;
const MIN_COUNT = 10_000;
/** How far the contended ones must stand out from the next. */
const MIN_FACTOR = 10;
const MAX_HOT = 4;
/** No system switches threads more often than this: such a count is no counter, but what overwrote one. */
const MAX_PER_SECOND = 1_000_000;

const WAITING = 5;

export function contendedResources(diagnosis: Diagnosis): readonly Finding[] {
  const contention = diagnosis.fact(resourceContention);
  const known = diagnosis.fact(uptimes);
  const uptime = Math.max(0, ...known.map(({ seconds }) => seconds));
  if (contention === null || uptime <= 0) return [];
  const { counts } = contention;
  const hot = standingOut(counts).filter(({ count: n }) => n >= MIN_COUNT && n / uptime >= MIN_PER_SECOND);
  const complete = contention.end === 'head' && contention.unread === 0;
  return hot.flatMap((top) => {
    const resource = readResource(diagnosis.target, top.resource);
    return isInUse(resource) && isPlausible(diagnosis, top, resource, uptime)
      ? [finding(diagnosis, top, resource, counts[hot.length] ?? null, uptime, complete)]
      : [];
  });
}

/** Those before the first wide gap, where there is one among the first few. */
function standingOut(counts: readonly ContentionCount[]): readonly ContentionCount[] {
  for (let i = 0; i < Math.min(MAX_HOT, counts.length); i++) {
    const next = counts[i + 1]?.count ?? 0;
    if ((counts[i]?.count ?? 0) >= next * MIN_FACTOR) return counts.slice(0, i + 1);
  }
  return [];
}

function waiters(resource: Resource): number {
  return (resource.numberOfExclusiveWaiters ?? 0) + (resource.numberOfSharedWaiters ?? 0);
}

function isInUse(resource: Resource): boolean {
  return waiters(resource) > 0 || (resource.activeCount ?? 0) > 0;
}

/** Memory that was freed or overwritten may still be on the list. */
function isPlausible(diagnosis: Diagnosis, top: ContentionCount, resource: Resource, uptime: number): boolean {
  return top.count / uptime <= MAX_PER_SECOND && waiters(resource) <= diagnosis.target.threads().length;
}

function finding(
  diagnosis: Diagnosis,
  top: ContentionCount,
  resource: Resource,
  next: ContentionCount | null,
  uptime: number,
  complete: boolean,
): Finding {
  const { target } = diagnosis;
  const evidence = diagnosis.evidence('contention');
  const at = address(target, resource.address);
  const show = `!locks ${argument(target, resource.address)}`;
  const rate = top.count / uptime;
  const perSecond = `${rate >= 10 ? rate.toFixed(0) : rate.toFixed(1)} a second`;
  evidence.memory(
    `threads had to wait for the resource ${at} ${count(top.count)} times: ${perSecond} over ${uptimeText(diagnosis.fact(uptimes))}`,
    'true',
    top.at,
    4,
    show,
  );
  if (next !== null)
    evidence.memory(
      `the next resource, ${address(target, next.resource)}, ${count(next.count)} times`,
      'true',
      next.at,
      4,
      `!locks ${argument(target, next.resource)}`,
    );
  else
    evidence.fact(
      'for no other resource on the list did a thread ever wait',
      'true',
      '!locks -v',
      'ERESOURCE.ContentionCount',
    );
  if (!complete)
    evidence.fact(
      'the list of resources could not be read to its end',
      'undetermined',
      '!locks',
      'ExpSystemResourcesList',
    );
  const now = waiters(resource);
  const active = resource.activeCount ?? 0;
  evidence.memory(
    `now ${active === 0 ? 'nobody holds it' : `it is held ${resource.exclusive === true ? 'exclusively' : 'shared'}`} and ${now === 0 ? 'nobody waits for it' : `${plural(now, 'thread waits', 'threads wait')} for it`}`,
    'true',
    resource.address,
    target.layouts.table.struct('_ERESOURCE')?.size ?? target.pointerSize * 13,
    show,
  );
  const owners = active === 0 ? [] : resourceOwners(target, resource.address).owners;
  const threads = owners.flatMap(({ pointer }) => target.thread(pointer & ~3n) ?? []).filter(isThread);
  for (const thread of threads.slice(0, MAX_HOT)) ownerEvidence(diagnosis, thread, top.count, evidence);
  const busy = threads.some((thread) => thread.state !== WAITING);
  const owner = threads[0];
  const process = owner?.owningProcess ?? null;
  let confidence: Confidence = now > 0 ? 'strong' : busy ? 'likely' : 'possible';
  if (!complete && confidence === 'strong') confidence = 'likely';
  const outside = owner === undefined ? null : threadFrames(diagnosis, owner.address).outside;
  const module = outside === null ? undefined : target.moduleAt(outside.pc);
  return {
    ...blankFinding(
      'high-contention',
      'executive-resources',
      confidence,
      `Threads contend for the executive resource ${at}: ${count(top.count)} waits`,
      `For the resource ${at} threads had to wait ${count(top.count)} times since the system started, ${perSecond}${next === null ? '' : `, ${(top.count / next.count).toFixed(0)} times as often as for the next one`}. ${owner === undefined ? 'Nobody holds it now' : `${list(threads.slice(0, MAX_HOT).map((thread) => `Thread ${thread.address.toString(16)}`))} ${threads.length === 1 ? 'holds' : 'hold'} it now`}, ${now === 0 ? 'and nobody waits for it at this moment' : `and ${plural(now, 'thread waits', 'threads wait')} for it`}.`,
    ),
    thread: json(owner?.address),
    process: json(process),
    image: process === null ? null : (target.process(process)?.image ?? null),
    processor: target.processors.find(({ currentThread }) => currentThread === owner?.address)?.number ?? null,
    lock: { kind: 'executive resource', address: json(resource.address) ?? '', word: null, container: null },
    blame:
      outside === null || module === undefined
        ? []
        : [
            {
              module: module.name,
              function: target.nameOf(outside.pc).text,
              role: 'owner',
              reason: 'first frame outside the kernel of the thread that holds the resource now',
              address: json(outside.pc),
            },
          ],
    evidence: evidence.items,
    assumptions: ['the waits go on now, and are not of an earlier time'],
    wouldChange: ['a second dump of the same boot in which the count has not grown'],
    downstream: now === 0 ? [] : [plural(now, 'thread that waits for it', 'threads that wait for it')],
  };
}

function isThread(thread: Thread): boolean {
  return thread.state !== null && thread.stackBase !== null;
}

function ownerEvidence(diagnosis: Diagnosis, thread: Thread, contentions: number, evidence: Evidence): void {
  const { target } = diagnosis;
  const cpu = cpuTime(diagnosis, thread);
  const processor = target.processors.find(({ currentThread }) => currentThread === thread.address);
  const state =
    processor === undefined
      ? thread.state === WAITING
        ? 'waits'
        : 'is ready'
      : `runs on processor ${processor.number}`;
  const used =
    cpu === null
      ? ''
      : `; it has used ${clock(cpu.kernelSeconds)} in the kernel and ${clock(cpu.userSeconds)} in user mode (${shareText(cpu.kernelSeconds + cpu.userSeconds, diagnosis.fact(uptimes))} of one processor)`;
  const switches = thread.contextSwitches ?? 0;
  const ratio =
    switches === 0
      ? ''
      : `; ${count(switches)} context switches, ${(contentions / switches).toFixed(1)} waits of others for each`;
  const claim = `thread ${thread.address.toString(16)} owns it and ${state}${used}${ratio}`;
  const show = `!thread ${argument(target, thread.address)}`;
  const at = thread.fieldAddress('State');
  if (at === null) evidence.fact(claim, 'true', show, '_KTHREAD');
  else evidence.memory(claim, 'true', at, 1, show);
}
