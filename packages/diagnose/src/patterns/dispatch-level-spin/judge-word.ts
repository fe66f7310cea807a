/** Verdict on a wait for a lock whose word names no owner: KSPIN_LOCK, EX_SPIN_LOCK. */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, list, plural } from '../../engine/words.ts';
import type { WaitCell } from '../../facts/loop-view.ts';
import { isStuck, type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { findHolders, type Holder, type HolderSearch, sawEverything } from '../../locks/holders.ts';
import { type LockPlace, lockPlace } from '../../locks/lock-place.ts';
import { corruptCount, judgeReaders } from './judge-shared.ts';
import { busyElsewhere, byHoldersState, canStillRelease, type Judgement } from './judgement.ts';

export function judgeWord(diagnosis: Diagnosis, site: SpinSite, cell: WaitCell, evidence: Evidence): Judgement {
  const { target } = diagnosis;
  const where = address(target, cell.address);
  const kind = site.loop.shape === 'shared-exclusive-wait' ? 'EX_SPIN_LOCK' : 'spin lock';
  const base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'> = {
    lock: { kind, address: cell.address, word: cell.value },
    holderFrame: null,
    downstream: [],
  };
  const place = lockPlace(diagnosis, cell.address);
  if (cell.value === null) {
    evidence.memory(`the lock word`, 'undetermined', cell.address, cell.size);
    if (place.kind === 'unmapped')
      return lostMemory(base, where, place, 'the processor still reads it through a translation that it has kept');
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `The loop waits for the word at ${where}, which could not be read (${cell.gap ?? 'not in the dump'}): whether it is still held is not known.`,
      assumptions: [],
      wouldChange: [`the ${cell.size} bytes at ${where}`],
    };
  }
  evidence.memory(`the lock word is 0x${cell.value.toString(16)}`, 'true', cell.address, cell.size);
  const open = site.loop.execution.end === 'cycle' ? [] : site.loop.exits.filter((exit) => exit.taken === true);
  const free = cell.value === 0n;
  if (!free && open.length > 0 && !open.some((exit) => exit.cells.every((read) => read.address === cell.address))) {
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `The lock word holds 0x${cell.value.toString(16)}, and the loop is left on the way by ${plural(open.length, 'exit')} that ${open.length === 1 ? 'looks' : 'look'} at more than the lock: where that leads belongs to the wait and was not found.`,
      assumptions: [],
      wouldChange: [`the code behind ${list(open.slice(0, 4).map((exit) => address(target, exit.branch)))}`],
    };
  }
  if (free || open.length > 0) {
    return {
      ...base,
      verdict: 'transient',
      confidence: 'likely',
      why: `The lock is free in memory: the processor was stopped before it looked again, and would have got it next.`,
      assumptions: ['the dump shows the memory as the processor would have seen it next'],
      wouldChange: [`a held lock word at ${where}`],
    };
  }
  const corrupt = site.loop.readerWriter === null ? null : corruptCount(diagnosis, cell.value, base, where);
  if (corrupt !== null) return corrupt;
  if (!legalWord(site, cell.value, target.pointerSize)) {
    return {
      ...base,
      verdict: 'corrupt-lock',
      confidence: 'likely',
      why: `The lock word 0x${cell.value.toString(16)} is no value that a ${kind} has while it is held: the memory was overwritten, freed or never initialised as a lock.`,
      assumptions: ['the word is a lock of the kind that the loop treats it as'],
      wouldChange: [`a lock word of 1 at ${where}`],
    };
  }
  const search = findHolders(diagnosis, site.waiter, cell.address, site.loop.frameIndex);
  evidence.fact(
    `holder search over ${search.processorsSeen} of ${plural(search.processorsTotal, 'processor')} and ${search.stacksSeen} of ${plural(search.stacksTotal, 'other stack')}: ${search.holders.length === 0 ? 'no frame stands between an acquire of this lock and its release' : plural(search.holders.length, 'frame')}`,
    'true',
    '!running -t; !stacks',
    'must-hold analysis of the code of every frame',
  );
  const self = search.holders.some((holder) => holder.by === 'self');
  const readers = self ? null : judgeReaders(diagnosis, site, cell, search, base, evidence);
  if (readers !== null) return readers;
  const holder =
    search.holders.find((h) => h.by === 'self' && h.held === 'on-all-paths') ??
    search.holders.find((h) => h.held === 'on-all-paths') ??
    search.holders[0];
  if (holder === undefined)
    return place.gone ? lostMemory(base, where, place, null) : nobody(diagnosis, site, search, base, where);
  return held(diagnosis, site, cell, holder, base, evidence);
}

/** The lock's memory is nobody's any more: whatever the word says, no release will come. */
function lostMemory(
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
  where: string,
  place: LockPlace,
  note: string | null,
): Judgement {
  return {
    ...base,
    verdict: 'corrupt-lock',
    confidence: 'likely',
    why: `The memory of the lock at ${where} is nobody's any more, and no frame that could be read holds it: it was given back while somebody waits for it, and no release will come.`,
    assumptions: [
      ...(note === null ? [] : [note]),
      place.kind === 'freed-pool' ? 'the pool header before it is one' : 'the bounds of that memory are right',
    ],
    wouldChange: [
      place.kind === 'freed-pool' ? 'an allocated block around the lock' : 'memory of an owner around the lock',
      `a frame that stands between an acquire of ${where} and its release`,
    ],
  };
}

/** Plain locks hold 1 on retail builds, owner thread | 1 on instrumented ones; EX_SPIN_LOCK any mix of its bits. */
function legalWord(site: SpinSite, value: bigint, pointerSize: number): boolean {
  if (site.loop.shape === 'shared-exclusive-wait') return true;
  if (value === 1n) return true;
  const kernel = pointerSize === 4 ? 0x8000_0000n : 0xffff_8000_0000_0000n;
  return (value & 1n) === 1n && value >= kernel;
}

function held(
  diagnosis: Diagnosis,
  site: SpinSite,
  cell: WaitCell,
  holder: Holder,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
  evidence: Evidence,
): Judgement {
  const { target } = diagnosis;
  const where = address(target, cell.address);
  const name = target.nameOf(holder.frame.pc).text;
  const sure = holder.held === 'on-all-paths';
  const paths = sure ? 'on every path from the acquire to where it stands' : 'on some paths to where it stands';
  if (holder.acquiredAt !== null) {
    evidence.memory(
      `${name} acquires this lock at ${address(target, holder.acquiredAt)} and has not released it ${paths}`,
      sure ? 'true' : 'undetermined',
      holder.acquiredAt,
      5,
      `u ${holder.acquiredAt.toString(16)} l1`,
    );
  }
  const wouldChange = [
    `a release of ${where} between the acquire and the call in ${name}`,
    `a lock word of 0 at ${where}`,
  ];
  switch (holder.by) {
    case 'self':
      return {
        ...base,
        holderFrame: holder.frame,
        verdict: holder.trapFrame === null ? 'self-deadlock' : 'self-deadlock-across-levels',
        confidence: sure ? 'strong' : 'likely',
        why:
          holder.trapFrame === null
            ? `An older frame of this same stack, ${name}, holds the lock ${paths}: the thread waits for itself. Mechanism: recursion.`
            : `Code that this processor interrupted, ${name}, holds the lock ${paths}; the trap frame ${address(target, holder.trapFrame)} lies between. The processor waits for itself.`,
        assumptions: ['no other processor took the lock after that frame released it through code that was not seen'],
        wouldChange,
      };
    case 'processor': {
      const other = holder.processor;
      const number = other?.number ?? -1;
      const spinsToo = diagnosis
        .fact(spinSites)
        .some((sibling) => sibling.waiter.processor.number === number && isStuck(sibling));
      const decided =
        other === null
          ? null
          : byHoldersState(
              diagnosis,
              site,
              other,
              { ...base, holderFrame: holder.frame, holderWalk: holder.frames },
              sure ? 'strong' : 'likely',
              `a lock word of 0 at ${where}`,
            );
      if (decided !== null) return decided;
      return {
        ...base,
        holderFrame: holder.frame,
        holderWalk: holder.frames,
        verdict: spinsToo ? 'holder-stuck' : 'held-elsewhere',
        confidence: 'likely',
        why: spinsToo
          ? `Processor ${number} holds the lock in ${name} ${paths} and cannot leave a loop itself: the root is there.`
          : `Processor ${number} holds the lock in ${name} ${paths}; ${canStillRelease(diagnosis, other)}.`,
        assumptions: sure ? [] : ['the path that holds the lock was taken'],
        wouldChange,
      };
    }
    case 'thread':
      return {
        ...base,
        holderFrame: holder.frame,
        holderWalk: holder.frames,
        verdict: 'holder-descheduled',
        confidence: sure ? 'strong' : 'likely',
        why: `Thread ${address(target, holder.thread?.address ?? 0n)}, which runs on no processor, holds the lock in ${name} ${paths}.`,
        assumptions: ['the switched-out stack is as the thread left it'],
        wouldChange,
      };
  }
}

function nobody(
  diagnosis: Diagnosis,
  site: SpinSite,
  search: HolderSearch,
  base: Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>,
  where: string,
): Judgement {
  const { target } = diagnosis;
  const others = busyElsewhere(diagnosis, site).map((processor) => `processor ${processor.number}`);
  const whole = sawEverything(search);
  const seen = `${search.processorsSeen} of ${search.processorsTotal} processors, ${search.stacksSeen} of ${search.stacksTotal} other stacks readable${search.threadsListed ? '' : ', threads not all listed'}${search.unclear.length === 0 ? '' : `; the code of ${list([...new Set(search.unclear.map((frame) => target.nameOf(frame.pc).text))].slice(0, 4))} does not tell`}`;
  if (others.length > 0) {
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `The lock is held, and nothing that could be read shows by whom (${seen}); ${list(others.slice(0, 6))}${others.length > 6 ? ` and ${others.length - 6} more` : ''} may still release it.`,
      assumptions: [],
      wouldChange: ['a frame that stands between an acquire of the lock and its release'],
    };
  }
  if (!whole) {
    return {
      ...base,
      verdict: 'undetermined',
      confidence: 'possible',
      why: `The lock at ${where} is held, every other processor is idle, and no frame that could be read holds it (${seen}). The lock may be orphaned, or its holder is out of sight.`,
      assumptions: [],
      wouldChange: [
        'the stacks that could not be read',
        'a frame that stands between an acquire of the lock and its release',
      ],
    };
  }
  return {
    ...base,
    verdict: 'orphaned-lock',
    confidence: 'strong',
    why: `The lock at ${where} is held, every other processor is idle, and no frame that could be read holds it (${seen}): whoever took it has left without releasing it.`,
    assumptions: ['no code holds the lock in a way that its own control flow does not show'],
    wouldChange: ['a frame that stands between an acquire of the lock and its release'],
  };
}
