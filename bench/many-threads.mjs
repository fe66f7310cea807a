// A scenario with many waiting threads: S03's machine and, in the System process, worker threads in a wait.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../scripts/run.mjs';

const frames = [
  'KiSwapContext',
  'KiSwapThread',
  'KiCommitThreadWait',
  'KeWaitForSingleObject',
  'ExpWorkerThread',
  'PspSystemThreadStartup',
];

// Called through a pointer: the return address is given by offset.
const RETURNS = {
  ExpWorkerThread: 'nt!PspSystemThreadStartup+57',
  PspSystemThreadStartup: 'nt!KiStartSystemThread+28',
};

/** Scenario JSON; `processors` idle ones are added to reach that number. */
export function manyThreads(count, processors = 4) {
  const scenario = JSON.parse(readFileSync(join(root, 'packages/forge/scenarios/S03.json'), 'utf8'));
  const threads = {};
  scenario.memory ??= {};
  for (let i = 0; i < count; i++) {
    const base = 0xffff860000000000n + BigInt(i) * 0x8000n;
    const kernelStack = base - 0x400n;
    const hex = (value) => value.toString(16);
    threads[`w${i}`] = {
      state: 'waiting',
      waitTime: 221000 - (i % 1000),
      contextSwitches: 10 + (i % 50),
      priority: 8,
      basePriority: 8,
      stack: { base: hex(base), limit: hex(base - 0x6000n), kernelStack: hex(kernelStack) },
    };
    scenario.memory[hex(kernelStack + 0x38n)] = { qword: 'after(nt!KiSwapContext, nt!SwapContext)' };
    scenario.stacks[`w${i}`] = {
      pc: 'after(nt!KiSwapContext, nt!SwapContext)',
      sp: hex(kernelStack + 0x40n),
      frames: frames.map((name, n) => ({
        at: `nt!${name}`,
        ret:
          RETURNS[name] ??
          (frames[n + 1] === undefined
            ? 'after(nt!KiStartSystemThread, nt!PspSystemThreadStartup)'
            : `after(nt!${frames[n + 1]}, nt!${name})`),
      })),
    };
  }
  scenario.processes.System = {
    ...scenario.processes.System,
    threads: { ...scenario.processes.System.threads, ...threads },
  };
  const idle = scenario.processors.find((processor) => processor.thread === 'idle' && processor.state === 'frozen');
  for (let n = scenario.processors.length; n < processors; n++) {
    const shift = BigInt(n) * 0x20000n;
    const base = 0xffff870000000000n + shift;
    const sp = (base - 0x140n).toString(16);
    const { dpc: _dpc, kpcr: _kpcr, isrStack: _isr, ...rest } = idle;
    scenario.processors.push({
      ...rest,
      context: { ...idle.context, rsp: sp },
      idle: { stack: { base: base.toString(16), limit: (base - 0x6000n).toString(16) } },
    });
    scenario.stacks[`idle ${n}`] = {
      ...scenario.stacks['idle 1'],
      sp,
      frames: scenario.stacks['idle 1'].frames.map((frame) =>
        frame.saved ? { ...frame, saved: { rbx: `prcb(${n})` } } : frame,
      ),
    };
  }
  return { ...scenario, id: `threads-${count}`, title: `${count} waiting threads` };
}
