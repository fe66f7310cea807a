/** What each processor did below the NMI that froze it: Crash Dump Analysis Patterns, part 27e, and siblings of it. */
import { describe, expect, it } from 'vitest';
import type { Scenario } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type ReportProcessor } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const published = scenarioNamed('P-cpus-27e');

function processors(scenario: Scenario, symbols: boolean): readonly ReportProcessor[] {
  return diagnose(forgedTarget(scenario, { symbols }), 'test').processors;
}

/** Processor 3 runs a DPC over its idle thread when the NMI freezes it. */
const inDpc: Scenario = {
  ...published,
  processors: published.processors.map((processor, i) =>
    i === 3 ? { ...processor, dpc: { active: true } } : processor,
  ),
};

/** The NMI interrupts processor 3 in a driver that nothing of the idle loop called. */
function inDriver(): Scenario {
  const frame = published.trapFrames?.['nmi 3'];
  if (frame === undefined) throw new Error('no trap frame');
  const { 'idle 3': _idle, ...stacks } = published.stacks ?? {};
  return {
    ...published,
    trapFrames: {
      ...published.trapFrames,
      'nmi 3': { ...frame, regs: { ...frame.regs, rip: 'tcpip!TcpPeriodicTimeoutHandler+4' } },
    },
    stacks,
  };
}

for (const symbols of [true, false]) {
  describe(`${symbols ? 'with' : 'without'} symbols`, () => {
    it('one processor is busy, the others idle below the freeze', () => {
      const all = processors(published, symbols);
      expect(all.map(({ idle }) => idle)).toEqual([true, false, true, true, true, true, true, true]);
      expect(all[0]).toMatchObject({ prcb: '0xfffff801e5d85180', thread: '0xfffff801e5ddea00', irql: 0 });
      expect(all[1]).toMatchObject({ prcb: '0xffffd000f0975180', thread: '0xffffe0000d726880', irql: 0 });
      // The stack of the idle loop, not that of the NMI.
      expect(all[0]?.stack[0]?.sp).toMatch(/^0xfffff801e8c8c/);
      if (symbols) {
        expect(all[0]?.stack.map(({ symbol }) => symbol.replace(/\+.*/, ''))).toEqual([
          'nt!HalProcessorIdle',
          'nt!PpmIdleExecuteTransition',
          'nt!PoIdle',
          'nt!KiIdleLoop',
        ]);
      }
    });

    it('one that runs a DPC or a driver below the freeze is not idle', () => {
      for (const scenario of [inDpc, inDriver()]) {
        const all = processors(scenario, symbols);
        expect(all[3]?.idle).toBe(false);
        expect(all[4]?.idle).toBe(true);
      }
    });
  });
}

it('in another order, the busy one is still the busy one', () => {
  const all = processors({ ...published, processorOrder: [1, 0, 7, 6, 5, 4, 3, 2] }, true);
  expect(all.map(({ idle }) => idle)).toEqual([false, true, true, true, true, true, true, true]);
});
