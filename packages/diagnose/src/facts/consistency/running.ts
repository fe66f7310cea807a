/** What PRCBs and threads say of each other: who runs where. */
import { isUserMode, type Processor, type Target, type Thread } from '@dumpscope/debugger';
import { address, argument, list } from '../../engine/words.ts';
import { RUNNING } from '../stacks.ts';
import type { Contradiction } from './contradiction.ts';

const states = ['Initialized', 'Ready', 'Running', 'Standby', 'Terminated', 'Waiting', 'Transition', 'DeferredReady'];
const INITIALIZED = 0;
const TERMINATED = 4;

export function runningContradictions(target: Target): Contradiction[] {
  const runners = new Map<bigint, Processor[]>();
  for (const processor of target.processors) {
    const current = processor.currentThread;
    if (current !== null) runners.set(current, [...(runners.get(current) ?? []), processor]);
  }
  const out: Contradiction[] = [];
  for (const [current, processors] of runners) {
    const [only] = processors;
    const thread = target.thread(current);
    if (processors.length > 1) out.push(twice(target, current, processors));
    else if (only !== undefined && thread !== null) out.push(...ofCurrent(target, only, thread));
  }
  return out;
}

function twice(target: Target, current: bigint, processors: readonly Processor[]): Contradiction {
  const numbers = processors.map((processor) => processor.number);
  return {
    kind: 'running',
    claim: `thread ${address(target, current)} is CurrentThread of processors ${list(numbers.map(String))}: a thread runs on one`,
    certain: true,
    byLayout: true,
    places: processors.map((processor) => ({
      claim: `CurrentThread of processor ${processor.number} is ${address(target, current)}`,
      address: processor.prcb + BigInt(currentOffset(target)),
      length: target.pointerSize,
      command: `dt nt!_KPRCB ${argument(target, processor.prcb)} CurrentThread`,
    })),
    about: { threads: [current], processors: numbers },
  };
}

function ofCurrent(target: Target, processor: Processor, thread: Thread): Contradiction[] {
  const out: Contradiction[] = [];
  const who = `thread ${address(target, thread.address)}`;
  const about = { threads: [thread.address], processors: [processor.number] };
  const show = `!thread ${argument(target, thread.address)}`;
  // An idle thread that is current may be in Standby (processor 3 of a real 22000 dump): its State tells nothing.
  const state = processor.idleThread === true ? null : thread.fieldAddress('State');
  const current = {
    claim: `CurrentThread of processor ${processor.number} is ${address(target, thread.address)}`,
    address: processor.prcb + BigInt(currentOffset(target)),
    length: target.pointerSize,
    command: `dt nt!_KPRCB ${argument(target, processor.prcb)} CurrentThread`,
  };
  if (thread.state !== null && thread.state !== RUNNING && state !== null) {
    const name = states[thread.state] ?? `state ${thread.state}`;
    // Between marking the old thread as waiting or ready and loading the new one a switch has both; user code is in none.
    const inUser = processor.interrupted !== null && isUserMode(processor.interrupted);
    out.push({
      kind: 'running',
      claim: `${who} is CurrentThread of processor ${processor.number}, and its State is ${name}`,
      certain: inUser || thread.state === TERMINATED || thread.state === INITIALIZED || thread.state >= states.length,
      byLayout: true,
      places: [
        current,
        {
          claim: `State of ${who} is ${thread.state} (${name}), not 2 (Running)`,
          address: state,
          length: 1,
          command: show,
        },
      ],
      about,
    });
  } else {
    const at = thread.fieldAddress('NextProcessor');
    const next = thread.nextProcessor;
    // XP keeps a byte there, later builds a ULONG; the idle thread of a processor never leaves it.
    if (thread.state === RUNNING && next !== null && at !== null && next !== processor.number && next < 0x10000)
      out.push({
        kind: 'running',
        claim: `${who} is CurrentThread of processor ${processor.number}, and its NextProcessor says ${next}`,
        certain: true,
        byLayout: true,
        places: [
          current,
          {
            claim: `NextProcessor of ${who} is ${next}, and the thread is running`,
            address: at,
            length: 1,
            command: show,
          },
        ],
        about,
      });
  }
  return out;
}

function currentOffset(target: Target): number {
  return (
    target.layouts.table.struct('_KPRCB')?.fields.get('CurrentThread')?.offset ??
    target.kdbg?.offset('OffsetPrcbCurrentThread') ??
    (target.pointerSize === 8 ? 8 : 4)
  );
}
