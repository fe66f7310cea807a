import type { PhysicalLayout, Run } from '../memory/frames.ts';
import { PAGE } from '../memory/page.ts';
import type { Sink } from './sink.ts';

/** Writes the pages of the runs one after another from `offset` on; free and sparse frames stay holes. Returns the end. */
export function writePages(sink: Sink, offset: number, runs: readonly Run[], physical: PhysicalLayout): number {
  let at = offset;
  for (const run of runs) {
    if (run.base === physical.sparse?.base) {
      at += run.count * PAGE;
      continue;
    }
    for (let i = 0; i < run.count; i++) {
      const page = physical.pages.get(run.base + i);
      if (page !== undefined) sink.write(at, page.bytes);
      at += PAGE;
    }
  }
  return at;
}
