/** Pageable memory touched at raised IRQL: the code that touches it may do so at PASSIVE_LEVEL, and who raised the level is the question. */
import type { Diagnosis } from '../engine/diagnosis.ts';
import type { Evidence } from '../engine/evidence.ts';
import { address, argument, json } from '../engine/words.ts';
import { spinSites } from '../facts/spin-sites.ts';
import { findHolders } from '../locks/holders.ts';
import type { Fault } from './fault-context.ts';
import { type Blame, blameFrame, firstOutside, foundBy } from './frames.ts';

export interface RaisedLevel {
  readonly blame: readonly Blame[];
  readonly text: readonly string[];
}

/** A frame of the faulting stack that holds a spin lock others wait for; else the drivers above the fault, unranked. */
export function whoRaised(diagnosis: Diagnosis, fault: Fault, evidence: Evidence): RaisedLevel {
  const { target } = diagnosis;
  const own = fault.pc === null ? undefined : target.moduleAt(fault.pc);
  const site = fault.pc === null ? null : target.nameOf(fault.pc).text;
  for (const { waiter, loop } of diagnosis.fact(spinSites)) {
    if (loop.lockCell === null) continue;
    const lock = loop.lockCell.address;
    const holder = findHolders(diagnosis, waiter, lock, loop.frameIndex).holders.find(
      (item) => item.by === 'processor' && item.processor?.number === fault.processor?.number,
    );
    if (holder === undefined) continue;
    const name = target.nameOf(holder.frame.pc).text;
    evidence.memory(
      `${name} on this stack holds the spin lock ${address(target, lock)} ${holder.held === 'on-all-paths' ? 'on every path' : 'on some paths'} from its acquire; processor ${waiter.processor.number} waits for it`,
      'true',
      lock,
      target.pointerSize,
      `dps ${argument(target, lock)} l1`,
    );
    const blame = [
      blameFrame(
        target,
        holder.frame,
        'holder',
        `it holds the spin lock ${address(target, lock)} and called on at DISPATCH_LEVEL`,
      ),
    ];
    if (own !== undefined && site !== null && own !== target.moduleAt(holder.frame.pc))
      blame.push({
        module: own.name,
        function: site,
        role: 'victim',
        reason: 'it touches pageable memory, as it may below DISPATCH_LEVEL',
        address: json(fault.pc),
      });
    return { blame, text: [`${name} holds the spin lock ${address(target, lock)} and called into this code with it.`] };
  }
  const blame: Blame[] = [];
  if (own !== undefined && site !== null)
    blame.push({
      module: own.name,
      function: site,
      role: 'faulting code',
      reason:
        'the faulting instruction is its own; it, or code above it, runs at a level at which it must not touch such memory',
      address: json(fault.pc),
    });
  const above = firstOutside(target, fault.frames, (module) => module === own);
  if (above !== null)
    blame.push(
      blameFrame(
        target,
        above,
        'caller',
        `it stands above the faulting code and may have raised the level; ${foundBy(fault.frames, above)}`,
      ),
    );
  return { blame, text: [] };
}
