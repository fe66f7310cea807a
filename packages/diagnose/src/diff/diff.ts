/** Two dumps of one boot: what moved and what did not. Addresses are strings `0x…`, times seconds, as in the report. */
import type { Target } from '@dumpscope/debugger';
import type { Report } from '../report/report.ts';

export interface DumpSide {
  readonly path: string;
  readonly build: string | null;
  readonly systemTime: string | null;
  readonly uptimeSeconds: number | null;
  readonly bugcheck: string | null;
}

/** One reason to take the two for dumps of one boot, or not to. */
export interface BootCheck {
  readonly what: string;
  readonly first: string | null;
  /** Null where it was not read, or where `first` tells of both. */
  readonly second: string | null;
  /** Null where one of the two could not be read, or where it decides nothing. */
  readonly agrees: boolean | null;
}

export interface Pair<T> {
  readonly first: T | null;
  readonly second: T | null;
}

/** true: moved. false: did not move. null: cannot be told. */
export type Moved = boolean | null;

export interface ProcessorDiff {
  readonly number: number;
  readonly thread: Pair<string>;
  readonly pc: Pair<string>;
  readonly symbol: Pair<string>;
  readonly irql: Pair<number>;
  readonly idle: Pair<boolean>;
  /** `same`: every frame. `same-callers`: all but the innermost. Null where one of the two has none. */
  readonly stack: 'same' | 'same-callers' | 'different' | null;
  readonly moved: Moved;
  readonly why: string;
}

export type ThreadChange =
  | 'new'
  | 'gone'
  /** Its context was switched in between. */
  | 'switched'
  /** No switch, but it was charged CPU time: it ran all the while on one processor. */
  | 'ran'
  /** Neither. */
  | 'still'
  | 'unknown';

export interface ThreadDiff {
  readonly thread: string;
  readonly cid: string | null;
  readonly image: string | null;
  readonly change: ThreadChange;
  readonly state: Pair<string>;
  readonly contextSwitches: number | null;
  readonly kernelSeconds: number | null;
  readonly userSeconds: number | null;
  /** CPU time over the elapsed time: 1 is one processor throughout. Null where either is not known. */
  readonly share: number | null;
  /** Began its last wait at the same tick in both: still the same wait. */
  readonly sameWait: boolean | null;
}

export interface FindingItem {
  readonly what: string;
  readonly first: string | null;
  readonly second: string | null;
  readonly same: boolean | null;
}

export interface FindingDiff {
  readonly pattern: string;
  readonly verdict: Pair<string>;
  readonly title: string;
  readonly processor: number | null;
  readonly thread: string | null;
  readonly status: 'same' | 'changed' | 'appeared' | 'gone';
  /** Loop, lock, word, entries: what makes it the same or another. */
  readonly items: readonly FindingItem[];
  readonly moved: Moved;
  /** Lower bound that the pair gives to how long it lasts, with its assumption. */
  readonly lasts: { readonly minSeconds: number; readonly reason: string } | null;
}

export interface ModulesDiff {
  readonly loaded: readonly string[];
  readonly unloaded: readonly string[];
}

export interface DumpDiff {
  readonly schemaVersion: 1;
  readonly tool: { readonly name: 'dumpscope'; readonly version: string; readonly rules: string };
  /** The earlier of the two. */
  readonly first: DumpSide;
  readonly second: DumpSide;
  /** They were given later one first. */
  readonly swapped: boolean;
  readonly boot: { readonly same: boolean | null; readonly why: string; readonly checks: readonly BootCheck[] };
  readonly elapsed: { readonly seconds: number | null; readonly source: string };
  readonly bugcheck: Pair<string> & { readonly same: boolean | null };
  readonly processors: readonly ProcessorDiff[];
  readonly threads: readonly ThreadDiff[];
  readonly findings: readonly FindingDiff[];
  readonly modules: ModulesDiff;
  readonly verdict: {
    readonly text: string;
    readonly didNotMove: readonly string[];
    readonly moved: readonly string[];
  };
}

/** A dump with its report. */
export interface DiffInput {
  readonly target: Target;
  readonly report: Report;
}
