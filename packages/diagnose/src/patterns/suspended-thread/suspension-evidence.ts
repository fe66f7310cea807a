/** The bytes that say that a thread is suspended. */
import type { Target } from '@dumpscope/debugger';
import type { Evidence } from '../../engine/evidence.ts';
import { argument } from '../../engine/words.ts';
import type { SuspendedGroup, SuspendedThread } from '../../facts/suspended-threads.ts';

export function suspensionEvidence(
  target: Target,
  evidence: Evidence,
  { thread, wait, suspension }: SuspendedThread,
  group: SuspendedGroup,
): void {
  const show = `!thread ${argument(target, thread.address)}`;
  const who = `thread ${argument(target, thread.address)}`;
  const counted = thread.fieldAddress('SuspendCount');
  const frozenToo = suspension.freezeCount === null || suspension.freezeCount === 0;
  if (suspension.suspendCount !== null && counted !== null)
    evidence.memory(
      `SuspendCount of ${who} is ${suspension.suspendCount}${frozenToo ? '' : `, FreezeCount ${suspension.freezeCount}`}`,
      'true',
      counted,
      1,
      show,
    );
  const [block] = wait.blocks;
  if (suspension.stopped && block !== undefined)
    evidence.memory(
      `${who} waits for its own suspend object ${argument(target, block.object)}`,
      'true',
      block.address,
      target.pointerSize * 4,
      show,
    );
  else if (suspension.stopped) evidence.fact(`${who} waits with reason Suspended`, 'true', show, '_KTHREAD.WaitReason');
  const frozen = group.process.fieldAddress('FreezeCount');
  if (group.freeze.freezeCount !== null && group.freeze.freezeCount > 0 && frozen !== null)
    evidence.memory(
      `FreezeCount of process ${argument(target, group.process.address)} is ${group.freeze.freezeCount}`,
      'true',
      frozen,
      4,
      `!process ${argument(target, group.process.address)} 0`,
    );
}
