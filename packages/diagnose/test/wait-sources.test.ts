/** Edges of the wait graph that each kind of lock and request gives, in forged dumps and in their siblings one value away. */
import { describe, expect, it } from 'vitest';
import { Diagnosis } from '../src/engine/diagnosis.ts';
import { diagnose } from '../src/index.ts';
import { keyOf } from '../src/waits/node.ts';
import { type WaitGraph, waitGraph } from '../src/waits/wait-graph.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

function graphOf(name: string, symbols: boolean): WaitGraph {
  return new Diagnosis(forgedTarget(scenarioNamed(name), { symbols })).fact(waitGraph);
}

/** `ab8700 waits-for message e6e0`: kinds and the last digits of addresses, which tell the nodes of a scenario apart. */
function edges(graph: WaitGraph): string[] {
  const short = (node: Parameters<typeof keyOf>[0]): string => keyOf(node).replace(/0x[0-9a-f]+([0-9a-f]{5})$/, '$1');
  return graph.edges.map((e) => {
    const how = e.certainty === 'inferred' ? ', inferred' : e.combination === 'any' ? ', any' : '';
    return `${short(e.from)} ${e.relation} ${short(e.to)}${how}`;
  });
}

/** What a scenario's graph must hold, and what it must not. */
const wanted: Readonly<Record<string, { readonly has?: readonly string[]; readonly not?: readonly RegExp[] }>> = {
  'W-alpc': {
    has: [
      'thread b8700 waits-for object ALPC message 096e0',
      'object ALPC message 096e0 answered-by object ALPC port 9d9a0',
      'object ALPC port 9d9a0 answered-by process c8c10',
    ],
  },
  'W-alpc-received': {
    has: [
      'object ALPC message 096e0 answered-by thread c1060',
      'thread c1060 waits-for object executive resource 0a0e0',
      'object executive resource 0a0e0 owned-by thread d1040',
    ],
    not: [/ALPC port/],
  },
  'W-alpc-stale': { has: ['thread b8700 waits-for object semaphore b8ac8'], not: [/ALPC/] },
  'W-alpc-busy': { has: ['object ALPC port 9d9a0 answered-by thread c1060'], not: [/answered-by process/] },
  'W-x86-lpc': {
    has: ['thread 3f020 waits-for object LPC reply 3f214', 'object LPC reply 3f214 answered-by thread 3e020'],
  },
  'W-x86-lpc-unread': { not: [/LPC reply 3f214 answered-by thread/] },
  'W-irp': {
    has: [
      'thread b8040 waits-for object event 00098',
      'object event 00098 answered-by object IRP 00010, any',
      'object IRP 00010 answered-by device 00060',
    ],
  },
  'W-irp-context': { has: ['object event f6c40 answered-by object IRP 00010, inferred'] },
  'W-irp-other-event': { not: [/IRP/] },
  'W-irp-user-event': { not: [/IRP/] },
  'W-irp-complete': { has: ['object event 00098 answered-by object IRP 00010, any'], not: [/device/] },
  'W-irp-on-stack': {
    has: ['object event f6c40 answered-by object IRP 01010, inferred', 'object IRP 01010 answered-by device 00060'],
  },
  'W-irp-on-stack-done': { not: [/IRP/] },
  'W-irp-file-lock': { has: ['object event 00080 owned-by thread b8040, inferred'] },
  'W-irp-file-free': { not: [/owned-by thread/] },
  'W-workers': {
    has: [
      'object event 16c80 answered-by object queued work 00060, inferred',
      'object queued work 00060 answered-by thread b8040, any',
      'object queued work 00060 answered-by thread 30040, any',
    ],
  },
  'W-workers-empty': { not: [/queued work/] },
  'W-workers-idle': { not: [/queued work/] },
  'W-pushlocks-three': { has: ['thread 31080 waits-for object pushlock d1f38'] },
  'W-pushlocks-other': { has: ['thread 30040 waits-for unknown pushlock of wait block fffff80d3a206c40'] },
};

describe('wait sources', () => {
  for (const [name, { has, not }] of Object.entries(wanted)) {
    for (const symbols of [true, false]) {
      it(`${name} ${symbols ? 'with' : 'without'} symbols`, () => {
        const told = edges(graphOf(name, symbols));
        for (const edge of has ?? []) expect(told).toContain(edge);
        for (const pattern of not ?? []) expect(told.filter((edge) => pattern.test(edge))).toEqual([]);
      });
    }
  }
});

describe('containers', () => {
  // Where the dump holds the threads and the locks, its form does not matter; a triage dump does not hold them.
  for (const dump of [
    'full',
    'bitmap-full',
    'bitmap-kernel',
    'automatic',
    'kernel-summary',
    'range-kernel',
    'triage',
  ] as const) {
    it(`two pushlocks in a dump of kind ${dump}`, () => {
      const target = forgedTarget({ ...scenarioNamed('W-pushlocks'), dump }, { symbols: false });
      const found = diagnose(target, 'test').findings.filter(({ pattern }) => pattern === 'deadlock');
      expect(found.map(({ verdict, confidence }) => `${verdict} ${confidence}`)).toEqual(
        dump === 'triage' ? [] : ['lock-order proven'],
      );
    });
  }

  it('the order of processors and where the kernel lies do not matter', () => {
    const scenario = {
      ...scenarioNamed('W-pushlock-chain'),
      processorOrder: [3, 1, 0, 2],
      relocate: { nt: '200000', qdrv: '10000' },
    };
    const found = diagnose(forgedTarget(scenario, { symbols: true }), 'test').findings.filter(
      ({ pattern }) => pattern === 'wait-chain',
    );
    expect(found.map(({ verdict, confidence }) => `${verdict} ${confidence}`)).toEqual(['pushlock strong']);
  });
});
