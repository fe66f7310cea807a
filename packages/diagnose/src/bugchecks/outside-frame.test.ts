import { va } from '@dumpscope/core';
import type { Frame, StackTrace, Target } from '@dumpscope/debugger';
import { describe, expect, it } from 'vitest';
import { Evidence } from '../engine/evidence.ts';
import { outsideFrame } from './outside-frame.ts';

const kernel = { name: 'nt', imageName: 'ntoskrnl.exe' };
const target = { kernel, moduleAt: () => kernel } as unknown as Target;

function factAt(endReason: string): { outcome: string; claim: string } | undefined {
  const evidence = new Evidence(target, 'x');
  const frames = [{ index: 0, pc: va(1), trust: 'context' } as unknown as Frame];
  const trace: StackTrace = { frames, endReason, endText: 'the walk ended so' };
  expect(outsideFrame(target, trace, evidence)).toBeNull();
  return evidence.items[0];
}

describe('outsideFrame', () => {
  it('says that no driver is on a stack only where the walk came to its start', () => {
    for (const end of ['stack-base', 'no-return-address', 'user-mode']) {
      const fact = factAt(end);
      expect(fact?.outcome).toBe('true');
      expect(fact?.claim).toBe('no frame of the stack lies outside nt and hal');
    }
  });

  it('does not know it where the walk was cut short, and says why', () => {
    for (const end of ['unreadable', 'did-not-advance', 'frame-limit', 'no-context']) {
      const fact = factAt(end);
      expect(fact?.outcome).toBe('undetermined');
      expect(fact?.claim).toMatch(/the walk ended so$/);
    }
  });
});
