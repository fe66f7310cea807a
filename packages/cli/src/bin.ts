import { oneLine } from './io.ts';
import { main } from './main.ts';

// A reader that closes early (`| head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });
}

/** A defect of ours: none of the documented statuses, so that no script takes it for a finding (EX_SOFTWARE). */
const EXIT_INTERNAL = 70;

try {
  process.exitCode = await main(process.argv.slice(2), {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    stdin: process.stdin,
    terminal: process.stdout.isTTY === true ? process.stdout : null,
    errIsTerminal: process.stderr.isTTY === true,
    env: process.env,
  });
} catch (error) {
  const detail = process.env['DUMPSCOPE_DEBUG'] === undefined ? null : (error as Error).stack;
  process.stderr.write(`dumpscope: internal error: ${detail ?? oneLine(String(error))}\n`);
  process.exitCode = EXIT_INTERNAL;
}
