/** Many threads of one process on x64 (19041, four processors, up for 230741 ticks = 1:00:05.328, 2400 MHz). */
import { describe, expect, it } from 'vitest';
import type { ProcessSpec, Scenario, ThreadSpec } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const base = scenarioNamed('X-busy');
const ticks = 230_741;

interface Spread {
  /** Ticks of each thread. */
  readonly use: readonly number[];
  /** How many of them are ready. */
  readonly ready?: number;
  readonly thread?: Partial<ThreadSpec>;
  readonly process?: Partial<ProcessSpec>;
}

function told(spread: Spread, change: (scenario: Scenario) => Scenario = (scenario) => scenario): Finding[] {
  const threads: Record<string, ThreadSpec> = {};
  spread.use.forEach((userTime, i) => {
    threads[`t${i}`] = {
      tid: (0x1000 + i * 4).toString(16),
      state: i < (spread.ready ?? 0) ? 'ready' : 'waiting',
      waitTime: ticks - 5,
      userTime,
      priority: 8,
      ...spread.thread,
    };
  });
  const scenario = change({
    ...base,
    processes: { ...base.processes, server: { pid: '2000', image: 'server.exe', threads, ...spread.process } },
  });
  return diagnose(forgedTarget(scenario, { symbols: false }), 'test').findings.filter(
    ({ pattern }) => pattern === 'distributed-spike',
  );
}

function short(findings: readonly Finding[]): string[] {
  return findings.map(({ verdict, confidence }) => `${verdict} ${confidence}`);
}

const equal = (n: number, share: number): number[] => Array.from({ length: n }, () => Math.floor(ticks * share));

describe('distributed spike', () => {
  it('is a process that takes processors without a thread that stands out', () => {
    expect(short(told({ use: equal(10, 0.1), ready: 3 }))).toEqual(['one-process likely']);
    expect(short(told({ use: equal(10, 0.05), ready: 3 }))).toEqual(['one-process possible']);
    expect(short(told({ use: equal(10, 0.03), ready: 3 }))).toEqual([]);
    expect(short(told({ use: equal(4, 0.19), ready: 3 }))).toEqual(['one-process likely']);
    expect(short(told({ use: equal(4, 0.21), ready: 3 }))).toEqual([]);
    expect(short(told({ use: equal(3, 0.19), ready: 3 }))).toEqual([]);
  });

  it('needs threads that can run now', () => {
    expect(short(told({ use: equal(10, 0.1), ready: 1 }))).toEqual(['one-process possible']);
    expect(short(told({ use: equal(10, 0.1), ready: 1, thread: { waitTime: ticks - 700 } }))).toEqual([]);
    expect(short(told({ use: equal(10, 0.1), ready: 0 }))).toEqual([]);
  });

  it('counts from the creation of the process', () => {
    // Ten threads of 72 s each: 2 % of an hour, 12 % of the ten minutes that the process lives.
    const hour = 133_292_125_910_937_500n; // 2023-05-22T07:03:11.09375Z
    const created = (minutes: number): Partial<ProcessSpec> => ({
      fields: { 'CreateTime.QuadPart': (hour - BigInt(minutes) * 600_000_000n).toString(16) },
    });
    expect(short(told({ use: equal(10, 0.02), ready: 3 }))).toEqual([]);
    expect(short(told({ use: equal(10, 0.02), ready: 3, process: created(10) }))).toEqual(['one-process likely']);
    expect(short(told({ use: equal(10, 0.1), ready: 3, process: created(10) }))).toEqual([]);
  });

  it('counts cycles, and says where threads have only just been let go', () => {
    const cycles = (recent: string): Partial<ThreadSpec> => ({
      fields: { 'Tcb.CycleTime': Math.floor(((ticks * 0.1) / 64) * 2.4e9), 'Tcb.CurrentRunTime': recent },
    });
    expect(short(told({ use: equal(10, 0.001), ready: 3, thread: cycles('ffffffff') }))).toEqual([
      'one-process likely',
    ]);
    expect(short(told({ use: equal(10, 0.001), ready: 3, thread: cycles('1000') }))).toEqual(['one-process possible']);
  });

  it('tells threads, spread and now', () => {
    const [finding] = told({ use: equal(10, 0.1), ready: 3 });
    const text = finding?.evidence.map(({ claim }) => claim).join('\n');
    expect(text).toMatch(/10 threads share it: the first has 10 %, 5 threads make half of it \(Gini 0\.00\)/);
    expect(text).toMatch(/0 of them run and 3 are ready now; 7 more ran within the last second/);
    expect(text).toMatch(/has used 6:00\.531 = 10\.0 % of one processor; it is ready/);
  });

  it('is not the idle threads', () => {
    const idle = told({ use: [1] }, (scenario) => ({
      ...scenario,
      processors: scenario.processors.map((processor) => ({
        ...processor,
        idle: { ...processor.idle, fields: { 'Tcb.KernelTime': ticks } },
      })),
    }));
    expect(short(idle)).toEqual([]);
  });
});
