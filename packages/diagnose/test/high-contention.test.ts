/** Contention of resources and processors on x64: layouts from 7 to 11, processors that are free, and what is missing. */
import { describe, expect, it } from 'vitest';
import type { DropSpec, Scenario, ThreadSpec } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

function contended(scenario: Scenario): Finding[] {
  return diagnose(forgedTarget(scenario, { symbols: false }), 'test').findings.filter(
    ({ pattern }) => pattern === 'high-contention',
  );
}

function told(scenario: Scenario): string[] {
  return contended(scenario).map(({ verdict, confidence }) => `${verdict} ${confidence}`);
}

function withThreads(scenario: Scenario, threads: Readonly<Record<string, ThreadSpec>>): Scenario {
  const system = scenario.processes['System'];
  if (system === undefined) throw new Error('no process System');
  return {
    ...scenario,
    processes: { ...scenario.processes, System: { ...system, threads: { ...system.threads, ...threads } } },
  };
}

describe('executive resources', () => {
  /** Up for 3605 s: 40,000 waits are 11 a second. */
  const idle = scenarioNamed('x64-idle');

  function resources(count: number, more: Partial<Scenario> = {}, owner: Partial<ThreadSpec> = {}): Scenario {
    return {
      ...withThreads(idle, {
        owner: { tid: '200', state: 'ready', waitTime: 230_741, priority: 9, contextSwitches: 20_000, ...owner },
        waiter: { tid: '204', state: 'waiting', waitTime: 230_700 },
      }),
      resources: {
        hot: {
          at: 'ffffa9851e2f0000',
          owners: [{ thread: 'thread(owner)' }],
          exclusive: true,
          exclusiveWaiters: ['waiter'],
          contention: count,
        },
        peer: { at: 'ffffa9851e2f1000', contention: 900 },
        other: { at: 'ffffa9851e2f2000', contention: 400 },
      },
      ...more,
    };
  }

  for (const build of [
    '6.1.7601.24540',
    '6.3.9600.19913',
    '10.0.17763.379',
    'x64-10.0.19041-89284d0c',
    '10.0.22000.318',
  ])
    it(`are told by rate, peers and use: ${build}`, () => {
      expect(told(resources(40_000, { build }))).toEqual(['executive-resources strong']);
      expect(told(resources(30_000, { build }))).toEqual([]);
    });

  it('are not, where many are nearly as busy', () => {
    const base = resources(40_000);
    const peer = { at: 'ffffa9851e2f1000', contention: 30_000 };
    // Two stand out, one of them is in use.
    expect(told({ ...base, resources: { ...base.resources, peer } })).toEqual(['executive-resources strong']);
    const three = Object.fromEntries(
      [1, 2, 3, 4].map((i) => [`p${i}`, { at: `ffffa9851e2f${i + 3}000`, contention: 9000 }]),
    );
    expect(told({ ...base, resources: { ...base.resources, ...three } })).toEqual([]);
  });

  it('are less sure while nobody waits, least where the owner itself waits', () => {
    const base = resources(40_000);
    const alone = (state: 'ready' | 'waiting'): Scenario => {
      const scenario = resources(40_000, {}, { state });
      const { exclusiveWaiters: _none, ...hot } = scenario.resources?.['hot'] ?? { at: 0 };
      return { ...scenario, resources: { ...base.resources, hot } };
    };
    expect(told(alone('ready'))).toEqual(['executive-resources likely']);
    expect(told(alone('waiting'))).toEqual(['executive-resources possible']);
  });

  it('are not, where the memory is no resource any more', () => {
    const base = resources(40_000);
    const hot = base.resources?.['hot'];
    if (hot === undefined) throw new Error('no resource');
    const freed = { ...hot, fields: { NumberOfExclusiveWaiters: 'feeefeee' } };
    expect(told({ ...base, resources: { ...base.resources, hot: freed } })).toEqual([]);
    expect(told({ ...resources(0xfeeefeee), time: { ...idle.time, tickCount: 128_000 } })).toEqual([]);
  });

  it('are less sure where the list breaks off', () => {
    const drop: DropSpec[] = [{ at: 'ffffa9851e2f2000', length: '1000' }];
    expect(told(resources(40_000, { drop }))).toEqual(['executive-resources likely']);
  });
});

describe('processors', () => {
  const busy = scenarioNamed('X-busy');
  const tick = 230_741;

  /** Ready threads of priority 9, as all four processors run, by their ages in ticks. */
  function queue(ages: readonly number[], more: Partial<ThreadSpec> = {}, base: Scenario = busy): Scenario {
    return withThreads(
      base,
      Object.fromEntries(
        ages.map((age, i) => [
          `r${i}`,
          { tid: (0x300 + i * 4).toString(16), state: 'ready' as const, waitTime: tick - age, priority: 9, ...more },
        ]),
      ),
    );
  }

  it('are contended for by more threads of their priority than there are processors, for longer than a turn', () => {
    expect(told(queue([20, 40, 60, 80, 100]))).toEqual(['processors likely']);
    expect(told(queue([70, 80, 90, 100, 110]))).toEqual(['processors strong']);
    expect(told(queue([70, 80, 90, 100]))).toEqual([]);
    expect(told(queue([20, 40, 50, 60, 63]))).toEqual([]);
  });

  it('are not by a herd, whatever waits longer beside it', () => {
    expect(told(queue([3, 3, 3, 3, 3, 3, 3, 3, 3, 3]))).toEqual([]);
    expect(told(queue([3, 3, 3, 3, 3, 3, 3, 3, 3, 200]))).toEqual([]);
  });

  it('are not by threads of another priority, or bound to one of them', () => {
    expect(told(queue([70, 80, 90, 100, 110], { priority: 8 }))).toEqual([]);
    expect(told(queue([70, 80, 90, 100, 110], { affinity: 1 }))).toEqual([]);
  });

  it('are not where nobody gets a turn', () => {
    // Five beside four: a turn each within two quanta, 0.4 s; ten times that, or the boost's 5.7 s, is no turn at all.
    expect(told(queue([300, 310, 320, 330, 340]))).toEqual(['processors strong']);
    expect(told(queue([400, 410, 420, 430, 440]))).toEqual([]);
    const raised = {
      ...busy,
      processors: busy.processors.map((processor, i) =>
        i === 2 ? { ...processor, dpc: { active: true } } : processor,
      ),
    };
    expect(told(queue([70, 80, 90, 100, 110], {}, raised))).toEqual([]);
  });

  it('are not while one of them idles or is out of sight', () => {
    const ages = [70, 80, 90, 100, 110];
    const idle = scenarioNamed('x64-idle');
    expect(told(queue(ages, {}, idle))).toEqual([]);
    const hidden = { ...busy, memory: { ...busy.memory, 'nt!KiProcessorBlock+18': { pointer: 0 } } };
    expect(told(queue(ages, {}, hidden))).toEqual([]);
  });
});
