/** Ready threads beside the seed's spinner (S01a): processor 0 is at DISPATCH_LEVEL, processor 1 idle unless changed. */
import { describe, expect, it } from 'vitest';
import type { ThreadSpec } from '../../forge/src/scenario/scenario.ts';
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
