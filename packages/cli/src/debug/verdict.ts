import type { AnalyzeVerdict, Target } from '@dumpscope/debugger';
import type { Finding } from '@dumpscope/diagnose';
import type { Io } from '../io.ts';
import { version } from '../version.ts';

/** `0x133_dispatch-level-spin_MyDriver!RcvData`: bugcheck, pattern, place. */
function bucketOf(target: Target, finding: Finding): string | null {
  const blame = finding.blame[0];
  if (blame === undefined) return null;
  const code = target.bugcheck === null ? '' : `0x${target.bugcheck.baseCode.toString(16).toUpperCase()}_`;
  const place = blame.function ?? `${blame.module}!unknown_function`;
  return `${code}${finding.verdict ?? finding.pattern}_${place.replace(/\+0x[0-9a-f]+$/i, '')}`;
}

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
