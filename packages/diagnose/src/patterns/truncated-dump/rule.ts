import { type Diagnosis, definePattern, type Pattern } from '../../engine/diagnosis.ts';
import { plural } from '../../engine/words.ts';
import { blankFinding } from '../../report/blank.ts';
import type { Finding } from '../../report/report.ts';

export const truncatedDump: Pattern = definePattern({
  id: 'truncated-dump',
  title: 'Truncated Dump',
  run(diagnosis: Diagnosis): readonly Finding[] {
    const { dump } = diagnosis.target;
    const cut = dump.problems.filter((problem) => /truncat|beyond-end/.test(problem.id));
    if (dump.complete || cut.length === 0) return [];
    const evidence = diagnosis.evidence('truncated');
    for (const problem of cut)
      evidence.fact(
        problem.message,
        'true',
        '.dumpdebug',
        problem.offset === undefined ? 'file' : `file offset 0x${problem.offset.toString(16)}`,
      );
    const finding = blankFinding(
      'truncated-dump',
      null,
      'proven',
      'The dump file is shorter than it says',
      `${plural(cut.length, 'part')} of what the dump promises ${cut.length === 1 ? 'lies' : 'lie'} beyond its end. What is missing is reported as unknown, never as absent; findings below rest on what is there.`,
    );
    return [{ ...finding, evidence: evidence.items }];
  },
});
