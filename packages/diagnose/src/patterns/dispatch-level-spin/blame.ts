/** Who is responsible, ranked and with roles, and who is cleared. */
import type { Frame, Module } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { address, json } from '../../engine/words.ts';
import { dumpTaker } from '../../facts/dump-taker.ts';
import { calledAddress } from '../../facts/function-graph.ts';
import { type SpinSite, spinSites } from '../../facts/spin-sites.ts';
import { acquiresForItsCaller } from '../../locks/call-effect.ts';
import { lockPlace } from '../../locks/lock-place.ts';
import { waitCycle } from '../../locks/spin-graph.ts';
import type { Finding, Signature } from '../../report/report.ts';
import { runFrom, signatureOf } from '../../report/signature.ts';
import type { Judgement } from './judgement.ts';

type Blame = Finding['blame'][number];

/** Lock helpers of drivers stacked upon each other; deeper ones are not seen. */
const MAX_HELPERS = 3;

/** The kernel and the HAL carry locks for others; blame starts at the first frame outside them. */
function carries(diagnosis: Diagnosis, module: Module): boolean {
  return module === diagnosis.target.kernel || /^(hal|ntoskrnl|ntkr)/i.test(module.imageName);
}

export function blameOf(diagnosis: Diagnosis, site: SpinSite, judgement: Judgement): readonly Blame[] {
  const { target } = diagnosis;
  const out: Blame[] = [];
  const add = (frame: Frame, role: string, reason: string): void => {
    const module = target.moduleAt(frame.pc);
    if (module === undefined) return;
    const name = target.nameOf(frame.pc).text;
    if (out.some((blame) => blame.function === name && blame.role === role)) return;
    out.push({ module: module.name, function: name, role, reason, address: json(frame.pc) });
  };
  const { acquirer, helpers } = acquirerOf(diagnosis, site, judgement.lock);
  const holder = judgement.holderFrame;
  const same = judgement.holderWalk === undefined && holder !== null && holder.index === acquirer?.index;
  if (holder !== null && !same)
    add(
      holder,
      'holder',
      judgement.holderReason ?? 'its frame holds the lock, or the queue entry through which it was taken',
    );
  if (acquirer !== undefined) {
    const own = judgement.lock === null && acquirer.index === site.loop.frameIndex;
    add(
      acquirer,
      same ? 'holder and acquirer' : own ? 'designer' : 'acquirer',
      judgement.lock === null
        ? own
          ? 'the loop is its own code'
          : 'first frame outside the kernel above the loop'
        : helpers.length === 0
          ? 'first frame outside the kernel that asked for the lock'
          : 'first frame that asked for the lock for itself',
    );
  }
  for (const helper of helpers)
    add(helper, 'carrier', 'a lock helper: called with a free lock, its code comes back with it held, for its caller');
  const place = judgement.lock === null ? null : lockPlace(diagnosis, judgement.lock.address);
  const owner = place?.module ?? null;
  if (owner !== null && place !== null && judgement.lock !== null && !carries(diagnosis, owner)) {
    out.push({
      module: owner.name,
      function: null,
      role: 'designer',
      reason: `the lock ${address(target, judgement.lock.address)} lies ${place.text}`,
    });
  }
  if (out.length === 0 && site.loop.module !== null) {
    out.push({
      module: site.loop.module.name,
      function: site.loop.functionName,
      role: 'carrier',
      reason: 'the loop runs in it; no frame above it could be attributed',
      address: json(site.loop.header),
    });
  }
  return out;
}

/** Frames of the loop and above it that are neither the kernel's nor the HAL's. */
function outsideOf(diagnosis: Diagnosis, site: SpinSite): readonly Frame[] {
  return site.waiter.frames.filter((frame) => {
    const module = diagnosis.target.moduleAt(frame.pc);
    return frame.index >= site.loop.frameIndex && module !== undefined && !carries(diagnosis, module);
  });
}

/** The frame that asked for the lock, and the helpers below it that only take locks for their callers. */
function acquirerOf(
  diagnosis: Diagnosis,
  site: SpinSite,
  lock: Judgement['lock'],
): { readonly acquirer: Frame | undefined; readonly helpers: readonly Frame[] } {
  const { target } = diagnosis;
  const { frames } = site.waiter;
  const outside = outsideOf(diagnosis, site);
  const helpers: Frame[] = [];
  for (const frame of outside) {
    if (lock === null || helpers.length >= MAX_HELPERS || frame.index === frames.length - 1) break;
    const start = calledAddress(target, frames, frame.index);
    if (start === null || !acquiresForItsCaller(target, start, lock.kind === 'queued spin lock')) break;
    helpers.push(frame);
  }
  // A driver that waits in a loop of its own is not carried by its callers.
  const acquirer = outside[helpers.length];
  return acquirer === undefined ? { acquirer: outside[0], helpers: [] } : { acquirer, helpers };
}

/**
 * The defect as module and RVAs: of the code that holds the lock where that is elsewhere, for whoever runs into it is a
 * victim; of all processors of a cycle; else of the frames above the acquire.
 */
export function spinSignature(diagnosis: Diagnosis, site: SpinSite, judgement: Judgement): Signature | null {
  const { target } = diagnosis;
  const asked = (of: SpinSite): readonly bigint[] => {
    // From the first frame, helpers too: whether one is recognised depends on what of its code the dump holds.
    const first = outsideOf(diagnosis, of)[0];
    return first === undefined ? [] : runFrom(target, of.waiter.frames, first.index);
  };
  if (judgement.verdict === 'lock-order-deadlock') {
    const members = new Set(waitCycle(diagnosis, site) ?? []);
    const sites = diagnosis.fact(spinSites).filter((other) => members.has(other.waiter.processor.number));
    return signatureOf(target, 'dispatch-level-spin', sites.map(asked));
  }
  const { holderFrame, holderWalk } = judgement;
  if (holderFrame !== null && holderWalk !== undefined) {
    const outer = holderWalk.find((frame) => {
      const module = target.moduleAt(frame.pc);
      return frame.index >= holderFrame.index && module !== undefined && !carries(diagnosis, module);
    });
    const from = outer ?? holderFrame;
    return signatureOf(target, 'dispatch-level-spin', [runFrom(target, holderWalk, from.index)]);
  }
  const own = asked(site);
  return signatureOf(target, 'dispatch-level-spin', [own.length === 0 ? [site.loop.header] : own]);
}

export function clearedFor(diagnosis: Diagnosis, site: SpinSite): Finding['cleared'] {
  const { target } = diagnosis;
  const cleared: { what: string; reason: string }[] = [];
  for (const processor of target.processors) {
    if (processor.number === site.waiter.processor.number || processor.idle !== true) continue;
    cleared.push({ what: `processor ${processor.number}`, reason: `idle: ${processor.idleReason}` });
  }
  const taker = diagnosis.fact(dumpTaker);
  if (taker !== null && taker.processor.number === site.waiter.processor.number) {
    for (const driver of taker.drivers)
      cleared.push({
        what: driver.name,
        reason: `only took the dump: its frames lie above the trap frame ${address(target, taker.trapFrame)}, in the interrupt that wrote it`,
      });
  }
  return cleared;
}
