import { main } from './main.ts';

// A reader that closes early (`| head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });
}

process.exitCode = await main(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  stdin: process.stdin,
  terminal: process.stdout.isTTY === true ? process.stdout : null,
  errIsTerminal: process.stderr.isTTY === true,
  env: process.env,
});
