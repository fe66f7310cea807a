import { hex } from '../brands.ts';
import { PAGE_FILL } from '../bytes.ts';
import type { DumpHeader } from '../dump.ts';
import type { ProblemList } from '../problems.ts';

/** Windows runs on at most 2048 processors. */
const MAX_PROCESSORS = 2048;

/** Fields that the analysis leans on. Those of the page directory are checked where the pages are known. */
export function checkHeader(header: DumpHeader, pointerSize: 4 | 8, problems: ProblemList): void {
  const wide = pointerSize === 8;
  if (header.kdDebuggerDataBlock === null) {
    problems.add(
      'header-field-missing',
      'KdDebuggerDataBlock was not written: KDDEBUGGER_DATA64 must be found by other means',
      wide ? 0x80 : 0x60,
    );
  }
  if (header.psLoadedModuleList === null) {
    problems.add(
      'header-field-missing',
      'PsLoadedModuleList was not written: modules must be found by other means',
      wide ? 0x20 : 0x18,
    );
  }
  const processors = header.numberProcessors;
  if (processors === PAGE_FILL || processors === 0 || processors > MAX_PROCESSORS) {
    const value = processors === PAGE_FILL ? 'was not written' : `is ${hex(processors)}`;
    problems.add(
      'processors-absurd',
      `NumberProcessors ${value}: processors are counted by other means`,
      wide ? 0x34 : 0x24,
    );
  }
  if (header.bugCheckCode === PAGE_FILL) {
    problems.add('header-field-missing', 'BugCheckCode was not written: no bugcheck is known', wide ? 0x38 : 0x28);
  }
  if (header.context === null) {
    problems.add(
      'header-field-missing',
      'ContextRecord was not written: the registers of the crash are not known',
      header.contextOffset,
    );
  }
}
