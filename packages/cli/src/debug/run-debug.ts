import { readFileSync } from 'node:fs';
import { EXIT, type Io, oneLine, UsageError, wantsColor } from '../io.ts';
import { openSession } from '../open-session.ts';
import { progressLine } from '../progress.ts';
import { DebugHost } from './debug-host.ts';
import { runPrompt } from './prompt.ts';
import { jsonLine, textOf } from './show.ts';

export interface DebugRequest {
  readonly path: string;
  readonly commands: readonly string[];
  readonly script: string | null;
  readonly json: boolean;
  readonly symbolPaths: readonly string[];
  readonly imagePaths: readonly string[];
  readonly offline: boolean;
}

function scriptLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .replace(/^\uFEFF/, '')
      .split(/\r?\n/);
  } catch (error) {
    throw new UsageError(oneLine(`--script: ${error instanceof Error ? error.message : String(error)}`));
  }
}

/** `dumpscope debug`: commands from -c and --script, else from standard input; a prompt where that is a terminal. */
export async function runDebug(request: DebugRequest, io: Io): Promise<number> {
  const lines = [...request.commands, ...(request.script === null ? [] : scriptLines(request.script))];
  const { symbolPaths, imagePaths, offline } = request;
  const opened = await openSession(request.path, {
    symbolPaths,
    imagePaths,
    offline,
    env: io.env,
    onProgress: progressLine(io),
  });
  try {
    for (const warning of opened.warnings) io.err(`dumpscope: ${warning}\n`);
    const host = new DebugHost(opened, io);
    const batch = request.commands.length > 0 || request.script !== null;
    if (batch) {
      for (const line of lines) {
        for await (const done of host.run(line)) io.out(request.json ? jsonLine(done) : textOf(done, true));
        if (host.session.quit) break;
      }
    } else await runPrompt(host, io, { json: request.json, color: wantsColor(io) });
    return EXIT.done;
  } finally {
    opened.close();
  }
}
