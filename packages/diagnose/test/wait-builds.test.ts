/** Executive resources as every build keeps them, in every container, and where their lists are broken. */
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Report } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const resources = scenarioNamed('W-resources');
const chains = scenarioNamed('W-42c');

function told(report: Report, pattern: string): string[] {
  return report.findings
    .filter((finding) => finding.pattern === pattern)
    .map(({ verdict, confidence }) => `${verdict} ${confidence}`);
}

function run(scenario: Scenario, symbols = false): Report {
  return diagnose(forgedTarget(scenario, { symbols }), 'test');
}

// Waiters: event and semaphore (7601, 9600), single links for shared ones (14393), double links (17763 and later).
const x64 = [
  '6.1.7601.24540',
  '6.3.9600.20919',
  '10.0.14393.4583',
  '10.0.17763.379',
  '10.0.18362.30',
  'x64-10.0.19041.3570-606ff669',
  '10.0.20348.2529',
  '10.0.22000.318',
];

describe('executive resources by build', () => {
  for (const build of x64) {
    it(`x64 ${build}: a deadlock of exclusive waiters, one of shared ones, and none`, () => {
      const exclusive = { ...resources, build };
      expect(told(run(exclusive), 'deadlock')).toEqual(['lock-order proven']);
      const { first, second } = resources.resources ?? {};
      if (first === undefined || second === undefined) throw new Error('W-resources has no resources');
      const shared = { first: { ...first, exclusiveWaiters: [], sharedWaiters: first.exclusiveWaiters ?? [] }, second };
      expect(told(run({ ...exclusive, resources: shared }), 'deadlock')).toEqual(['lock-order proven']);
      const free = { first: { ...first, owners: [] }, second };
      expect(told(run({ ...exclusive, resources: free }), 'deadlock')).toEqual([]);
    });
  }

  for (const build of ['5.1.2600.5512', '6.1.7601', '10.0.19041.928']) {
    it(`x86 ${build}: three chains at once, one of them with 46 waiters`, () => {
      const report = run({ ...chains, build });
      expect(told(report, 'wait-chain').sort()).toEqual([
        'executive-resource possible',
        'executive-resource strong',
        'executive-resource strong',
      ]);
      expect(report.findings.find(({ pattern }) => pattern === 'wait-chain')?.title).toContain('46 threads wait');
      expect(told(report, 'deadlock')).toEqual([]);
    });
  }
});

describe('executive resources in other dumps', () => {
  it('waiters of an event behind a pointer that may lead to a chain are found, whatever the counters say', () => {
    const { first, second } = resources.resources ?? {};
    const threads = resources.processes['System']?.threads;
    const one = threads?.['one'];
    if (first === undefined || second === undefined || one === undefined) throw new Error('W-resources has changed');
    const event = (type: number): Scenario => ({
      ...resources,
      objects: {
        ...resources.objects,
        event: { type: '_KEVENT', at: 'ffffdf821ce68600', fields: { 'Header.Type': type, 'Header.Size': 6 } },
      },
      resources: {
        first,
        second: { ...second, exclusiveWaiters: [], contention: 1, fields: { ExclusiveWaiters: 'object(event)' } },
      },
      processes: {
        ...resources.processes,
        System: {
          ...resources.processes['System'],
          threads: {
            ...threads,
            one: { ...one, waitReason: 27, waitTimer: true, waits: [{ object: 'object(event)' }] },
          },
        },
      } as Scenario['processes'],
    });
    expect(told(run(event(1)), 'deadlock')).toEqual(['lock-order proven']);
    // A notification event is no part of a resource.
    expect(told(run(event(0)), 'deadlock')).toEqual([]);
  });

  for (const dump of ['kernel-summary', 'bitmap-kernel', 'bitmap-full', 'automatic', 'range-kernel'] as const) {
    it(`a ${dump} dump says the same`, () => {
      expect(told(run({ ...resources, dump }), 'deadlock')).toEqual(['lock-order proven']);
    });
  }

  it('a triage dump, without other threads, says nothing', () => {
    const report = run({ ...resources, dump: 'triage' });
    expect(told(report, 'deadlock')).toEqual([]);
    expect(told(report, 'wait-chain')).toEqual([]);
  });

  it('a dump of a tool, copied while the system ran, proves nothing', () => {
    const { bugcheck, ...header } = resources.header ?? {};
    void bugcheck;
    const report = run({ ...resources, header: { ...header, tool: 'DumpIt' } });
    expect(told(report, 'deadlock')).toEqual(
      report.dump.bugcheck === null ? ['lock-order strong'] : ['lock-order proven'],
    );
  });

  it('a resource that is in no list is found on the stack of its waiter', () => {
    const { first, second } = resources.resources ?? {};
    if (first === undefined || second === undefined) throw new Error('W-resources has no resources');
    const unlisted = { first: { ...first, listed: false }, second: { ...second, listed: false } };
    const hidden = { ...resources, resources: unlisted };
    expect(told(run(hidden), 'deadlock')).toEqual([]);
    // The argument of the function that waits, 20h bytes above the switch frame of each.
    const memory = {
      ...resources.memory,
      fffff80d3a1f6960: { pointer: 'object(second)' },
      fffff80d3a206960: { pointer: 'object(first)' },
    };
    expect(told(run({ ...hidden, memory }), 'deadlock')).toEqual(['lock-order proven']);
  });

  it('pages that are missing weaken it, never turn it', () => {
    for (const page of ['ffffdf821ce68000', 'ffffdf821f4b8000', 'ffffdf8217a30000', 'fffff80d3a1f6000']) {
      const report = run({ ...resources, drop: [page] });
      expect(told(report, 'deadlock').filter((text) => text !== 'lock-order proven')).toEqual([]);
      expect(told(report, 'wait-chain').filter((text) => / (?:strong|proven)$/.test(text))).toEqual([]);
    }
  });
});

describe('a deadlock across a spin lock', () => {
  const cycle = scenarioNamed('W-spin-cycle');

  it('does not depend on the numbers of processors, the place of the driver or symbols', () => {
    expect(told(run({ ...cycle, processorOrder: [1, 0] }), 'deadlock')).toEqual(['mixed-objects proven']);
    expect(told(run({ ...cycle, relocate: { MyDriver: '10000' } }), 'deadlock')).toEqual(['mixed-objects proven']);
    expect(told(run(cycle, true), 'deadlock')).toEqual(['mixed-objects proven']);
  });

  it('is none when the queue entry is below the stack pointer of the thread that waits', () => {
    const holder = cycle.processes['System']?.threads?.['holder'];
    if (holder?.stack === undefined) throw new Error('W-spin-cycle has no holder');
    const later = { ...holder, stack: { ...holder.stack, kernelStack: 'f7a3fd80' } };
    const processes = { ...cycle.processes, System: { ...cycle.processes['System'], threads: { holder: later } } };
    expect(told(run({ ...cycle, processes } as Scenario), 'deadlock')).toEqual([]);
  });
});
