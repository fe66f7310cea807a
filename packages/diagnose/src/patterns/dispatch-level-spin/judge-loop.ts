/** Verdict on a loop whose exits wait for no lock that could be recognised. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, list } from '../../engine/words.ts';
import type { WaitCell } from '../../facts/loop-view.ts';
import { pageCaching } from '../../facts/page-caching.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import { judgeCounters } from './judge-counters.ts';
import type { Judgement } from './judgement.ts';

/** Null where the loop is an ordinary one that goes on or ends by itself: no finding. */
export function judgeLoop(diagnosis: Diagnosis, site: SpinSite, evidence: Evidence): Judgement | null {
  const { target } = diagnosis;
  const { loop } = site;
  const base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'> = {
    lock: null,
    holderFrame: null,
    downstream: [],
  };
  const start = address(target, loop.start);
  // A loop that looks at cells and changes none of them repeats its state by nature: that is a wait, not an endless walk.
  // What else it stores (a counter of its turns) decides nothing.
  const walks = loop.shape === 'walk' || loop.shape === 'counter';
  // Where the code itself counts on others, a state that repeats for now is no proof that it always will.
  const waits =
    (loop.execution.end === 'cycle' &&
      !loop.execution.assumesCalls &&
      loop.awaitsOthers &&
      !walks &&
      loop.exits.length > 0) ||
    (loop.exits.length > 0 &&
      loop.exits.every(
        (exit) =>
          exit.invariant && exit.cells.length > 0 && exit.taken !== true && (loop.stores === 0 || !exit.mayBeStored),
      ));
  // A loop that calls on what cannot be followed may be the main loop of a worker: only its waits are known.
  if (loop.readerCounters !== null) return judgeCounters(diagnosis, site, loop.readerCounters, evidence);
  if (loop.execution.end === 'cycle' && !loop.execution.assumesCalls && !waits) {
    evidence.fact(
      loop.execution.text,
      'true',
      `uf ${loop.start.toString(16)}`,
      'abstract execution from the captured registers and memory',
    );
    const cells = loop.exits.flatMap((exit) => exit.cells);
    for (const cell of cells.slice(0, 8))
      if (cell.value !== null) evidence.memory(`an exit depends on this cell`, 'true', cell.address, cell.size);
    return {
      ...base,
      verdict: 'unbounded-loop',
      confidence: 'proven',
      why: `Executed from the captured state, the loop comes back to a state that it was in before: ${loop.execution.text}. Nothing in it is a lock; the data that it walks or counts over never satisfies an exit.`,
      assumptions: [],
      wouldChange:
        cells.length > 0
          ? [`another value at ${list([...new Set(cells.map((cell) => address(target, cell.address)))].slice(0, 4))}`]
          : [],
    };
  }
  if (loop.execution.end === 'exit') return null;
  // Any other loop with an unknown end is just code.
  if (!waits) return null;
  const cells = loop.exits.flatMap((exit) => exit.cells);
  const missing = cells.filter((cell) => cell.value === null);
  for (const cell of cells) evidence.memory(`the loop waits for this cell`, 'true', cell.address, cell.size);
  const device = devicePoll(diagnosis, cells, start, evidence);
  if (device !== null) return { ...base, ...device };
  if (missing.length > 0) {
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `The loop at ${start} ends only when somebody else changes ${list(missing.map((cell) => address(target, cell.address)))}, and that could not be read (${missing[0]?.gap ?? 'not in the dump'}): whether it has changed is not known. It may be a lock, a flag or a device register.`,
      assumptions: [],
      wouldChange: missing.map((cell) => `the ${cell.size} bytes at ${address(target, cell.address)}`),
    };
  }
  return {
    ...base,
    verdict: 'undetermined',
    confidence: 'likely',
    why: `The loop at ${start} ends only when somebody else changes ${cells.length === 0 ? 'what it reads' : list(cells.map((cell) => address(target, cell.address)))}; who does that is not known: no lock could be recognised there.`,
    assumptions: [],
    wouldChange: cells.map((cell) => `another value at ${address(target, cell.address)}`),
  };
}

/**
 * A cell that no program keeps: its page lies outside every run of physical memory, or is mapped uncached. Null where the
 * page is ordinary memory, or nothing tells.
 */
function devicePoll(
  diagnosis: Diagnosis,
  cells: readonly WaitCell[],
  start: string,
  evidence: Evidence,
): Pick<Judgement, 'verdict' | 'confidence' | 'why' | 'assumptions' | 'wouldChange'> | null {
  const { target } = diagnosis;
  for (const cell of cells) {
    const caching = pageCaching(target, cell.address);
    if (caching === null) continue;
    const outside = outsideRam(diagnosis, caching.physical);
    if (outside !== true && caching.kind === 'cached') continue;
    const where = address(target, cell.address);
    evidence.fact(
      `${where} is mapped to physical ${caching.physical.toString(16)}, ${caching.kind} (its ${caching.level} is ${caching.entry.toString(16)})${outside === null ? '' : outside ? ', outside the memory that the dump header lists' : ', inside the memory that the dump header lists'}`,
      'true',
      `!pte ${cell.address.toString(16)}`,
      'page tables and physical memory runs',
    );
    const change = ['the device answering', `another value at ${where}`];
    if (outside === true)
      return {
        verdict: 'device-poll',
        confidence: caching.kind === 'cached' ? 'likely' : 'strong',
        why: `The loop at ${start} polls ${where}, which is mapped to a physical address outside the machine's memory${caching.kind === 'cached' ? '' : `, ${caching.kind}`}: a device register that never showed what the loop waits for.`,
        assumptions: ['the physical memory runs of the dump header are complete'],
        wouldChange: change,
      };
    return {
      verdict: 'device-poll',
      confidence: 'possible',
      why: `The loop at ${start} polls ${where}, which is mapped ${caching.kind}: memory that a device writes, or one of its registers. It never showed what the loop waits for.`,
      assumptions: ['nobody but a device writes memory that is mapped so'],
      wouldChange: change,
    };
  }
  return null;
}

/** True where no run of the header holds the page; null where the header lists none. */
function outsideRam({ target }: Diagnosis, physical: bigint): boolean | null {
  const runs = target.dump.header.physicalMemoryBlock?.runs ?? [];
  if (runs.length === 0) return null;
  const pfn = Number(physical >> 12n);
  return !runs.some((run) => pfn >= run.basePage && pfn < run.basePage + run.pageCount);
}
