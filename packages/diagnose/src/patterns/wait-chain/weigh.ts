/** How sure a chain of waits makes: what keeps it, how long, and whether waits of its kind are unusual at all. */
import type { Target } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Confidence } from '../../report/report.ts';
import type { WaitChain } from '../../waits/chains.ts';
import type { EndState } from '../../waits/end-state.ts';
import { keyOf, type ObjectKind } from '../../waits/node.ts';
import type { GraphEdge } from '../../waits/wait-edge.ts';

/** Shorter waits for a lock are ordinary contention. */
const MIN_SECONDS = 1;
const LIKELY_SECONDS = 5;
const STRONG_SECONDS = 10;

export interface Weight {
  readonly confidence: Confidence;
  /** How long the chain has stood at least; null where no wait of it can be dated. */
  readonly seconds: number | null;
  readonly assumptions: readonly string[];
}

/** Null where the chain is nothing unusual. */
export function weigh({ target }: Diagnosis, chain: WaitChain, end: EndState): Weight | null {
  const seconds = chainSeconds(chain, end);
  const owned = chain.holds.filter(({ relation }) => relation === 'owned-by');
  const assumptions: string[] = [];
  let confidence: Confidence | null;
  if (owned.length === 0) confidence = ofRequests(chain, end, seconds, kernelMode(target, chain));
  else confidence = ofLocks(end, seconds, owned);
  if (confidence === null) return null;
  const cap = (most: Confidence, why: string): void => {
    if (order.indexOf(confidence as Confidence) >= order.indexOf(most)) return;
    confidence = most;
    assumptions.push(why);
  };
  if (chain.path.some(({ certainty }) => certainty === 'inferred'))
    cap('likely', 'an owner that was inferred holds what it is said to hold');
  if (everyWaitTimed(chain)) cap('possible', 'the time limits of the waits do not end them');
  if (end.timed) cap('possible', 'the time limit of its wait does not end it');
  if (end.kind === 'waiting' && end.unread)
    cap('possible', 'what the end waits for, which could not be read, is not given to it');
  if (target.bugcheck === null)
    cap('likely', 'the memory was copied while the system ran: its parts are of the same moment');
  return { confidence, seconds, assumptions };
}

const order: readonly Confidence[] = ['proven', 'strong', 'likely', 'possible'];

/** Locks are to be given back soon: whoever holds one and waits for long keeps everybody. */
function ofLocks(end: EndState, seconds: number | null, owned: readonly GraphEdge[]): Confidence | null {
  if (end.kind === 'woken') return null;
  if (end.kind === 'gone') return 'strong';
  if (seconds === null) return end.kind === 'suspended' || end.kind === 'terminating' ? 'likely' : 'possible';
  if (seconds < MIN_SECONDS) return null;
  // A processor that cannot leave its loop does not let the thread on it, or one bound to it, go on.
  if (end.spins) return end.kind === 'ready' && (end.seconds ?? 0) < MIN_SECONDS ? 'possible' : 'strong';
  if (seconds < LIKELY_SECONDS) return 'possible';
  const sure: Confidence = seconds >= STRONG_SECONDS ? 'strong' : 'likely';
  // Programs wait for a mutex for as long as another instance runs: by design, and for days.
  const mutexOnly = owned.every(({ from }) => from.kind === 'object' && from.object === 'mutant');
  switch (end.kind) {
    case 'ready':
    case 'suspended':
    case 'terminating':
      return sure;
    case 'waiting':
    case 'device':
      if (!mutexOnly) return sure;
      return sure === 'strong' && (end.userMode === false || hops(owned) > 1) ? 'likely' : 'possible';
    case 'running':
      return mutexOnly ? 'possible' : 'likely';
    default:
      return 'possible';
  }
}

/** Several threads that hold something make a chain; one that holds a mutex may be the instance that runs. */
function hops(owned: readonly GraphEdge[]): number {
  return new Set(owned.map(({ to }) => keyOf(to))).size;
}

/** Waits for the end of threads and for answers are normal for any time; only what keeps them may be unusual. */
function ofRequests(chain: WaitChain, end: EndState, seconds: number | null, kernel: boolean): Confidence | null {
  if (end.spins && (seconds ?? 0) >= MIN_SECONDS) return 'likely';
  if (seconds === null || seconds < STRONG_SECONDS) return null;
  if (end.kind === 'ready' || end.kind === 'terminating' || end.kind === 'unserved') return 'likely';
  // A request that nobody has even taken, because everybody who could is busy.
  const untaken = chain.holds.filter(({ from }) => from.kind === 'object' && untakenKinds.has(from.object));
  if (end.kind === 'unknown') return null;
  if (untaken.length > 0) return untaken.some(({ combination }) => combination === 'any') ? 'possible' : 'likely';
  // Programs wait for pipes, sockets and keys in user mode; the system itself does not wait for long.
  return end.kind === 'device' && kernel ? 'possible' : null;
}

/** The last wait is the kernel's own, or a driver's. */
function kernelMode(target: Target, chain: WaitChain): boolean {
  return chain.last.some(({ from }) => from.kind === 'thread' && target.thread(from.address)?.field('WaitMode') === 0n);
}

const untakenKinds: ReadonlySet<ObjectKind> = new Set(['ALPC port', 'queued work']);

/**
 * A thread takes a lock before the wait in which it is found, so what it holds has been held for as long as it waits; and
 * for as long as the oldest waiter waits for it.
 */
function chainSeconds(chain: WaitChain, end: EndState): number | null {
  const ages = chain.last.flatMap(({ since }) => (since === null ? [] : [since.minSeconds]));
  if (end.seconds !== null) ages.push(end.seconds);
  return ages.length === 0 ? null : Math.max(...ages);
}

function everyWaitTimed(chain: WaitChain): boolean {
  return chain.last.length > 0 && chain.last.every((edge) => edge.escape === 'timeout');
}
