/** CPU time of a thread by ticks and cycles, in X-busy (x64, 19041, up for 230741 ticks = 1:00:05.328, 2400 MHz). */
import { expect, it } from 'vitest';
import type { ThreadSpec, TimeSpec } from '../../forge/src/scenario/scenario.ts';
import { diagnose, type Finding } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';

const base = scenarioNamed('X-busy');
const ticks = 230_741;

/** The finding about thread `render`, which runs in user mode on processor 1 unless changed. */
function spike(thread: Partial<ThreadSpec>, time: Partial<TimeSpec> = {}): Finding | undefined {
  const encoder = base.processes['encoder'];
  const render = encoder?.threads?.['render'];
  if (encoder === undefined || render === undefined) throw new Error('X-busy has no thread render');
  const scenario = {
    ...base,
    time: { ...base.time, ...time },
    processes: {
      ...base.processes,
      encoder: { ...encoder, threads: { ...encoder.threads, render: { ...render, ...thread } } },
    },
  };
  const address = `0x${String(render.at)}`;
  return diagnose(forgedTarget(scenario, { symbols: false }), 'test').findings.find(
    (finding) => finding.pattern === 'spiking-thread' && finding.thread === address,
  );
}

function claims(finding: Finding | undefined): string {
  return (finding?.evidence ?? []).map(({ claim }) => claim).join('\n');
}

it('is a spike from 15 % of the uptime on', () => {
  expect(spike({ userTime: Math.floor(ticks * 0.14) })).toBeUndefined();
  expect(spike({ userTime: Math.floor(ticks * 0.16) })?.confidence).toBe('likely');
});

it('is strong where it has run since its last wait', () => {
  expect(spike({ userTime: 6300, waitTime: ticks - 6400 })?.confidence).toBe('strong');
  expect(spike({ userTime: 3000, waitTime: ticks - 6400 })).toBeUndefined();
});

it('counts cycles where interrupts that are off hide the ticks', () => {
  const cycles = (share: number): Partial<ThreadSpec> => ({
    userTime: 0,
    kernelTime: 1,
    fields: { 'Tcb.CycleTime': Math.floor(((ticks * share) / 64) * 2.4e9) },
  });
  expect(spike(cycles(0.1))).toBeUndefined();
  const found = spike(cycles(0.25));
  expect(found?.confidence).toBe('likely');
  expect(claims(found)).toMatch(/25\.0 % of one processor/);
  expect(claims(found)).toMatch(/by its cycles it has run 15:01\.332/);
});

it('shows what it has run since its last wait, as far as the field goes', () => {
  const found = spike({ userTime: 60_000, fields: { 'Tcb.CurrentRunTime': 'ffffffff' } });
  expect(claims(found)).toMatch(/since it last waited it has run at least 1\.789 s by its cycles/);
});

it('cannot exceed the uptime', () => {
  const found = spike({ userTime: ticks * 2 });
  expect(found?.confidence).toBe('possible');
  expect(claims(found)).toMatch(/more than the system has been up/);
});

it('keeps both clocks where they differ', () => {
  const found = spike({ userTime: 60_000 }, { uptime: 30_000_000_000 });
  expect(claims(found)).toMatch(/31\.3 % or 26\.0 % .*50:00\.000 by the header, 1:00:05\.328 by ticks of 15\.625 ms/);
});
