import { createInterface } from 'node:readline';
import { currentInstructionLines, currentRegisters, promptOf, versionLines } from '@dumpscope/debugger';
import type { Io } from '../io.ts';
import type { DebugHost } from './debug-host.ts';
import { jsonLine, textOf } from './show.ts';

export interface PromptOptions {
  readonly json: boolean;
  readonly color: boolean;
}

function banner(host: DebugHost): string {
  const { session } = host;
  const { target } = session;
  const { dump } = target;
  const registers = currentRegisters(session);
  const lines = [
    `Loading Dump File [${dump.name}]`,
    kindText(dump.kind),
    '',
    `Symbol search path is: ${session.symbolPath === '' ? '*** Invalid ***' : session.symbolPath}`,
    ...versionLines(target),
    '',
    target.bugcheck === null
      ? 'For analysis of this file, run !analyze -v (no bugcheck is recorded in it)'
      : 'For analysis of this file, run !analyze -v',
    ...(registers === null ? [] : currentInstructionLines(session, registers)),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** WinDbg's second banner line by container. */
export function kindText(kind: string): string {
  switch (kind) {
    case 'triage':
      return 'Mini Kernel Dump File: Only registers and stack trace are available';
    case 'full':
    case 'range-full':
      return 'Kernel Complete Dump File: Full address space is available';
    case 'bitmap-full':
      return 'Kernel Bitmap Dump File: Full address space is available';
    case 'kernel-summary':
      return 'Kernel Summary Dump File: Only kernel address space is available';
    case 'header-only':
      return 'Kernel Dump File: Only the header is available';
    default:
      return 'Kernel Bitmap Dump File: Kernel address space is available, User address space may not be available.';
  }
}

/**
 * Reads commands from standard input. On a terminal with prompt, history and Enter to repeat; from a pipe each line is
 * echoed with its prompt, so that the output reads like a session.
 */
export async function runPrompt(host: DebugHost, io: Io, options: PromptOptions): Promise<void> {
  const interactive = io.stdin.isTTY === true && io.terminal !== null && !options.json;
  if (interactive) io.out(banner(host));
  const reader = createInterface({
    input: io.stdin,
    ...(interactive && io.terminal !== null ? { output: io.terminal, terminal: true } : { terminal: false }),
    prompt: '',
  });
  const prompt = (): void => {
    if (!interactive) return;
    const text = promptOf(host.session);
    reader.setPrompt(options.color ? `\x1b[1m${text}\x1b[22m` : text);
    reader.prompt();
  };
  let last = '';
  reader.on('SIGINT', () => {
    io.out('\n');
    prompt();
  });
  prompt();
  for await (const line of reader) {
    const repeat = line.trim() === '';
    if (!repeat) last = line;
    if (last !== '' && (interactive || !repeat)) {
      for await (const done of host.run(last, repeat)) {
        io.out(options.json ? jsonLine(done) : textOf(done, !interactive));
      }
    }
    if (host.session.quit) break;
    prompt();
  }
  reader.close();
}
