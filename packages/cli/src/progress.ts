import type { DownloadProgress } from '@dumpscope/node';
import type { Io } from './io.ts';

/** Draws downloads on standard error: redrawn on a terminal, else one line when a file is complete. */
export function progressLine(io: Io): (progress: DownloadProgress) => void {
  const said = new Set<string>();
  return ({ url, received, total }) => {
    const done = total !== null && received >= total;
    const size = total === null ? `${received} bytes` : `${Math.floor((received / Math.max(1, total)) * 100)}%`;
    if (io.errIsTerminal) {
      io.err(`\r\x1b[K${url} ${size}${done ? '\n' : ''}`);
    } else if (done && !said.has(url)) {
      said.add(url);
      io.err(`fetched ${url}\n`);
    }
  };
}
