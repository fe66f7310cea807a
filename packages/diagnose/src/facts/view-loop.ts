import type { Loop, LoopAround } from '@dumpscope/cpu';
import type { Frame, Target } from '@dumpscope/debugger';
import type { LoopView } from './loop-view.ts';

export function viewLoop(_t: Target, _a: LoopAround, _l: Loop, _f: Frame): LoopView | null {
  return null;
}
