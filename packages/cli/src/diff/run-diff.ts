import { compareDumps, type DiffInput, renderDiffText } from '@dumpscope/diagnose';
import { EXIT, type Io } from '../io.ts';
import { openDiagnosed, type SymbolOptions } from '../open-diagnosed.ts';

export interface DiffRequest extends SymbolOptions {
  readonly paths: readonly [string, string];
  readonly json: boolean;
}

/** `dumpscope diff`: exit status 2, and one line that says why, where the dumps are not of one boot. */
export async function runDiff(request: DiffRequest, io: Io): Promise<number> {
  const sessions: { close(): void }[] = [];
  const open = async (path: string): Promise<DiffInput> => {
    const { session, diagnose } = await openDiagnosed(path, request, io);
    sessions.push(session);
    return { target: session.target, report: diagnose() };
  };
  try {
    const diff = compareDumps(await open(request.paths[0]), await open(request.paths[1]));
    const same = diff.boot.same !== false;
    if (request.json) io.out(`${JSON.stringify(diff, null, 2)}\n`);
    else if (same) io.out(renderDiffText(diff));
    if (!same) io.err(`dumpscope: ${request.paths.join(' and ')}: ${diff.verdict.text}\n`);
    return same ? EXIT.done : EXIT.usage;
  } finally {
    for (const session of sessions) session.close();
  }
}
