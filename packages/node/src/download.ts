import { closeSync, openSync, writeSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { discardFile } from './cache-folder.ts';

export interface DownloadLimits {
  /** Until the server begins to answer. */
  readonly connectMs: number;
  /** Within this time {@link idleBytes} more must come. */
  readonly idleMs: number;
  /** A server that sends less than this in {@link idleMs} is given up: a byte now and then keeps no download alive. */
  readonly idleBytes: number;
  /** For one file in all. */
  readonly totalMs: number;
  /** Further tries after a failure that may pass. */
  readonly retries: number;
  readonly retryDelayMs: number;
  readonly maximumBytes: number;
  readonly redirects: number;
}

export const defaultDownloadLimits: DownloadLimits = {
  connectMs: 15_000,
  idleMs: 30_000,
  idleBytes: 16_384,
  totalMs: 20 * 60_000,
  retries: 2,
  retryDelayMs: 500,
  maximumBytes: 0x4000_0000,
  redirects: 5,
};

export interface DownloadProgress {
  readonly url: string;
  readonly received: number;
  /** Null when the server does not say it. */
  readonly total: number | null;
}

export type DownloadResult =
  | { readonly kind: 'done'; readonly bytes: number }
  /** The server answered that it has no such file. */
  | { readonly kind: 'absent' }
  /** `unreachable`: no connection came about or the server stalled: asking it for other files is in vain too. */
  | { readonly kind: 'failed'; readonly why: string; readonly unreachable: boolean };

const MAX_TIMEOUTS = 2;

interface Attempt {
  readonly result: DownloadResult;
  readonly retry: boolean;
  readonly timedOut?: boolean;
  readonly redirect?: string;
}

const failed = (why: string, retry: boolean, unreachable = false): Attempt => ({
  result: { kind: 'failed', why, unreachable },
  retry,
});

/**
 * Fetches a URL into `file`, which does not exist yet. After anything but `done` there is no such file. Never rejects.
 */
export async function download(
  url: string,
  file: string,
  limits: DownloadLimits,
  onProgress?: (progress: DownloadProgress) => void,
  signal?: AbortSignal,
): Promise<DownloadResult> {
  const deadline = Date.now() + limits.totalMs;
  let last: DownloadResult = { kind: 'failed', why: 'not tried', unreachable: false };
  let timeouts = 0;
  for (let attempt = 0; attempt <= limits.retries; attempt++) {
    if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, limits.retryDelayMs * 2 ** (attempt - 1)));
    let address = url;
    let outcome = failed('not tried', false);
    for (let hop = 0; ; hop++) {
      if (signal?.aborted) return { kind: 'failed', why: 'cancelled', unreachable: false };
      outcome = await fetchOnce(address, file, limits, deadline, onProgress, signal);
      if (outcome.redirect === undefined) break;
      if (hop >= limits.redirects) {
        outcome = failed(`more than ${limits.redirects} redirections`, false);
        break;
      }
      if (/^https:/i.test(address) && !/^https:/i.test(outcome.redirect)) {
        outcome = failed(`redirected from https to ${outcome.redirect.slice(0, 200)}`, false);
        break;
      }
      address = outcome.redirect;
    }
    last = outcome.result;
    if (last.kind === 'done') return last;
    discardFile(file);
    if (!outcome.retry || Date.now() > deadline) break;
    // A server that let two tries run into a time-out is not worth the wait of a third.
    if (outcome.timedOut === true && ++timeouts === MAX_TIMEOUTS) break;
  }
  return last;
}

function fetchOnce(
  address: string,
  file: string,
  limits: DownloadLimits,
  deadline: number,
  onProgress: ((progress: DownloadProgress) => void) | undefined,
  signal: AbortSignal | undefined,
): Promise<Attempt> {
  return new Promise((resolve) => {
    let settled = false;
    let timer: NodeJS.Timeout | undefined;
    let request: http.ClientRequest | undefined;
    let fd: number | undefined;
    const finish = (attempt: Attempt): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (fd !== undefined) closeSync(fd);
      resolve(attempt);
      const { kind } = attempt.result;
      // The connection is used again after a whole answer; the body of a 404 is let pass, but not for long.
      if (kind === 'failed') request?.destroy();
      else if (kind === 'absent') setTimeout(() => request?.destroy(), 2000).unref();
    };
    const wait = (ms: number, why: () => string): void => {
      clearTimeout(timer);
      const left = Math.min(ms, deadline - Date.now());
      const reason = (): string => (left < ms ? `not done within ${limits.totalMs / 1000} s` : why());
      const over = (): Attempt => ({
        ...failed(reason(), left >= ms, left >= ms || phase === 'connecting'),
        timedOut: true,
      });
      timer = setTimeout(() => finish(over()), Math.max(0, left));
    };
    let phase: 'connecting' | 'answering' = 'connecting';
    let target: URL;
    try {
      target = new URL(address);
    } catch {
      finish(failed(`not a URL: ${address.slice(0, 200)}`, false));
      return;
    }
    if (target.protocol !== 'http:' && target.protocol !== 'https:') {
      finish(failed(`neither http nor https: ${address.slice(0, 200)}`, false));
      return;
    }
    wait(limits.connectMs, () => `no answer within ${limits.connectMs / 1000} s`);
    // Symbol servers exist that answer only to what calls itself a symbol client of Microsoft's.
    const headers = {
      'User-Agent': 'Microsoft-Symbol-Server/10.0 (dumpscope)',
      Accept: '*/*',
      'Accept-Encoding': 'identity',
    };
    try {
      request = (target.protocol === 'https:' ? https : http).get(target, { headers, ...(signal ? { signal } : {}) });
    } catch (error) {
      finish(failed(text(error), false));
      return;
    }
    request.on('error', (error) => {
      const unreachable = phase === 'connecting' && !('code' in error && String(error.code).startsWith('HPE_'));
      finish(failed(signal?.aborted ? 'cancelled' : text(error), !signal?.aborted, unreachable));
    });
    request.on('response', (response) => {
      phase = 'answering';
      const status = response.statusCode ?? 0;
      if (status >= 300 && status < 400 && response.headers.location !== undefined) {
        let redirect: string;
        try {
          redirect = new URL(response.headers.location, target).href;
        } catch {
          finish(failed('redirected to what is no URL', false));
          return;
        }
        finish({ result: { kind: 'failed', why: 'redirected', unreachable: false }, retry: false, redirect });
        return;
      }
      if (status === 404 || status === 410) {
        response.resume();
        response.on('error', () => undefined);
        finish({ result: { kind: 'absent' }, retry: false });
        return;
      }
      if (status !== 200) {
        finish(
          failed(
            `the server answered ${status} ${(response.statusMessage ?? '').slice(0, 60)}`.trim(),
            status >= 500 || status === 429,
          ),
        );
        return;
      }
      const encoding = response.headers['content-encoding'];
      if (encoding !== undefined && encoding !== 'identity') {
        finish(failed(`the server sends ${encoding.slice(0, 40)} although it was not asked to`, false));
        return;
      }
      const length = response.headers['content-length'];
      const total = length !== undefined && /^\d+$/.test(length) ? Number(length) : null;
      if (total !== null && total > limits.maximumBytes) {
        finish(
          failed(`the server announces ${total} bytes, more than the ${limits.maximumBytes} that are allowed`, false),
        );
        return;
      }
      try {
        fd = openSync(file, 'w');
      } catch (error) {
        finish(failed(text(error), false));
        return;
      }
      let received = 0;
      let counted = 0;
      const idle = (): void => {
        counted = received;
        const seconds = limits.idleMs / 1000;
        wait(limits.idleMs, () =>
          received === counted
            ? `nothing came for ${seconds} s after ${received} bytes`
            : `only ${received - counted} bytes came in ${seconds} s, ${received} in all`,
        );
      };
      idle();
      response.on('data', (chunk: Buffer) => {
        if (settled || fd === undefined) return;
        received += chunk.length;
        if (received > limits.maximumBytes) {
          finish(failed(`more than the ${limits.maximumBytes} bytes that are allowed`, false));
          return;
        }
        try {
          for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at, chunk.length - at);
        } catch (error) {
          finish(failed(`cannot be written: ${text(error)}`, false));
          return;
        }
        onProgress?.({ url: address, received, total });
        if (received - counted >= limits.idleBytes) idle();
      });
      const broken = (): void => {
        const of = total === null ? '' : ` of ${total}`;
        finish(failed(`the connection broke off after ${received}${of} bytes`, true));
      };
      response.on('aborted', broken);
      response.on('error', broken);
      response.on('end', () => {
        if (!response.complete || (total !== null && total !== received)) broken();
        else finish({ result: { kind: 'done', bytes: received }, retry: false });
      });
    });
  });
}

function text(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // An AggregateError of several addresses has no message of its own.
  const code = 'code' in error ? String(error.code) : '';
  return (error.message || code || error.name).replace(/\s+/g, ' ').slice(0, 200);
}
