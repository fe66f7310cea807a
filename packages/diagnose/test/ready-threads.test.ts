/** Ready threads beside the seed's spinner (S01a): processor 0 is at DISPATCH_LEVEL, processor 1 idle unless changed. */
import { describe, expect, it } from 'vitest';
import type { Scenario, ThreadSpec, Value } from '../../forge/src/scenario/scenario.ts';
import { diagnose } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const seed = scenarioNamed('S01a');
const tickCount = 163_646;

/** Findings about ready threads when `thread` is added to the spinner's process and `second` runs on processor 1. */
function found(
  thread: ThreadSpec,
  second?: ThreadSpec,
  wanted: readonly string[] = ['affine-thread', 'thread-starvation'],
): string[] {
  const app = seed.processes?.MyApp;
  if (app === undefined) throw new Error('S01a has no process MyApp');
  const [first, other] = seed.processors;
  if (first === undefined || other === undefined) throw new Error('S01a has fewer than two processors');
  const scenario = {
    ...seed,
    processors: [first, second === undefined ? other : { ...other, thread: 'second' }],
    processes: {
      ...seed.processes,
      MyApp: { ...app, threads: { ...app.threads, held: thread, ...(second === undefined ? {} : { second }) } },
    },
  };
  return diagnose(forgedTarget(scenario, { symbols: true }), 'test')
    .findings.filter(({ pattern }) => wanted.includes(pattern))
    .map(({ pattern, verdict, confidence }) =>
      [pattern, verdict, confidence].filter((part) => part !== null).join(' '),
    );
}

const ready = (seconds: number, more: Partial<ThreadSpec> = {}): ThreadSpec => ({
  tid: '600',
  state: 'ready',
  waitTime: tickCount - seconds * 64,
  priority: 9,
  ...more,
});

const running = (priority: number): ThreadSpec => ({ tid: '604', state: 'running', waitTime: 100_000, priority });

describe('ready threads', () => {
  it('calls a thread bound to the spinning processor affine', () => {
    expect(found(ready(60, { affinity: 1 }))).toEqual(['affine-thread strong']);
    expect(found(ready(3, { affinity: 1 }))).toEqual(['affine-thread likely']);
  });

  it('says nothing of a thread that may use the idle processor, became ready just now, or waits', () => {
    expect(found(ready(60, { affinity: 3 }))).toEqual([]);
    expect(found(ready(60, { affinity: 2 }))).toEqual([]);
    expect(found(ready(0.5, { affinity: 1 }))).toEqual([]);
    expect(found(ready(60, { affinity: 1, state: 'waiting' }))).toEqual([]);
  });

  it('tells starvation by real-time, by normal priority and at DISPATCH_LEVEL apart', () => {
    expect(found(ready(60), running(24))).toEqual(['thread-starvation realtime-priority strong']);
    expect(found(ready(60), running(9))).toEqual(['thread-starvation normal-priority likely']);
    expect(found(ready(60, { affinity: 1 }), running(9))).toEqual(['thread-starvation dispatch-level strong']);
  });

  it('sees a processor of lower priority as free, and a short wait as scheduling', () => {
    expect(found(ready(60), running(8))).toEqual([]);
    expect(found(ready(60, { affinity: 1 }), running(8))).toEqual(['affine-thread strong']);
    expect(found(ready(3), running(24))).toEqual([]);
  });

  it('calls a system busy while no processor idles, and surer the more threads wait', () => {
    expect(found(ready(1), running(9), ['busy-system'])).toEqual(['busy-system possible']);
    expect(found(ready(1), undefined, ['busy-system'])).toEqual([]);
  });

  it('calls a system young for its first minute', () => {
    const young = (tickCount: number): string[] =>
      diagnose(forgedTarget({ ...seed, time: { ...seed.time, tickCount } }, { symbols: false }), 'test')
        .findings.filter(({ pattern }) => pattern === 'young-system')
        .map(({ title }) => title);
    expect(young(18 * 64)).toEqual(['The system had been up for 18.000 s']);
    expect(young(61 * 64)).toEqual([]);
  });
});

/** x64, 19041: a ready thread of System beside a processor that is given a thread of its own. */
describe('where a ready thread may run', () => {
  const base = scenarioNamed('X-busy');
  const tick = 230_741;

  /** Findings when processor 3 alone is idle, or spins at DISPATCH_LEVEL by the count of its IRQL. */
  function held(thread: ThreadSpec, change: (scenario: Scenario) => Scenario = (scenario) => scenario): string[] {
    const system = base.processes['System'];
    if (system === undefined) throw new Error('X-busy has no process System');
    const scenario = change({
      ...base,
      processes: { ...base.processes, System: { ...system, threads: { ...system.threads, held: thread } } },
    });
    return diagnose(forgedTarget(scenario, { symbols: true }), 'test')
      .findings.filter(({ pattern }) => pattern === 'affine-thread' || pattern === 'thread-starvation')
      .map(({ pattern, verdict, confidence }) =>
        [pattern, verdict, confidence].filter((part) => part !== null).join(' '),
      );
  }

  const waiting = (more: Partial<ThreadSpec> = {}): ThreadSpec => ({
    tid: '600',
    state: 'ready',
    waitTime: tick - 60 * 64,
    priority: 8,
    ...more,
  });
  const processors = (scenario: Scenario, fields: Readonly<Record<number, Record<string, Value>>>): Scenario => ({
    ...scenario,
    processors: scenario.processors.map((processor, i) => ({
      ...processor,
      fields: { ...processor.fields, ...fields[i] },
    })),
  });

  it('is every processor of its group only', () => {
    expect(held(waiting())).toEqual(['thread-starvation normal-priority likely']);
    // Processor 3 becomes number 0 of group 1, and idle: bit 0 of group 1 is free, bit 0 of group 0 is processor 0.
    const groups = (scenario: Scenario): Scenario => {
      const [a, b, c, d] = scenario.processors;
      if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('four');
      const idle = scenarioNamed('x64-idle');
      const free = idle.processors[3];
      if (free === undefined) throw new Error('four');
      return processors(
        {
          ...scenario,
          processors: [a, b, c, free],
          stacks: { ...scenario.stacks, 'idle 3': idle.stacks?.['idle 3'] ?? { frames: [] } },
        },
        { 3: { Group: 1, GroupIndex: 0 } },
      );
    };
    const group = (number: number, mask: string): Partial<ThreadSpec> => ({
      affinity: mask,
      fields: { 'Tcb.Affinity.Group': number },
    });
    expect(held(waiting(group(1, '1')), groups)).toEqual([]);
    expect(held(waiting(group(0, '1')), groups)).toEqual(['affine-thread strong']);
    expect(held(waiting(group(0, '8')), groups)).toEqual([]);
  });

  it('is read through the pointer to a KAFFINITY_EX of Windows 11', () => {
    const extended =
      (...masks: string[]) =>
      (scenario: Scenario): Scenario => ({
        ...scenario,
        build: '10.0.22000.318',
        objects: {
          ...scenario.objects,
          mask: {
            type: '_KAFFINITY_EX',
            at: 'ffffa9851e1f0000',
            fields: {
              Count: masks.length,
              Size: 32,
              ...Object.fromEntries(masks.map((mask, i) => [`Bitmap[${i}]`, mask])),
            },
          },
        },
      });
    const bound = waiting({ fields: { 'Tcb.Affinity': 'object(mask)' } });
    expect(held(bound, extended('f'))).toEqual(['thread-starvation normal-priority likely']);
    // Group 1 has no processor here: nowhere to run, and nobody to blame for it.
    expect(held(bound, extended('0', '1'))).toEqual([]);
    expect(held(bound, extended('1', '1'))).toEqual(['thread-starvation normal-priority likely']);
  });

  it('is the processor that has chosen it, once it is standby', () => {
    const standby = waiting({ state: 'standby', priority: 12, processor: 2 });
    // Below DISPATCH_LEVEL the processor would have switched to it.
    expect(held(standby, (scenario) => next(scenario, 2))).toEqual([]);
    const high = (scenario: Scenario): Scenario => next(processors(scenario, { 2: { DpcRoutineActive: 1 } }), 2);
    expect(held(standby, high)).toEqual(['thread-starvation dispatch-level strong']);
    expect(held({ ...standby, waitTime: tick - 10 }, high)).toEqual([]);
  });

  it('may be a processor that the dump does not show', () => {
    const hidden = (scenario: Scenario): Scenario => ({
      ...scenario,
      memory: { ...scenario.memory, 'nt!KiProcessorBlock+18': { pointer: 0 } },
    });
    expect(held(waiting({ affinity: 15 }), hidden)).toEqual(['thread-starvation normal-priority possible']);
    expect(held(waiting({ affinity: 7 }), hidden)).toEqual(['thread-starvation normal-priority likely']);
  });

  it('does not depend on the queue that it waits in', () => {
    const shared = (scenario: Scenario): Scenario => ({
      ...scenario,
      lists: [
        { head: 'prcb(0).DispatcherReadyListHead[8]', entries: [] },
        { head: 'prcb(0).LocalSharedReadyQueue.ReadyListHead[8]', entries: ['thread(held).Tcb.WaitListEntry'] },
      ],
    });
    expect(held(waiting(), shared)).toEqual(['thread-starvation normal-priority likely']);
  });

  function next(scenario: Scenario, number: number): Scenario {
    return {
      ...scenario,
      processors: scenario.processors.map((processor, i) =>
        i === number ? { ...processor, next: 'held' } : processor,
      ),
    };
  }
});

/** S03: processor 3 spins at priority 9 on a plain lock; nothing records its level. */
it('a processor that waits for a spin lock schedules nobody, whatever the priority', () => {
  const spinning = scenarioNamed('S03');
  const found = (change: Partial<Scenario>): string[] => {
    const system = spinning.processes['System'];
    if (system === undefined) throw new Error('S03 has no process System');
    const held: ThreadSpec = { tid: '600', state: 'ready', waitTime: 230_741 - 60 * 64, priority: 12, affinity: 8 };
    const scenario = {
      ...spinning,
      processes: { ...spinning.processes, System: { ...system, threads: { held } } },
      ...change,
    };
    return diagnose(forgedTarget(scenario, { symbols: false }), 'test')
      .findings.filter(({ pattern }) => pattern === 'affine-thread')
      .map(({ confidence, assumptions }) => `${confidence}, ${assumptions.length} assumptions`);
  };
  expect(found({})).toEqual(['likely, 2 assumptions']);
  // Processor 3 in user mode: a thread of higher priority would run there.
  const processors = spinning.processors.map((processor, i) =>
    i === 3
      ? { ...processor, context: { rip: '7ff6a1c214f0', rsp: '4b9e4fe970', cs: '33', ss: '2b', efl: '246' } }
      : processor,
  );
  expect(found({ processors })).toEqual([]);
});
