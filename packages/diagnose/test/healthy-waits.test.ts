/** A healthy system full of waits: everything that long waits of thousands of threads look like, and nothing to say but so. */
import { describe, expect, it } from 'vitest';
import type { Scenario, ThreadSpec } from '../../forge/src/scenario/scenario.ts';
import { diagnose } from '../src/index.ts';
import { forgedTarget, scenarioNamed } from './forged.ts';
import { type Arch, ago, everyBuild, TICKS, type Waiter, waitingMachine } from './waiting.ts';

/** Numbers that look random and are the same every time. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const KINDS: readonly { readonly type: number; readonly thread: Partial<ThreadSpec> }[] = [
  { type: 4, thread: { waitReason: 15, waitMode: 'user' } }, // a pool thread without work
  { type: 0, thread: { waitReason: 6, waitMode: 'user' } }, // WaitForSingleObject(event)
  { type: 5, thread: { waitReason: 16, waitMode: 'user' } }, // a server
  { type: 5, thread: { waitReason: 17, waitMode: 'user' } }, // a client of one that takes its time
  { type: 1, thread: { waitReason: 13, waitMode: 'user' } }, // a window
  { type: 1, thread: { waitReason: 13, waitMode: 'kernel' } }, // win32k's own
  { type: 3, thread: { waitReason: 6, waitMode: 'user' } }, // waits for another process
  { type: 6, thread: { waitReason: 6, waitMode: 'user' } }, // and for a thread
  { type: 2, thread: { waitReason: 6, waitMode: 'user' } }, // a mutex of another instance
  { type: 0, thread: { waitReason: 0, waitMode: 'user' } }, // a read from a pipe
];

function healthy(arch: Arch, build: string): Scenario {
  const random = sequence(7);
  const uptime = TICKS[arch] / 64;
  const processes: Record<string, Record<string, Waiter>> = { System: {} };
  const system = processes.System ?? {};
  for (let i = 0; i < 12; i++)
    system[`w${i}`] = {
      path: 'kernel',
      object: 'static',
      type: 4,
      thread: { waitReason: 15, waitTime: ago(arch, random() * uptime) },
    };
  for (let i = 0; i < 8; i++)
    system[`k${i}`] = { path: 'kernel', object: 'static', thread: { waitTime: ago(arch, random() * uptime) } };
  for (let i = 0; i < 6; i++)
    system[`d${i}`] = { path: 'service', object: 'static', thread: { waitTime: ago(arch, random() * uptime) } };
  const pool = arch === 'x64' ? 0xffffa98510000000n : 0x87000000n;
  let n = 0;
  for (let p = 0; p < 24; p++) {
    const threads: Record<string, Waiter> = {};
    for (let t = 0; t < 8; t++) {
      const kind = KINDS[Math.floor(random() * KINDS.length)];
      if (kind === undefined) continue;
      // A third waits since the start, a third since now and then, a third woke just now.
      const age = [uptime - 5 - random() * 30, random() * uptime, random() * 5][t % 3] ?? 0;
      const object = (pool + BigInt(n++) * 0x100n).toString(16);
      threads[`p${p}t${t}`] = {
        path: 'suspended',
        object,
        type: kind.type,
        thread: { ...kind.thread, waitTime: ago(arch, age) },
      };
    }
    processes[`app${p}.exe`] = threads;
  }
  return waitingMachine(arch, build, processes);
}

describe('a healthy system', () => {
  for (const [arch, build] of everyBuild) {
    it(`${arch} ${build}: long waits alone are nothing`, () => {
      const report = diagnose(forgedTarget(healthy(arch, build), { symbols: false }), 'test');
      const told = report.findings.map(({ pattern, confidence }) => `${pattern} ${confidence}`);
      const usual = ['manual-dump proven', 'idle-system strong', 'passive-thread likely'];
      // Clients of slow servers and instances of a mutex are told at most as possible.
      expect(told.filter((text) => !usual.includes(text) && !text.endsWith(' possible'))).toEqual([]);
      expect(told).toEqual(expect.arrayContaining(usual));
      for (const pattern of ['waiting-thread-time', 'suspended-thread', 'blocked-thread', 'missing-thread'])
        expect(told.filter((text) => text.startsWith(pattern))).toEqual([]);
    });
  }

  it('shipped idle systems have none of these patterns', () => {
    for (const name of ['x64-idle', 'x86-idle', 'X-busy', 'X-contended']) {
      const report = diagnose(forgedTarget(scenarioNamed(name), { symbols: false }), 'test');
      const found = report.findings.map(({ pattern }) => pattern);
      for (const pattern of ['waiting-thread-time', 'suspended-thread', 'blocked-thread', 'missing-thread'])
        expect(found).not.toContain(pattern);
    }
  });
});
