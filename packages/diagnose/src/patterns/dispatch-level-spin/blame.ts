/** Who is responsible, ranked and with roles, and who is cleared. */
import type { Frame, Module } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { address } from '../../engine/words.ts';
import { dumpTaker } from '../../facts/dump-taker.ts';
import type { SpinSite } from '../../facts/spin-sites.ts';
import type { Finding } from '../../report/report.ts';
import type { Judgement } from './judgement.ts';

type Blame = Finding['blame'][number];

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
    out.push({ module: module.name, function: name, role, reason });
  };
  const acquirer =
    site.waiter.frames.find((frame) => {
      const module = target.moduleAt(frame.pc);
      return (
        frame.index > site.loop.frameIndex &&
        module !== undefined &&
        module !== site.loop.module &&
        !carries(diagnosis, module)
      );
    }) ??
    site.waiter.frames.find(
      (frame) =>
        frame.index >= site.loop.frameIndex &&
        target.moduleAt(frame.pc) !== undefined &&
        !carries(diagnosis, target.moduleAt(frame.pc) as Module),
    );
  const holder = judgement.holderFrame;
  if (holder !== null && holder.index !== acquirer?.index)
    add(holder, 'holder', 'its frame holds the lock, or the queue entry through which it was taken');
  if (acquirer !== undefined) {
    add(
      acquirer,
      holder !== null && holder.index === acquirer.index ? 'holder and acquirer' : 'acquirer',
      judgement.lock === null
        ? 'first frame outside the kernel above the loop'
        : 'first frame outside the kernel that asked for the lock',
    );
  }
  const owner = judgement.lock === null ? undefined : target.moduleAt(judgement.lock.address);
  if (owner !== undefined && judgement.lock !== null && !carries(diagnosis, owner)) {
    out.push({
      module: owner.name,
      function: null,
      role: 'designer',
      reason: `the lock ${address(target, judgement.lock.address)} lies in its image`,
    });
  }
  if (out.length === 0 && site.loop.module !== null) {
    out.push({
      module: site.loop.module.name,
      function: site.loop.functionName,
      role: 'carrier',
      reason: 'the loop runs in it; no frame above it could be attributed',
    });
  }
  return out;
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
