/**
 * The admin socket: HTTP with JSON on a unix socket that only its owner can open. Everything about
 * a request is bounded: 64 kB, 5 s, 32 clients; it names no path and no command.
 * @module
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { codeOf, ExitCode, FanwayError, messageOf, usageError } from '../../errors.ts';
import type { Log } from '../../log.ts';

export const ADMIN_BODY_BYTES_MAX = 64 * 1024;
export const ADMIN_CLIENTS_MAX = 32;
/** For a client to send its request, and again to take the answer. */
export const ADMIN_TIMEOUT_MS = 5000;
const HEADER_BYTES_MAX = 8 * 1024;
/** How often a stream with nothing to tell says that it lives, ms: below the time of a silent socket. */
const STREAM_BEAT_MS = 20_000;
/** The only Host that is answered, so that no web page can speak to us through a proxy. */
export const ADMIN_HOST = 'fanway';

/** The header by which a command says which network namespace it means: an inode in nsfs. */
export const ADMIN_NAMESPACE = 'fanway-network-namespace';

export type Route = {
  method: 'GET' | 'POST';
  path: string;
  /** Takes the parsed body (undefined for GET) and returns what is sent as JSON. */
  handle(body: unknown): Promise<unknown>;
};

/** An answer that is text of another type, and not JSON. */
export class PlainAnswer {
  readonly type: string;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(type: string, text: string, headers: Readonly<Record<string, string>> = {}) {
    this.type = type;
    this.text = text;
    this.headers = headers;
  }
}

/** Where a stream's lines go. */
export type LineSink = {
  line(text: string): void;
  /** Bytes that the client has not taken yet. */
  queuedBytes(): number;
  /** There is nothing more. */
  end(): void;
};

/** An answer of lines, for as long as the client stays or there is something to tell. */
export class StreamAnswer {
  readonly type: string;
  readonly open: (sink: LineSink) => () => void;

  /** @param open begins to write, returns how to end it; may throw a FanwayError */
  constructor(type: string, open: (sink: LineSink) => () => void) {
    this.type = type;
    this.open = open;
  }
}

export type AdminOptions = {
  /**
   * Looks at a command that names its network namespace (an inode) before it is carried out.
   * @throws FanwayError when this router is not the one that it means.
   */
  admit?: (namespace: number) => void;
};

export type AdminServer = { close(): Promise<void>; clients(): number };

/**
 * Serves `routes` on a socket path, replacing a stale one; the caller holds the router lock.
 * @throws the listening error.
 */
export async function serveAdmin(
  path: string,
  routes: readonly Route[],
  log: Log,
  options: AdminOptions = {},
): Promise<AdminServer> {
  const service = { routes, log, admit: only(options) };
  const { server, clients, close } = boundedServer(service, ADMIN_CLIENTS_MAX);
  rmSync(path, { force: true });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
  server.on('error', (error) => log.error('admin', messageOf(error)));
  return {
    clients,
    close: () => {
      rmSync(path, { force: true });
      return close();
    },
  };
}

/** What a server answers, and what it looks at before. */
export type HttpService = {
  routes: readonly Route[];
  log: Log;
  /** Looks at the head of a request. @throws HttpError, FanwayError when it is not to be answered. */
  admit(request: IncomingMessage): void;
};

/** A server of small answers, not listening yet: at most `clientsMax` at a time, each in its time. */
export function boundedServer(
  service: HttpService,
  clientsMax: number,
): { server: Server; clients(): number; close(): Promise<void> } {
  const { log } = service;
  const sockets = new Set<Socket>();
  const asked = new WeakMap<Socket, IncomingMessage>();
  const server: Server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      // Node's own limits hold a standstill of ours against the client: see expectWhole().
      requestTimeout: 0,
      headersTimeout: 0,
      keepAlive: false,
      // One answer a connection: nothing to keep, nothing to smuggle.
      keepAliveTimeout: 1,
    },
    (request, response) => {
      asked.set(request.socket, request);
      void answer(request, response, service);
    },
  );
  server.maxConnections = clientsMax;
  server.on('connection', (socket) => {
    sockets.add(socket);
    expectWhole(socket, () => asked.get(socket)?.complete === true);
    socket.setTimeout(ADMIN_TIMEOUT_MS * 12, () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  server.on('drop', () => log.warn('admin', `more than ${clientsMax} clients: one refused`));
  server.on('clientError', (_error, socket) => socket.destroy());
  return {
    server,
    clients: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // What is being answered may finish; the rest goes.
        setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, 200).unref();
      }),
  };
}

/**
 * Ends a connection whose request has not come whole in its time. Timers come before reading: after a standstill of
 * our own, on a machine that is overrun, a request that came long ago waits to be read still, and is read first.
 */
function expectWhole(socket: Socket, isWhole: () => boolean): void {
  const timer = setTimeout(() => {
    setImmediate(() => {
      if (!isWhole()) socket.destroy();
    });
  }, ADMIN_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
}

/** The fanway command, and nobody else. */
function only({ admit }: AdminOptions): HttpService['admit'] {
  return ({ headers }) => {
    if (headers.host !== ADMIN_HOST || headers.origin !== undefined) {
      throw new HttpError(403, 'this socket answers the fanway command only');
    }
    const namespace = headers[ADMIN_NAMESPACE];
    if (namespace !== undefined) admit?.(Number(namespace));
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { routes, log, admit }: HttpService,
): Promise<void> {
  let status = 200;
  let result: unknown;
  try {
    admit(request);
    const route = routeOf(request, routes);
    const body = route.method === 'POST' ? await readBody(request) : undefined;
    result = await route.handle(body);
    if (result instanceof StreamAnswer) return stream(response, result);
  } catch (error) {
    const known = error instanceof FanwayError;
    status = error instanceof HttpError ? error.status : known ? 409 : 500;
    if (!known && !(error instanceof HttpError)) log.error('admin', messageOf(error));
    result = {
      error: {
        code: codeOf(error) || 'internal',
        message: messageOf(error),
        exitCode: known ? error.exitCode : ExitCode.Failed,
      },
    };
  }
  if (response.destroyed) return;
  const plain = result instanceof PlainAnswer ? result : undefined;
  const text = plain?.text ?? `${JSON.stringify(result)}\n`;
  response.writeHead(status, {
    'content-type': plain?.type ?? 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
    ...plain?.headers,
  });
  // Our own standstill is not the client's here either.
  const slow = setTimeout(() => {
    setImmediate(() => {
      if (!response.closed) response.destroy();
    });
  }, ADMIN_TIMEOUT_MS);
  response.once('close', () => clearTimeout(slow));
  response.end(text);
}

/** Writes until the client goes. */
function stream(response: ServerResponse, { type, open }: StreamAnswer): void {
  const end = open({
    line: (text) => void response.write(`${text}\n`),
    queuedBytes: () => response.writableLength,
    end: () => void response.end(),
  });
  response.writeHead(200, { 'content-type': type, connection: 'close' });
  // The header goes out now: who listens knows that nothing is missed from here on.
  response.write('\n');
  const beat = setInterval(() => {
    // One that takes nothing at all is cut off by its socket's time.
    if (response.writableLength === 0) response.write('\n');
  }, STREAM_BEAT_MS);
  response.once('close', () => {
    clearInterval(beat);
    end();
  });
}

/** Told with an HTTP status of its own. */
export class HttpError extends Error {
  readonly status: number;
  readonly code = 'bad-request';

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function routeOf(request: IncomingMessage, routes: readonly Route[]): Route {
  const route = routes.find((route) => route.path === request.url);
  if (route === undefined) throw new HttpError(404, 'there is nothing at that path');
  if (route.method !== request.method) throw new HttpError(405, `only ${route.method} here`);
  return route;
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  if (request.headers['content-type'] !== 'application/json') {
    throw new HttpError(415, 'a body is application/json');
  }
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > ADMIN_BODY_BYTES_MAX) throw new HttpError(413, 'the body is too large');
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer;
    length += bytes.length;
    if (length > ADMIN_BODY_BYTES_MAX) throw new HttpError(413, 'the body is too large');
    chunks.push(bytes);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw usageError('bad-request', 'the body is not JSON');
  }
}
