/** Findings of two dumps put side by side: the same loop, the same lock, the same predecessor, or another. */
import type { Finding } from '../report/report.ts';
import type { FindingDiff, FindingItem, Moved, ThreadDiff } from './diff.ts';

/** Of the elapsed time, this much must be CPU time of the thread for it to have done nothing else. */
const WHOLE = 0.9;

export function compareFindings(
  first: readonly Finding[],
  second: readonly Finding[],
  threads: readonly ThreadDiff[],
  elapsed: number | null,
): FindingDiff[] {
  const byAddress = new Map(threads.map((thread) => [thread.thread, thread]));
  const left = new Set(first);
  const rows: FindingDiff[] = [];
  // The nearest counterpart first: the same thread on the same processor before one that shares less.
  for (const finding of second) {
    const other = counterpart(finding, left);
    if (other === null) {
      rows.push(alone(finding, 'appeared'));
      continue;
    }
    left.delete(other);
    rows.push(pair(other, finding, finding.thread === null ? undefined : byAddress.get(finding.thread), elapsed));
  }
  for (const finding of left) rows.push(alone(finding, 'gone'));
  return rows;
}

function counterpart(finding: Finding, candidates: ReadonlySet<Finding>): Finding | null {
  let best: Finding | null = null;
  let bestScore = -1;
  for (const candidate of candidates) {
    if (candidate.pattern !== finding.pattern) continue;
    const score =
      (candidate.thread === finding.thread ? 4 : 0) +
      (candidate.processor === finding.processor ? 2 : 0) +
      (candidate.verdict === finding.verdict ? 1 : 0);
    // Another thread on another processor is another finding, unless neither names one.
    if (score >= 2 && score > bestScore) [best, bestScore] = [candidate, score];
  }
  return best;
}

function pair(first: Finding, second: Finding, thread: ThreadDiff | undefined, elapsed: number | null): FindingDiff {
  const items = itemsOf(first, second);
  const changed = first.verdict !== second.verdict || items.some((item) => item.same === false);
  const moved = elapsed === 0 ? null : movedOf(first, second, items, thread);
  return {
    pattern: second.pattern,
    verdict: { first: first.verdict, second: second.verdict },
    title: second.title,
    processor: second.processor,
    thread: second.thread,
    status: changed ? 'changed' : 'same',
    items,
    moved,
    lasts:
      moved === false
        ? lastsOf(thread, elapsed)
        : second.pattern === 'spiking-thread'
          ? spikeOf(thread, elapsed)
          : null,
  };
}

function itemsOf(first: Finding, second: Finding): FindingItem[] {
  const items: FindingItem[] = [];
  const add = (what: string, a: string | null | undefined, b: string | null | undefined): void => {
    if (a == null && b == null) return;
    items.push({ what, first: a ?? null, second: b ?? null, same: a == null || b == null ? null : a === b });
  };
  const loop = (finding: Finding): string | null =>
    finding.loop === null ? null : `${finding.loop.start}..${finding.loop.end}`;
  const entry = (finding: Finding, role: string): string | undefined =>
    finding.picture?.queue?.entries.find((candidate) => candidate.role === role)?.address;
  const holder = (finding: Finding): string | undefined =>
    finding.picture?.queue?.marks.find((mark) => mark.role === 'holds')?.label;
  add('thread', first.thread, second.thread);
  add('processor', first.processor?.toString(), second.processor?.toString());
  // A loop seen through a watchdog's samples has the bounds of the samples, not its own: an overlap is the same loop.
  if (sampled(first, second) && overlap(first, second))
    items.push({ what: 'loop', first: loop(first), second: loop(second), same: true });
  else add('loop', loop(first), loop(second));
  add('lock', first.lock?.address, second.lock?.address);
  add('lock word', first.lock?.word, second.lock?.word);
  add('own queue entry', entry(first, 'waiter'), entry(second, 'waiter'));
  // A predecessor that does not wait is the holder.
  add(
    'predecessor',
    entry(first, 'predecessor') ?? entry(first, 'holder'),
    entry(second, 'predecessor') ?? entry(second, 'holder'),
  );
  add('holding code', holder(first), holder(second));
  return items;
}

function sampled(first: Finding, second: Finding): boolean {
  return first.picture?.profile != null || second.picture?.profile != null;
}

function overlap({ loop: a }: Finding, { loop: b }: Finding): boolean {
  if (a === null || b === null) return false;
  return BigInt(a.start) <= BigInt(b.end) && BigInt(b.start) <= BigInt(a.end);
}

/** Only what can be stuck moves: a finding with a loop or a lock on a thread. */
function movedOf(
  first: Finding,
  second: Finding,
  items: readonly FindingItem[],
  thread: ThreadDiff | undefined,
): Moved {
  if (first.loop === null || second.loop === null) return null;
  // Others may join the queue behind a waiter: the lock word may change while he stands still.
  if (items.some((item) => item.same === false && item.what !== 'lock word')) return true;
  if (thread === undefined || thread.contextSwitches === null) return null;
  return thread.contextSwitches > 0;
}

function lastsOf(thread: ThreadDiff | undefined, elapsed: number | null): FindingDiff['lasts'] {
  if (elapsed === null || elapsed <= 0) return null;
  if (thread?.share != null && thread.share >= WHOLE)
    return {
      minSeconds: elapsed,
      reason: `the thread was never switched and was charged ${Math.min(100, Math.round(thread.share * 100))} % of the time between the dumps; assumed that it did not leave the loop and enter it again`,
    };
  return {
    minSeconds: elapsed,
    reason:
      'the thread was never switched between the dumps, and what it waits for is the same; assumed that it did not leave the loop and enter it again',
  };
}

/** The spike goes on where nearly all of the time between the dumps was charged to its thread. */
function spikeOf(thread: ThreadDiff | undefined, elapsed: number | null): FindingDiff['lasts'] {
  if (elapsed === null || elapsed <= 0 || thread?.share == null || thread.share < WHOLE) return null;
  const percent = Math.min(100, Math.round(thread.share * 100));
  return { minSeconds: elapsed, reason: `the thread was charged ${percent} % of the time between the dumps` };
}

function alone(finding: Finding, status: 'appeared' | 'gone'): FindingDiff {
  const gone = status === 'gone';
  return {
    pattern: finding.pattern,
    verdict: gone ? { first: finding.verdict, second: null } : { first: null, second: finding.verdict },
    title: finding.title,
    processor: finding.processor,
    thread: finding.thread,
    status,
    items: [],
    moved: finding.loop === null ? null : true,
    lasts: null,
  };
}
