import type { AnalyzeVerdict, Target } from '@dumpscope/debugger';
import type { Io } from '../io.ts';
import { version } from '../version.ts';
import { bucketOf } from './bucket.ts';

/** The report as `!analyze` wants it: who is blamed by the first finding that blames somebody, and the text. */
export function analyzeVerdict(
  target: Target,
  diagnose: typeof import('@dumpscope/diagnose'),
  _io: Io,
): AnalyzeVerdict {
  const report = diagnose.diagnose(target, version);
  const finding = report.findings.find((f) => f.blame.length > 0) ?? null;
  const blame = finding?.blame[0] ?? null;
  const module = blame === null ? undefined : target.modules.find((m) => m.name === blame.module);
  return {
    blame:
      blame === null
        ? null
        : {
            module: blame.module,
            image: module?.imageName ?? null,
            symbol: blame.function === null ? null : blame.function.replace('+0x', '+'),
          },
    bucket: finding === null ? null : bucketOf(target, finding),
    text: diagnose.renderText(report),
    rows: report.findings,
  };
}
