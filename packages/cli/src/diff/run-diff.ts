import { compareDumps, type DiffInput, diagnose, renderDiffText } from '@dumpscope/diagnose';
import { EXIT, type Io } from '../io.ts';
import { openSession } from '../open-session.ts';
import { progressLine } from '../progress.ts';
import { version } from '../version.ts';

export interface DiffRequest {
  readonly paths: readonly [string, string];
  readonly json: boolean;
  readonly symbolPaths: readonly string[];
  readonly imagePaths: readonly string[];
  readonly offline: boolean;
}

/** `dumpscope diff`: exit status 2, and one line that says why, where the dumps are not of one boot. */
export async function runDiff(request: DiffRequest, io: Io): Promise<number> {
  const sessions: { close(): void }[] = [];
  const open = async (path: string): Promise<DiffInput> => {
    const { symbolPaths, imagePaths, offline } = request;
    const opened = await openSession(path, {
      symbolPaths,
      imagePaths,
      offline,
      env: io.env,
      onProgress: progressLine(io),
      code: false,
      warm: (target) => void diagnose(target, version),
    });
    sessions.push(opened);
    for (const warning of opened.warnings) io.err(`dumpscope: ${warning}\n`);
    return { target: opened.target, report: diagnose(opened.target, version) };
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
