/** Demand waits that began together: one event that many threads of several processes have waited for since. */
import { type Diagnosis, defineFact, type FactKey } from '../engine/diagnosis.ts';
import { demandWaits } from './demand-waits.ts';
import type { WaitingThread } from './waiting-threads.ts';

export interface WaitCluster {
  /** Oldest first. */
  readonly threads: readonly (WaitingThread & { readonly ticks: number; readonly seconds: number })[];
  readonly processes: readonly bigint[];
  readonly oldestSeconds: number;
  readonly spreadSeconds: number;
}

/** How far apart the waits of one event may begin: threads meet what is stuck as they get to run. */
const WINDOW_SECONDS = 0.5;
const MIN_THREADS = 8;
const MIN_PROCESSES = 3;
/** Times more waits than as many waits spread evenly would put into the window. */
const MIN_DENSITY = 4;
/** Younger waits are the traffic of a working system. */
const MIN_AGE_SECONDS = 10;
/** Services start together, and their threads wait since then. */
const START_SECONDS = 180;
/** A thread that waits since it was made waits as its pool or process does. */
const CREATION_SECONDS = 2;
const MAX_CLUSTERS = 3;

type Timed = WaitCluster['threads'][number];

export const waitClusters: FactKey<readonly WaitCluster[]> = defineFact('clusters of waits', (diagnosis: Diagnosis) => {
  const { time } = diagnosis.target;
  if (time.tickIncrement === null || time.tickCount === null) return [];
  const tickSeconds = time.tickIncrement / 1e7;
  const upSeconds = Number(time.tickCount) * tickSeconds;
  const waits: Timed[] = [];
  for (const waiting of diagnosis.fact(demandWaits)) {
    const { ticks, seconds } = waiting;
    if (ticks === null || seconds === null || seconds < MIN_AGE_SECONDS) continue;
    if (upSeconds - seconds < START_SECONDS || sinceCreation(diagnosis, waiting, seconds)) continue;
    waits.push({ ...waiting, ticks, seconds });
  }
  waits.sort((a, b) => b.ticks - a.ticks);
  const window = Math.ceil(WINDOW_SECONDS / tickSeconds);
  const found: WaitCluster[] = [];
  let rest: readonly Timed[] = waits;
  while (found.length < MAX_CLUSTERS) {
    const best = densest(rest, window);
    if (best === null) break;
    const members = rest.slice(best.from, best.to);
    const others = rest.length - members.length;
    const span = (rest[0]?.ticks ?? 0) - (rest.at(-1)?.ticks ?? 0);
    const expected = span <= window ? 0 : (others * window) / span;
    rest = [...rest.slice(0, best.from), ...rest.slice(best.to)];
    const processes = processesOf(members);
    if (members.length < MIN_THREADS || members.length < MIN_DENSITY * expected) break;
    if (processes.length < MIN_PROCESSES) continue;
    const oldest = members[0]?.seconds ?? 0;
    found.push({
      threads: members,
      processes,
      oldestSeconds: oldest,
      spreadSeconds: oldest - (members.at(-1)?.seconds ?? 0),
    });
  }
  return found;
});

/** The window over sorted ages that holds most; the older one where two hold as many. */
function densest(waits: readonly Timed[], window: number): { readonly from: number; readonly to: number } | null {
  let best: { from: number; to: number } | null = null;
  let to = 0;
  for (let from = 0; from < waits.length; from++) {
    const first = waits[from]?.ticks ?? 0;
    while (to < waits.length && first - (waits[to]?.ticks ?? 0) <= window) to++;
    if (best === null || to - from > best.to - best.from) best = { from, to };
  }
  return best;
}

function processesOf(members: readonly Timed[]): bigint[] {
  const found = new Set<bigint>();
  for (const { thread } of members) {
    const process = thread.owningProcess;
    if (process !== null) found.add(process);
  }
  return [...found];
}

/** ETHREAD.CreateTime is a FILETIME; up to XP it is shifted left by three, with flags below (layout of 2600: ApcNeeded). */
function sinceCreation({ target }: Diagnosis, { thread }: WaitingThread, seconds: number): boolean {
  const stored = thread.field('CreateTime');
  const now = target.time.systemTime;
  if (stored === null || stored === 0n || now === null) return false;
  const created = thread.fieldAddress('ApcNeeded') === null ? stored : stored >> 3n;
  const age = Number(now - created) / 1e7;
  return age >= 0 && age - seconds < CREATION_SECONDS;
}
