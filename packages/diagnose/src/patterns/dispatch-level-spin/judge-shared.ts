/**
 * Verdict on a wait for a reader/writer spin lock (EX_SPIN_LOCK: bit 31 a writer, bit 30 a writer waits, the rest a count
 * of readers). A count can be checked: as many readers must be found as it says, or some of them are gone.
 */
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, list, plural } from '../../engine/words.ts';
import type { WaitCell } from '../../facts/loop-view.ts';
import { isStuck, type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { type HolderSearch, sawEverything } from '../../locks/holders.ts';
import { busyElsewhere, type Judgement } from './judgement.ts';

const WRITER = 0x8000_0000n;
const WAITING = 0x4000_0000n;
const READERS = 0x3fff_ffffn;
/** A processor reads a lock once, or a few times over where code recurses. */
const READERS_PER_PROCESSOR = 16n;

type Base = Pick<Judgement, 'lock' | 'holderFrame' | 'downstream'>;

/** Null where the count is one that the machine can have. */
export function corruptCount(diagnosis: Diagnosis, value: bigint, base: Base, where: string): Judgement | null {
  const readers = value & READERS;
  const most = READERS_PER_PROCESSOR * BigInt(Math.max(1, diagnosis.target.dump.header.numberProcessors));
  if (readers <= most) return null;
  return {
    ...base,
    verdict: 'corrupt-lock',
    confidence: 'likely',
    why: `The lock word 0x${value.toString(16)} counts ${plural(Number(readers), 'reader')}, more than ${plural(diagnosis.target.dump.header.numberProcessors, 'processor')} can be: the memory was overwritten, freed or never initialised as a lock.`,
    assumptions: ['the word is a lock of the kind that the loop treats it as'],
    wouldChange: [`a lock word of a few readers at ${where}`],
  };
}

/** A wait for readers to leave; null where it is a writer that is waited for, which a plain holder search answers. */
export function judgeReaders(
  diagnosis: Diagnosis,
  site: SpinSite,
  cell: WaitCell,
  search: HolderSearch,
  base: Base,
  evidence: Evidence,
): Judgement | null {
  const { target } = diagnosis;
  const value = cell.value ?? 0n;
  const where = address(target, cell.address);
  const mode = site.loop.readerWriter;
  const count = Number(value & READERS);
  if (mode === null || count === 0 || (mode.waitsFor !== 'readers' && mode.waitsFor !== 'writer-or-waiting-writer'))
    return null;
  evidence.memory(
    `the word counts ${plural(count, 'reader')}${(value & WRITER) !== 0n ? ', a writer has closed it' : (value & WAITING) !== 0n ? ', and a writer waits' : ', no writer'}`,
    'true',
    cell.address,
    cell.size,
  );
  const inside = search.holders;
  const sure = inside.every((holder) => holder.held === 'on-all-paths');
  const names = list(
    inside.map((holder) =>
      holder.by === 'thread'
        ? `thread ${address(target, holder.thread?.address ?? 0n)} in ${target.nameOf(holder.frame.pc).text}`
        : `processor ${holder.processor?.number ?? '?'} in ${target.nameOf(holder.frame.pc).text}`,
    ),
  );
  const wouldChange = [`a lock word of 0 at ${where}`];
  if (inside.length >= count) {
    const off = inside.find((holder) => holder.by === 'thread');
    const stuck = inside.find(
      (holder) =>
        holder.by === 'processor' &&
        diagnosis
          .fact(spinSites)
          .some((other) => other.waiter.processor.number === holder.processor?.number && isStuck(other)),
    );
    const culprit = off ?? stuck ?? null;
    const held = culprit === null ? base : { ...base, holderFrame: culprit.frame, holderWalk: culprit.frames };
    if (culprit !== null)
      return {
        ...held,
        verdict: off === undefined ? 'holder-stuck' : 'holder-descheduled',
        confidence: sure ? 'strong' : 'likely',
        why: `All ${plural(count, 'reader')} of the lock were found: ${names}. ${off === undefined ? `Processor ${stuck?.processor?.number} cannot leave a loop itself: the root is there.` : 'One of them is a thread that runs on no processor: it cannot leave before it is scheduled again.'}`,
        assumptions: ['the holding frames read the lock and do not write it'],
        wouldChange,
      };
    return {
      ...base,
      verdict: 'reader-writer-convoy',
      confidence: 'likely',
      why: `${mode.mode === 'exclusive' ? 'A writer' : 'A reader behind a waiting writer'} waits for ${plural(count, 'reader')}, and all of them were found on processors that can go on: ${names}. New readers keep the count up, or the ones inside take long.`,
      assumptions: ['the holding frames read the lock and do not write it'],
      wouldChange: [...wouldChange, 'a reader on a processor that cannot go on'],
    };
  }
  const others = busyElsewhere(diagnosis, site).filter(
    (processor) => !inside.some((holder) => holder.processor?.number === processor.number),
  );
  const missing = count - inside.length;
  const seen = `${search.processorsSeen} of ${search.processorsTotal} processors, ${search.stacksSeen} of ${search.stacksTotal} other stacks readable`;
  const found = inside.length === 0 ? 'none of them was found' : `only ${inside.length} of them found (${names})`;
  if (sawEverything(search) && others.length === 0)
    return {
      ...base,
      verdict: 'orphaned-lock',
      confidence: 'strong',
      why: `The lock counts ${plural(count, 'reader')}, and ${found} (${seen}): ${missing === 1 ? 'one reader has' : `${missing} readers have`} left without releasing it, and the count never comes to zero.`,
      assumptions: ['no code reads the lock in a way that its own control flow does not show'],
      wouldChange: [...wouldChange, 'a frame that stands between a shared acquire of the lock and its release'],
    };
  return {
    ...base,
    verdict: 'undetermined',
    confidence: 'possible',
    why: `The lock counts ${plural(count, 'reader')}, and ${found} (${seen})${others.length === 0 ? '' : `; ${list(others.slice(0, 6).map((processor) => `processor ${processor.number}`))} may be among them`}. Whether a reader is lost or only out of sight is not known.`,
    assumptions: [],
    wouldChange: [...wouldChange, 'the stacks that could not be read'],
  };
}
