import { Readable } from 'node:stream';
import type { Io } from '../src/io.ts';
import { main } from '../src/main.ts';

export interface CliResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line in this process with everything captured. */
export async function runCli(
  args: readonly string[],
  options: { readonly stdin?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CliResult> {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    stdin: Readable.from([options.stdin ?? '']),
    terminal: null,
    errIsTerminal: false,
    env: options.env ?? {},
  };
  const status = await main(args, io);
  return { status, out, err };
}
