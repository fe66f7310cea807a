import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export interface TestServer {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** What a path answers; 404 otherwise. `count` is how often it was asked before. */
  readonly routes: Map<string, Handler | Uint8Array>;
  close(): Promise<void>;
}

/** A real HTTP server on a port of its own that does what its routes say, however rude. */
export async function startServer(): Promise<TestServer> {
  const asked: string[] = [];
  const routes = new Map<string, Handler | Uint8Array>();
  const counts = new Map<string, number>();
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '');
    asked.push(path);
    const count = counts.get(path) ?? 0;
    counts.set(path, count + 1);
    const route = routes.get(path);
    if (route instanceof Uint8Array) response.end(route);
    else if (route) route(request, response, count);
    else {
      response.statusCode = 404;
      response.end('<html>not here</html>');
    }
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/sym`,
    asked,
    routes,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
