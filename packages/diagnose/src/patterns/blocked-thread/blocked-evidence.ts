/** What shows that a thread is blocked: its wait, its age, the frame above it, and the request with the device. */
import { type Target, WAIT_REASONS } from '@dumpscope/debugger';
import type { Evidence } from '../../engine/evidence.ts';
import { argument, clock, count } from '../../engine/words.ts';
import type { BlockedThread } from '../../facts/blocked-threads.ts';
import { citeEdges } from '../../waits/cite.ts';
import { threadText } from '../../waits/words.ts';

export function blockedEvidence(target: Target, evidence: Evidence, blocked: BlockedThread): void {
  const { thread, wait, ticks, seconds, caller, stack, device } = blocked;
  const show = `!thread ${argument(target, thread.address)}`;
  const who = threadText(target, thread.address);
  const reason = WAIT_REASONS[thread.waitReason ?? -1] ?? 'unknown reason';
  const at = thread.fieldAddress('WaitTime');
  const age = `${who} waits for ${count(ticks ?? 0)} ticks = ${clock(seconds)} (${reason}, kernel mode${wait.timeout === false ? ', no time-out' : ''})`;
  if (at === null) evidence.fact(age, 'true', show, '_KTHREAD.WaitTime');
  else evidence.memory(age, 'true', at, 4, show);
  if (caller !== null) {
    const claim = `the frame above its wait is ${target.nameOf(caller.pc).text}${stack?.sure === false ? ', found by scanning the stack' : ''}`;
    const outcome = stack?.sure === false ? 'undetermined' : 'true';
    // The return address lies in the frame before the caller's own.
    const inner = stack?.frames[caller.index - 1]?.returnSlot ?? null;
    if (inner === null) evidence.fact(claim, outcome, show, 'stack');
    else evidence.memory(claim, outcome, inner, target.pointerSize, show);
  } else if (device !== null)
    evidence.fact('no driver is seen on its stack', stack === null ? 'undetermined' : 'true', show, 'stack');
  const flags = thread.fieldAddress('Terminated');
  if (blocked.dying && flags !== null)
    evidence.memory(`${who} is being terminated (Terminated of its cross-thread flags)`, 'true', flags, 4, show);
  if (device === null) return;
  citeEdges(evidence, device.edges);
  evidence.fact(
    device.enumerated === null
      ? `whether device ${argument(target, device.address)} is of the Plug and Play tree could not be read`
      : `the stack of device ${argument(target, device.address)} ${device.enumerated ? 'stands on a' : 'has no'} device of the Plug and Play tree`,
    device.enumerated === null ? 'undetermined' : 'true',
    `dt nt!_DEVICE_OBJECT ${argument(target, device.address)}`,
    '_DEVOBJ_EXTENSION.AttachedTo, DeviceNode',
  );
}
