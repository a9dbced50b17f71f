/**
 * The page of a router, for browsers on this host: on the loopback address only, and only while somebody
 * wants it. A browser runs what strangers wrote, and other users of this host reach the loopback address
 * too, so: each call bears a token that only the page knows, from the fragment of its address; the Host
 * must be a name of this very host, so that no stranger's name that leads here is answered (DNS
 * rebinding); and a request from another page is refused by its Origin. What the page may ask changes
 * nothing.
 * @module
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { WebAnswer, WebRequest } from '../../api/web.ts';
import { codeOf, refusedError, usageError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { boundedServer, HttpError, type Route } from '../admin/admin.ts';
import { pageAnswer } from './page-text.ts';

/** Unless another is asked for. */
export const WEB_PORT_DEFAULT = 7980;
/** Connections at one time: a page has three or four, one of them for events. */
export const WEB_CLIENTS_MAX = 24;
/** Nobody looked for so long: it ends, ms. */
const IDLE_MS = 3_600_000;
const TOKEN_BYTES = 32;
const LOOPBACK = '127.0.0.1';
/** Names of this host that stand for its loopback address; a port may follow. */
const HOST = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?$/;

/** What the page may ask: none of it changes anything. */
const PATHS: readonly string[] = [
  ...['/v1/status', '/v1/gossip/members', '/v1/entries', '/v1/find', '/v1/events'],
];

/** Whether a request may be answered at all. @throws HttpError */
export function admitPage({ headers, url }: IncomingMessage, token: string): void {
  const { host = '', origin } = headers;
  if (!HOST.test(host)) throw new HttpError(403, 'this page answers to its loopback address only');
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new HttpError(403, 'this page answers itself only');
  }
  const site = headers['sec-fetch-site'];
  if (url === '/') {
    // There is nothing in it, and a click on a link may lead here.
    return;
  }
  if (site !== undefined && site !== 'same-origin') {
    throw new HttpError(403, 'this page answers itself only');
  }
  const given = Buffer.from(/^Bearer ([\w-]+)$/.exec(headers.authorization ?? '')?.[1] ?? '');
  const wanted = Buffer.from(token);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
    throw new HttpError(401, 'the token is missing or not ours: fanway web prints it');
  }
}

type Running = { url: string; port: number; close(): Promise<void>; timer: NodeJS.Timeout };

export class PageServer {
  readonly #routes: () => readonly Route[];
  readonly #log: Log;
  readonly #idleMs: number;
  #running: Running | undefined;
  #askedAtMs = 0;
  /** Each waits for the one before it. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param routes of the admin socket, of which the page sees a few */
  constructor(options: { routes: () => readonly Route[]; log: Log; idleMs?: number }) {
    this.#routes = options.routes;
    this.#log = options.log;
    this.#idleMs = options.idleMs ?? IDLE_MS;
  }

  /** Begins, or ends. @throws FanwayError when the port is taken, or the page was not built. */
  set({ on, port }: WebRequest): Promise<WebAnswer> {
    const result = this.#last.then(() => (on ? this.#open(port) : this.#end()));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #open(port: number | null): Promise<WebAnswer> {
    const running = this.#running;
    if (running !== undefined) {
      if (port === null || port === 0 || port === running.port) {
        this.#askedAtMs = performance.now();
        return { url: running.url, same: true };
      }
      throw refusedError(
        'other-port',
        `the page is on port ${running.port} already: fanway web prints it, fanway web --off ends it`,
      );
    }
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const { server, close } = boundedServer(
      {
        routes: [...this.#routes().filter(({ path }) => PATHS.includes(path)), pageRoute()],
        log: this.#log,
        admit: (request) => {
          admitPage(request, token);
          this.#askedAtMs = performance.now();
        },
      },
      WEB_CLIENTS_MAX,
    );
    const wanted = port ?? WEB_PORT_DEFAULT;
    if (wanted > 65_535) throw usageError('usage', 'a port is a number from 0 to 65535');
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: LOOPBACK, port: wanted, exclusive: true }, resolve);
    }).catch((error: unknown) => {
      const code = codeOf(error);
      if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
      const why = code === 'EACCES' ? 'is not for this user' : 'is taken by another program';
      throw refusedError(
        'port-taken',
        `port ${wanted} of ${LOOPBACK} ${why}: fanway web --port 0 takes one that is free`,
      );
    });
    server.on('error', (error) => this.#log.error('web', error.message));
    const address = server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : wanted;
    this.#askedAtMs = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - this.#askedAtMs > this.#idleMs)
        void this.set({ on: false, port: null });
    }, this.#idleMs / 60);
    timer.unref();
    const url = `http://${LOOPBACK}:${bound}/#${token}`;
    this.#running = { url, port: bound, close, timer };
    this.#log.info('web', `the page is on ${LOOPBACK}:${bound}`);
    return { url, same: false };
  }

  async #end(): Promise<WebAnswer> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return { url: '', same: true };
    clearInterval(running.timer);
    await running.close();
    this.#log.info('web', 'the page has ended');
    return { url: '', same: false };
  }
}

/** Read once for as long as the page is there: its policy goes by what is in it. */
function pageRoute(): Route {
  const page = pageAnswer();
  return { method: 'GET', path: '/', handle: async () => page };
}
