import { vaAdd } from '@dumpscope/core';
import { findLoopAround } from '@dumpscope/cpu';
import { type Frame, type Module, type Registers, threadRegisters } from '@dumpscope/debugger';
import type { Diagnosis } from '../../engine/diagnosis.ts';
import type { Evidence } from '../../engine/evidence.ts';
import { address, argument, plural } from '../../engine/words.ts';
import { callEndingAt } from '../caller.ts';
import { isKernelOrHal } from '../frames.ts';
import { parametersOf, type Reading } from './reading.ts';
import { culpritOn } from './stack-culprit.ts';

/** The graphics port drivers measure the time and raise the bug check; the display driver below them is what is stuck. */
function isGraphicsPort(module: Module): boolean {
  return /^(dxgkrnl|dxgmms\d|watchdog|videoprt|win32k\w*|cdd|dxg)\b/i.test(module.imageName);
}

/** Frames of the stuck driver whose code is looked at for a loop. */
const MAX_FRAMES = 6;

/** 0xEA THREAD_STUCK_IN_DEVICE_DRIVER: parameter 1 is the thread. */
export function stuckThread(diagnosis: Diagnosis, evidence: Evidence): Reading {
  const { target } = diagnosis;
  const [thread] = parametersOf(diagnosis);
  const processor = target.processors.find((p) => p.currentThread === thread) ?? null;
  const registers: Registers | null =
    processor?.registers ?? (target.thread(thread) === null ? null : threadRegisters(target, thread));
  evidence.fact(
    processor === null
      ? `the stuck thread ${address(target, thread)} runs on no captured processor`
      : `the stuck thread ${address(target, thread)} runs on processor ${processor.number}${processor.contextTrust === 'bugchecking' ? ', which raised the bug check from inside it' : ''}`,
    'true',
    `!thread ${argument(target, thread)}`,
    'bug check parameter 1',
  );
  if (processor?.irql != null && processor.irql.address !== null)
    evidence.memory(
      `IRQL ${processor.irql.level} (${processor.irql.source}): the thread can be preempted`,
      'true',
      processor.irql.address,
      1,
    );
  const culprit = culpritOn(diagnosis, registers, evidence, 'stuck driver', {
    skip: isGraphicsPort,
    what: 'nt, hal and the graphics port',
  });
  const { frames } = culprit;
  const module = culprit.frame === null ? undefined : target.moduleAt(culprit.frame.pc);
  const own = frames.filter((frame) => module !== undefined && target.moduleAt(frame.pc) === module);
  if (module !== undefined)
    evidence.fact(
      `${plural(own.length, 'frame')} of ${frames.length} are of ${module.name}`,
      'undetermined',
      'k',
      'stack walk',
    );
  const loop = loopIn(diagnosis, own.slice(0, MAX_FRAMES), evidence);
  const name = module?.name ?? 'a driver that was not found';
  return {
    verdict: 'stuck-thread',
    confidence: module === undefined ? 'possible' : 'likely',
    title: `A thread does not come back from ${name}`,
    summary: [
      `The display driver has not left thread ${address(target, thread)} for longer than the port driver allows.`,
      module === undefined
        ? culprit.walked
          ? 'No driver outside the kernel and the graphics port was found on its stack.'
          : 'Its stack could not be walked to its start: which driver does not come back is not known.'
        : `The first driver below the graphics port is ${target.nameOf(culprit.frame?.pc ?? 0n).text}: the port measures the time of its calls and gave up on this one.`,
      ...(module === undefined ? [] : [loop.text]),
      'A driver that polls a device which does not answer looks like this: hardware, its firmware, or the way the driver asks.',
    ],
    processor: processor?.number ?? null,
    thread,
    blame: culprit.blame,
    cleared: carriers(diagnosis, frames),
    wouldChange: [
      ...(module === undefined || loop.read
        ? []
        : [
            `the code around ${target.nameOf(culprit.frame?.pc ?? 0n).text} (${module.imageName}${module.timeDateStamp === null ? '' : `, ${module.timeDateStamp.toString(16)}`}, ${module.size.toString(16)})`,
          ]),
      'a device that answers',
    ],
  };
}

function carriers(diagnosis: Diagnosis, frames: readonly Frame[]): { what: string; reason: string }[] {
  const { target } = diagnosis;
  const names = new Set<string>();
  for (const frame of frames) {
    const module = target.moduleAt(frame.pc);
    if (module !== undefined && !isKernelOrHal(target, module) && isGraphicsPort(module)) names.add(module.name);
  }
  return [...names].map((what) => ({ what, reason: 'graphics port: it measures the time and raises the bug check' }));
}

interface LoopSearch {
  readonly text: string;
  /** A loop was found, or the code of every frame was read and has none. */
  readonly read: boolean;
}

/** A closed loop around the call of one of the frames. */
function loopIn(diagnosis: Diagnosis, frames: readonly Frame[], evidence: Evidence): LoopSearch {
  const { target } = diagnosis;
  if (target.arch === 'arm64')
    return { text: 'Whether it loops there was not looked at on this architecture.', read: false };
  let read = 0;
  let absent = 0;
  for (const frame of frames) {
    const module = target.moduleAt(frame.pc);
    if (target.memory.bytes(frame.index === 0 ? frame.pc : frame.pc - 1n, 1) === undefined) absent++;
    const call = frame.index === 0 ? null : callEndingAt(target, frame.pc);
    const at = frame.index === 0 ? frame.pc : call?.address;
    const bounds = module?.functionAt(Number(frame.pc - module.base));
    if (module === undefined || at === undefined || bounds == null) continue;
    const start = vaAdd(module.base, bounds.start);
    const hints = bounds.end === null ? { start } : { ranges: [{ start, end: vaAdd(module.base, bounds.end) }] };
    const { loop, boundary, gaps } = findLoopAround(target.code, target.disassembler, at, hints);
    if (loop === null) {
      if (boundary !== 'mismatch' && gaps.length === 0) read++;
      continue;
    }
    evidence.memory(
      `the call of ${target.nameOf(frame.pc).text} lies in the loop ${address(target, loop.start)}..${address(target, loop.end - 1n)}, ${loop.instructions.length} instructions`,
      'true',
      loop.start,
      Math.min(Number(loop.end - loop.start), 256),
      `u ${argument(target, loop.start)} ${argument(target, loop.end)}`,
    );
    return {
      text: `Its call at ${target.nameOf(at).text} lies in a loop of ${loop.instructions.length} instructions.`,
      read: true,
    };
  }
  if (read === frames.length)
    return { text: `The code of its ${plural(read, 'frame')} was read: no loop lies around its calls.`, read: true };
  return {
    text:
      absent === frames.length
        ? 'Whether it loops there cannot be read: its code is not in the dump.'
        : `Whether it loops there cannot be told: of ${plural(frames.length, 'frame')} the code of ${read} was read to its end and has no loop around the call.`,
    read: false,
  };
}
