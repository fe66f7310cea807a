import { diagnose, type Report } from '@dumpscope/diagnose';
import type { Io } from './io.ts';
import { type OpenSession, openSession } from './open-session.ts';
import { progressLine } from './progress.ts';
import { version } from './version.ts';

export interface SymbolOptions {
  readonly symbolPaths: readonly string[];
  readonly imagePaths: readonly string[];
  readonly offline: boolean;
}

export interface DiagnosedSession {
  readonly session: OpenSession;
  /** What is wrong with the symbol path has been told already. */
  diagnose(): Report;
}

/** A dump with every file that its diagnosis asks for. */
export async function openDiagnosed(path: string, options: SymbolOptions, io: Io): Promise<DiagnosedSession> {
  const { symbolPaths, imagePaths, offline } = options;
  const session = await openSession(path, {
    symbolPaths,
    imagePaths,
    offline,
    env: io.env,
    onProgress: progressLine(io),
    // The loop proof does not run ARM64 code.
    code: false,
    warm: (target) => void diagnose(target, version),
  });
  for (const warning of session.warnings) io.err(`dumpscope: ${warning}\n`);
  return { session, diagnose: () => diagnose(session.target, version) };
}
