import { readFileSync } from 'node:fs';
import { bytesSource, openDump } from '@dumpscope/core';
import { openTarget } from '@dumpscope/debugger';
import { it } from 'vitest';
import { diagnose, renderText } from '../src/index.ts';

it('try', () => {
  for (const f of (process.env.TRY ?? '').split(',')) {
    const t0 = performance.now();
    const dump = openDump(bytesSource(new Uint8Array(readFileSync(f)), f));
    const target = openTarget(dump);
    const report = diagnose(target, '0');
    process.stdout.write(`${renderText(report)}\n${performance.now() - t0} ms\n`);
  }
});
