/** DPC queues of each generation of Windows, and what of them could not be read. */

import { dpcQueues } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import type { ProcessorSpec, Scenario } from '../../forge/src/scenario/scenario.ts';
import { Diagnosis } from '../src/engine/diagnosis.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { waitGraph } from '../src/waits/wait-graph.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

/** `scenario` with members of one processor changed. */
function changed(scenario: Scenario, number: number, change: Partial<ProcessorSpec>): Scenario {
  return {
    ...scenario,
    processors: scenario.processors.map((processor, i) =>
      i === number ? { ...processor, ...change, fields: { ...processor.fields, ...change.fields } } : processor,
    ),
  };
}

function blocked(scenario: Scenario, symbols = false): Finding[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test').findings.filter(
    ({ pattern }) => pattern === 'dpc-blockage',
  );
}

function told(scenario: Scenario): string[] {
  return blocked(scenario).map(({ verdict, confidence }) => `${verdict} ${confidence}`);
}

const builds: readonly (readonly [scenario: string, processor: number, builds: readonly string[]])[] = [
  ['S01a', 0, ['5.1.2600.5512']],
  ['S01-7601', 0, ['6.1.7601']],
  ['S01-19041', 0, ['10.0.19041.928']],
  ['S03', 3, ['6.1.7601.24540', '6.3.9600.19913', '10.0.17763.379', '10.0.22000.318']],
];

describe('DPC queues by build, without symbols', () => {
  for (const [name, number, versions] of builds) {
    for (const build of versions) {
      const spinning = { ...scenarioNamed(name), build };
      const threaded = build !== '5.1.2600.5512';
      const queue = [
        { routine: 'nt!KiIdleLoop' },
        { routine: 'nt!KiIdleLoop', importance: 2 },
        { routine: 'nt!KiIdleLoop', threaded },
      ];
      it(`${spinning.arch} ${build}`, () => {
        const scenario = changed(spinning, number, { dpc: { ...spinning.processors[number]?.dpc, queue } });
        const target = forgedTarget(scenario, { symbols: false });
        const processor = target.processors[number];
        if (processor === undefined) throw new Error('no processor');
        const queues = dpcQueues(target, processor);
        expect(queues.map(({ calls, depth, end }) => [calls.length, depth, end])).toEqual(
          threaded
            ? [
                [2, 2, 'end'],
                [1, 1, 'end'],
              ]
            : [[3, 3, 'end']],
        );
        const [finding] = blocked(scenario);
        expect([finding?.verdict, finding?.confidence]).toEqual(['raised-irql', 'strong']);
        expect(finding?.title).toBe(`3 DPCs of processor ${number} cannot run: downstream of its spin`);
        // The same spin with nothing behind it.
        expect(told(spinning)).toEqual([]);
      });
    }
  }
});

describe('list and count', () => {
  const short = scenarioNamed('P-dpc-long-short');
  const depth = (value: number, more: Readonly<Record<string, number>> = {}): Scenario =>
    changed(short, 1, { fields: { 'DpcData[0].DpcQueueDepth': value, ...more } });

  it('disagree on a processor that is not stuck: at most possible', () => {
    expect(told(depth(3))).toEqual([]);
    expect(told(depth(4))).toEqual(['corrupt-queue possible']);
    expect(told(depth(0))).toEqual(['corrupt-queue possible']);
  });

  it('may disagree while an insert is under way', () => {
    expect(told(depth(4, { 'DpcData[0].DpcLock': 1 }))).toEqual([]);
  });

  it('of a processor that never stopped for the dump say nothing', () => {
    expect(told(changed(depth(4), 1, { state: 'stale' }))).toEqual([]);
  });

  it('an entry that is no DPC breaks the queue', () => {
    expect(told({ ...short, memory: { ...short.memory, ffffa9851b0c3400: { byte: 5 } } })).toEqual([
      'corrupt-queue likely',
    ]);
  });

  it('a list that is not in the dump is not called short', () => {
    const long = scenarioNamed('P-dpc-long');
    const [finding] = blocked({ ...long, drop: [{ at: 'ffffa9851b0c3000', length: '1000' }] });
    expect([finding?.verdict, finding?.confidence, finding?.title]).toEqual([
      'long-dpc',
      'strong',
      '3 DPCs of processor 1 cannot run',
    ]);
    const list = finding?.evidence.find(({ claim }) => claim.startsWith('the list cannot be read'));
    expect(list?.outcome).toBe('undetermined');
  });
});

describe('what holds the queue', () => {
  const long = scenarioNamed('P-dpc-long');

  for (const dump of ['full', 'bitmap-full', 'automatic', 'triage'] as const) {
    it(`is found in a ${dump} dump`, () => {
      const [finding] = blocked({ ...long, dump });
      expect([finding?.verdict, finding?.confidence]).toEqual(['long-dpc', 'strong']);
    });
  }

  it('comes first where it is the cause, behind the spin that is', () => {
    const first = (name: string): string | undefined =>
      diagnose(forgedTarget(scenarioNamed(name), { symbols: false }), 'test').findings[0]?.pattern;
    expect(first('P-dpc-long')).toBe('dpc-blockage');
    expect(first('P-dpc-spin')).toBe('dispatch-level-spin');
  });

  it('is believed less where the processor never stopped', () => {
    expect(told(changed(long, 1, { state: 'stale' }))).toEqual(['long-dpc likely']);
  });

  it('at DISPATCH_LEVEL in a thread, the clock counts', () => {
    const thread = (fields: Readonly<Record<string, number>>): Scenario =>
      changed(long, 1, { dpc: { ...long.processors[1]?.dpc, active: false }, fields });
    expect(told(thread({ DpcWatchdogCount: 640 }))).toEqual(['raised-irql strong']);
    expect(told(thread({ DpcWatchdogCount: 63 }))).toEqual([]);
    expect(told(thread({ DpcWatchdogCount: 63, DpcWatchdogPeriod: 63 }))).toEqual(['raised-irql strong']);
    expect(told(thread({ DpcWatchdogCount: 640, DpcWatchdogPeriod: 0 }))).toEqual(['raised-irql strong']);
  });

  it('is named by the driver of the device that queued the DPC', () => {
    const device = {
      ...long,
      objects: {
        ...long.objects,
        driver: { type: '_DRIVER_OBJECT', at: 'ffffa9851e120000', fields: { Type: 4 } },
        device: {
          type: '_DEVICE_OBJECT',
          at: 'ffffa9851e121000',
          fields: { Type: 3, DriverObject: 'object(driver)', CurrentIrp: 'ffffa9851e122010' },
        },
      },
    };
    const queue = [{ at: 'object(device).Dpc', routine: 'dpcdrv!RingDpc' }];
    const scenario = changed(device, 1, { dpc: { active: true, queue } });
    // The same in the wait graph: the IRP, the queue, the processor.
    const graph = new Diagnosis(forgedTarget(scenario, { symbols: false })).fact(waitGraph);
    const irp = graph.vertex({ kind: 'object', object: 'IRP', address: 0xffffa9851e122010n });
    const next = irp?.out[0]?.to;
    expect(next).toMatchObject({ kind: 'object', object: 'DPC queue' });
    expect(next === undefined ? [] : graph.vertex(next)?.out.map(({ to }) => to)).toEqual([
      { kind: 'processor', number: 1 },
    ]);
    const [finding] = blocked(scenario);
    expect(finding?.evidence.map(({ claim }) => claim).join('\n')).toMatch(
      /DPC of the device object ffffa985`1e121000, whose current IRP ffffa985`1e122010 waits for it/,
    );
  });
});
