/** A crash with return addresses of an unloaded module on its stack: a lock or object of a driver that is gone. */

import { unloadedAt } from '../../bugchecks/address-view.ts';
import { trustText, trustTo } from '../../bugchecks/frames.ts';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import { argument, json } from '../../engine/words.ts';
import { isManualCode } from '../../facts/dump-taker.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

/** Only of the processor that bugchecked, and only by frames that are more than a scan's guess. */
export function unloadedFrames(diagnosis: Diagnosis): readonly Finding[] {
  const { target } = diagnosis;
  const processor = target.processors.find((p) => p.contextTrust === 'bugchecking');
  const start = processor?.interrupted ?? processor?.registers;
  if (processor === undefined || start == null || target.bugcheck === null || isManualCode(target.bugcheck.baseCode))
    return [];
  if (target.unloadedModules.length === 0) return [];
  const { frames } = target.walkStack(start);
  const index = frames.findIndex(
    (frame) => target.moduleAt(frame.pc) === undefined && unloadedAt(target, frame.pc) !== null,
  );
  const frame = frames[index];
  if (frame === undefined || trustTo(frames, index) === 'scan') return [];
  const gone = unloadedAt(target, frame.pc);
  if (gone === null) return [];
  const evidence = diagnosis.evidence('unloaded');
  const slot = frames[index - 1]?.returnSlot;
  const claim = `frame ${index} returns to ${gone.name}+0x${(frame.pc - gone.start).toString(16)}, by ${trustText(trustTo(frames, index))}`;
  if (slot == null) evidence.fact(claim, 'true', 'k', 'stack walk');
  else evidence.memory(claim, 'true', slot, target.pointerSize, `dps ${argument(target, slot)} l1`);
  evidence.fact(
    `${gone.name} was unloaded from ${argument(target, gone.start)}..${argument(target, gone.end)}`,
    'true',
    'lm',
    'list of unloaded modules',
  );
  return [
    {
      ...blankFinding(
        'unloaded-module',
        'code',
        'strong',
        `The crashing stack returns into ${gone.name}, which was unloaded`,
        `Frame ${index} of the stack lies in the range of ${gone.name}, which is not loaded any more: it was unloaded while one of its calls was still under way.`,
      ),
      processor: processor.number,
      thread: json(processor.currentThread),
      blame: [
        {
          module: gone.name,
          function: null,
          role: 'designer',
          reason: 'it was unloaded while its code was still on a stack',
        },
      ],
      evidence: evidence.items,
      assumptions: ['nothing else used the range after the unloading'],
      wouldChange: ['another owner of the range since the unloading'],
    },
  ];
}
