import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesSource, NotADumpError, openDump } from '@dumpscope/core';
import { describe, expect, it } from 'vitest';
import type { Target } from '../src/target/model.ts';
import { openTarget } from '../src/target/open.ts';
import { shared } from './target-support.ts';

/** Small xorshift generator: the same mutants in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Everything a target can be asked, so that nothing stays unread. */
export function exercise(target: Target): number {
  let work = target.modules.length + target.unloadedModules.length;
  void target.layouts.how;
  void target.kdbg?.pointer('KiProcessorBlock');
  void target.bugcheck?.name;
  void target.bugcheckNote;
  void target.build;
  void target.time.uptime;
  void target.processorNote;
  void target.currentProcessor;
  for (const p of target.processors) {
    void p.idle;
    void p.irql;
    void p.interruptedFrom;
    work += p.stacks.length;
    for (const registers of [p.registers, p.interrupted]) {
      if (registers === null) continue;
      const trace = target.walkStack(registers, { limit: 256 });
      expect(trace.frames.length).toBeGreaterThan(0);
      expect(trace.endText.length).toBeGreaterThan(0);
      for (const frame of trace.frames) void target.nameOf(frame.pc).text;
      work += trace.frames.length;
    }
    if (p.currentThread !== null) {
      const thread = target.thread(p.currentThread);
      void thread?.kernelTime;
      void thread?.cid;
    }
  }
  for (const process of target.processes()) void process.image;
  for (const thread of target.threads()) void thread.state;
  for (const module of target.modules.slice(0, 5)) {
    void module.debugInfo?.symbols.nearest(0x1234);
    void module.functionAt(0x1234);
  }
  return work + target.requests.length + target.limits.length;
}

const names =
  shared === null ? [] : readdirSync(join(shared, 'dumps', 'kernel')).filter((name) => name.endsWith('.dmp'));

describe.skipIf(shared === null)('mutated triage dumps', () => {
  it.each(names)('%s never throws', (name) => {
    const original = readFileSync(join(shared ?? '', 'dumps', 'kernel', name));
    const random = generator(name.length * 7919 + original.length);
    for (let round = 0; round < 12; round++) {
      const bytes = new Uint8Array(original);
      // Headers, the triage header and structures at the front, or anywhere; single bits, whole words, zero runs.
      const flips = 1 + random(40);
      for (let i = 0; i < flips; i++) {
        const at = random(3) === 0 ? random(bytes.length) : random(Math.min(bytes.length, 0x12000));
        const kind = random(4);
        if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        else if (kind === 1) bytes.fill(0xff, at, at + 8);
        else if (kind === 2) bytes.fill(0, at, at + 1 + random(64));
        else bytes[at] = random(256);
      }
      // The first 8 bytes decide whether it is a dump at all.
      bytes.set(original.subarray(0, 8));
      const cut = random(4) === 0 ? random(bytes.length - 0x2000) + 0x2000 : bytes.length;
      try {
        exercise(openTarget(openDump(bytesSource(bytes.subarray(0, cut), `${name} #${round}`))));
      } catch (error) {
        if (!(error instanceof NotADumpError)) throw error;
      }
    }
  });
});
