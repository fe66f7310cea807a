import type { Page } from './page.ts';

export interface Run {
  readonly base: number;
  readonly count: number;
}

export interface PhysicalLayout {
  /** The machine's memory as PHYSICAL_MEMORY_DESCRIPTOR lists it, ascending. */
  readonly runs: readonly Run[];
  /** Pages by frame number; a frame of `runs` without a page is a free (zeroed) page. */
  readonly pages: ReadonlyMap<number, Page>;
  /** One past the highest frame number of `runs`. */
  readonly end: number;
  /** The run that is declared present but never materialised. */
  readonly sparse?: Run;
  /** The last run: memory of the machine that the dump does not hold. */
  readonly missing?: Run;
}

export interface FrameOptions {
  /** First frame number of the upper run; at or above 0x100000 the machine has memory beyond 4 GiB. */
  readonly upperBase?: number;
  /** Groups of pages that need contiguous, aligned frames (large pages). */
  readonly groups?: readonly { readonly pages: readonly Page[]; readonly align: number }[];
  /** Declared memory beyond the pages in use, never materialised: first frame and count. */
  readonly sparse?: Run;
}

const LOW_BASE = 1;
const LOW_COUNT = 0x9e; // conventional memory below the BIOS area, as on real PCs
const MIDDLE_BASE = 0x100;

/** A small deterministic generator (Numerical Recipes' LCG): the same scenario gives the same frames. */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
}

function fill(slots: number[], base: number, count: number): void {
  for (let i = 0; i < count; i++) slots.push(base + i);
}

/**
 * Gives every page a frame number: three runs with holes between them, frames drawn in a shuffled order, so that no
 * virtual neighbour is a physical one and no page index equals its frame number. Absent pages are memory of the machine in
 * a last run that no container stores: a full dump ends before it, as a truncated one does. Device pages keep the frame
 * that they were given.
 */
export function assignFrames(all: readonly Page[], options: FrameOptions = {}): PhysicalLayout {
  const grouped = new Set<Page>();
  for (const group of options.groups ?? []) for (const page of group.pages) grouped.add(page);
  const present = all.filter((page) => !page.device && !page.absent && !grouped.has(page));
  const absent = all.filter((page) => !page.device && page.absent && !grouped.has(page));
  const total = present.length + (present.length >> 4) + 16; // a few free pages, as any machine has
  const low = Math.min(LOW_COUNT, Math.floor(total / 4));
  const middle = Math.ceil((total - low) * 0.6);
  const upper = total - low - middle;
  const upperBase = Math.max(options.upperBase ?? 0, (MIDDLE_BASE + middle + 0x1ff) & ~0x7f);
  const runs: Run[] = [
    { base: LOW_BASE, count: low },
    { base: MIDDLE_BASE, count: middle },
    { base: upperBase, count: upper },
  ];
  let next = upperBase + upper;
  const pages = new Map<number, Page>();
  const give = (page: Page, pfn: number): void => {
    page.pfn = pfn;
    pages.set(pfn, page);
  };
  for (const group of options.groups ?? []) {
    const base = Math.ceil((next + 1) / group.align) * group.align;
    group.pages.forEach((page, index) => {
      give(page, base + index);
    });
    runs.push({ base, count: group.pages.length });
    next = base + group.pages.length;
  }
  let sparse: Run | undefined;
  if (options.sparse !== undefined) {
    const base = Math.max(options.sparse.base, next + 1);
    sparse = { base, count: options.sparse.count };
    runs.push(sparse);
    next = base + options.sparse.count;
  }
  const missing = absent.length === 0 ? undefined : { base: next + 0x20, count: absent.length };
  if (missing !== undefined) {
    runs.push(missing);
    next = missing.base + missing.count;
    absent.forEach((page, index) => {
      page.pfn = missing.base + index;
    });
  }
  const slots: number[] = [];
  for (const run of runs.slice(0, 3)) fill(slots, run.base, run.count);
  const random = generator(0x5eed);
  for (let i = slots.length - 1; i > 0; i--) {
    const j = random(i + 1);
    const kept = slots[i] ?? 0;
    slots[i] = slots[j] ?? 0;
    slots[j] = kept;
  }
  present.forEach((page, index) => {
    give(page, slots[index] ?? 0);
  });
  return {
    runs,
    pages,
    end: next,
    ...(sparse === undefined ? {} : { sparse }),
    ...(missing === undefined ? {} : { missing }),
  };
}
