import { hex, PAGE_SIZE } from '../brands.ts';
import { maxRuns } from '../header/fields.ts';
import { FilePages } from '../physical/file-pages.ts';
import { RunTableBuilder } from '../physical/run-table.ts';
import { type ContainerInput, MAX_PFN, type PageContainer } from './container.ts';

/**
 * Complete dump (type 1): the pages of the header's runs follow the header, run after run; the file position is
 * cumulative, not indexed by page number.
 */
export function openFull(input: ContainerInput): PageContainer {
  const { cache, header, pointerSize, problems } = input;
  const at = pointerSize === 8 ? 0x88 : 0x64;
  const block = header.physicalMemoryBlock;
  if (block === null) {
    problems.add('header-field-missing', 'PhysicalMemoryBlock was not written: no page can be located', at);
    return { kind: 'full', pages: null, end: header.size };
  }
  if (block.numberOfRuns > block.runs.length) {
    problems.add(
      'runs-exceed-count',
      `PhysicalMemoryBlock claims ${block.numberOfRuns} runs, ${maxRuns(pointerSize)} fit: pages of the others cannot be located`,
      at,
    );
  }
  const table = new RunTableBuilder();
  let total = 0;
  for (const [i, run] of block.runs.entries()) {
    const runAt = pointerSize === 8 ? at + 16 + 16 * i : at + 8 + 8 * i;
    if (run.pageCount === 0) continue;
    if (run.basePage + run.pageCount > MAX_PFN) {
      problems.add(
        'run-absurd',
        `run ${i} (page ${hex(run.basePage)}, ${hex(run.pageCount)} pages) lies beyond 52 bits: it and the runs behind it cannot be located`,
        runAt,
      );
      break;
    }
    table.add(run.basePage, run.pageCount);
    total += run.pageCount;
  }
  const runs = table.build();
  if (total === 0) problems.add('no-pages', 'PhysicalMemoryBlock lists no usable run: the dump holds no page', at);
  if (runs.overlapping) {
    problems.add('runs-overlap', 'PhysicalMemoryBlock has overlapping runs: the first one is taken', at);
  }
  if (total !== block.numberOfPages && !problems.has('runs-exceed-count') && !problems.has('run-absurd')) {
    problems.add(
      'page-count-mismatch',
      `NumberOfPages is ${hex(block.numberOfPages)}, the runs hold ${hex(total)}: the runs are used`,
      pointerSize === 8 ? at + 8 : at + 4,
    );
  }
  return {
    kind: 'full',
    pages: new FilePages(cache, runs, header.size),
    end: header.size + total * PAGE_SIZE,
  };
}
