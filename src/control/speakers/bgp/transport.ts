/**
 * TCP for the BGP speaker: a listener of each family that has neighbours, and connections out. All
 * of it is bounded by the neighbours there are; whoever is none is closed at once.
 * @module
 */
import { createServer, type Server, Socket } from 'node:net';
import type {
  Connection,
  ConnectionListener,
  DialListener,
  NeighbourSettings,
  Transport,
} from '../../../bgp/base/api.ts';
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import {
  closeTcp,
  connectState,
  type HostAddress,
  openTcpConnection,
  openTcpListener,
  setMd5Key,
  setTtlGuard,
} from '../../../sys/sockets/tcp.ts';
import { parseHostAddress, plainAddress } from './addresses.ts';

/** Connections that wait to be accepted. */
const BACKLOG = 64;
/** How long the last words to a neighbour may take. */
const LINGER_MS = 2000;
const POLL_MS_MIN = 2;
const POLL_MS_MAX = 100;

export type BgpTransportOptions = {
  /** Where to listen and what to dial from; null = all addresses, and what the route says. */
  bind: HostAddress | null;
  port: number;
  neighbours: readonly NeighbourSettings[];
  accept: (address: string, connection: Connection) => ConnectionListener | undefined;
  log: Log;
  /** Opens sockets in another network namespace; for tests. */
  enter?: <T>(work: () => T) => T;
};

/** The descriptor of a socket that Node opened; undefined when it is gone already. */
function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return undefined;
  return typeof handle.fd === 'number' ? handle.fd : undefined;
}

class TcpConnection implements Connection {
  readonly #socket: Socket;
  #listener: ConnectionListener | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    let reason = 'closed by the other side';
    socket.on('error', (error) => {
      reason = messageOf(error);
    });
    socket.on('data', (bytes) => this.#listener?.data(bytes));
    socket.on('drain', () => this.#listener?.drained());
    socket.on('close', () => {
      const listener = this.#listener;
      this.#listener = undefined;
      listener?.closed(reason);
    });
  }

  listen(listener: ConnectionListener): void {
    this.#listener = listener;
  }

  send(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  queuedBytes(): number {
    return this.#socket.writableLength;
  }

  close(): void {
    this.#listener = undefined;
    const socket = this.#socket;
    socket.end();
    const late = setTimeout(() => socket.destroy(), LINGER_MS);
    late.unref();
    socket.once('close', () => clearTimeout(late));
    // What still comes is not read by anybody, but must not keep the end from being seen.
    socket.resume();
  }
}

export class BgpTransport implements Transport {
  readonly #options: BgpTransportOptions;
  readonly #servers: Server[] = [];
  #strangers = 0;

  constructor(options: BgpTransportOptions) {
    this.#options = options;
  }

  #enter<T>(work: () => T): T {
    return this.#options.enter === undefined ? work() : this.#options.enter(work);
  }

  /** Listens for each family that has neighbours. @throws SystemError of bind(2) */
  async listen(): Promise<void> {
    const { neighbours, bind, port } = this.#options;
    for (const family of [4, 6] as const) {
      const own = neighbours.filter(({ address }) => address.includes(':') === (family === 6));
      if (own.length === 0) continue;
      const any = family === 4 ? 0 : new Uint8Array(16);
      const isOther = bind !== null && (typeof bind === 'number') !== (family === 4);
      if (isOther) continue;
      const fd = this.#enter(() =>
        openTcpListener(bind ?? any, port, (fd) => {
          for (const { address, md5Password } of own) {
            if (md5Password !== '') setMd5Key(fd, parseHostAddress(address), md5Password);
          }
          if (own.some(({ ttlSecurityHops }) => ttlSecurityHops > 0)) setTtlGuard(fd, family, 0);
        }),
      );
      await this.#serve(fd);
    }
  }

  async #serve(fd: number): Promise<void> {
    const { log } = this.#options;
    const server = createServer((socket) => this.#accept(socket));
    server.maxConnections = BACKLOG + this.#options.neighbours.length;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd, backlog: BACKLOG }, resolve);
    });
    server.removeAllListeners('error');
    server.on('error', (error) => log.warn('bgp', `listener: ${messageOf(error)}`));
    this.#servers.push(server);
  }

  #accept(socket: Socket): void {
    const { accept, log } = this.#options;
    const address = plainAddress(socket.remoteAddress ?? '');
    const neighbour = this.#options.neighbours.find((each) => each.address === address);
    const refuse = (): void => {
      this.#strangers++;
      socket.on('error', () => undefined);
      socket.destroy();
    };
    if (neighbour === undefined) return refuse();
    try {
      const fd = descriptorOf(socket);
      if (neighbour.ttlSecurityHops > 0) {
        // Better no neighbour than one that anybody on the way can play.
        if (fd === undefined) return refuse();
        setTtlGuard(fd, address.includes(':') ? 6 : 4, neighbour.ttlSecurityHops);
      }
    } catch (error) {
      log.warn('bgp', `${address}: ${messageOf(error)}`);
      return refuse();
    }
    const connection = new TcpConnection(socket);
    const listener = accept(address, connection);
    if (listener === undefined) return refuse();
    connection.listen(listener);
  }

  /** Connections that were closed at once, as nobody here knows the other end. */
  get strangers(): number {
    return this.#strangers;
  }

  dial(neighbour: NeighbourSettings, listener: DialListener): () => void {
    let timer: NodeJS.Timeout | undefined;
    let fd: number | undefined;
    const fail = (error: unknown): void => {
      if (fd !== undefined) closeTcp(fd);
      fd = undefined;
      listener.failed(messageOf(error));
    };
    const look = (waitMs: number): void => {
      if (fd === undefined) return;
      const state = connectState(fd);
      if (state === 'connecting') {
        timer = setTimeout(look, waitMs, Math.min(waitMs * 2, POLL_MS_MAX));
      } else if (state === 'connected') {
        const connection = new TcpConnection(new Socket({ fd, readable: true, writable: true }));
        fd = undefined;
        connection.listen(listener.connected(connection));
      } else {
        fail(state);
      }
    };
    timer = setTimeout(() => {
      try {
        fd = this.#open(neighbour);
      } catch (error) {
        return fail(error);
      }
      look(POLL_MS_MIN);
    }, 0);
    return () => {
      clearTimeout(timer);
      if (fd !== undefined) closeTcp(fd);
      fd = undefined;
    };
  }

  #open({ address, port, md5Password, ttlSecurityHops }: NeighbourSettings): number {
    const to = parseHostAddress(address);
    return this.#enter(() =>
      openTcpConnection(to, port, this.#options.bind, (fd) => {
        if (md5Password !== '') setMd5Key(fd, to, md5Password);
        if (ttlSecurityHops > 0) setTtlGuard(fd, typeof to === 'number' ? 4 : 6, ttlSecurityHops);
      }),
    );
  }

  /** Listens no more; connections are the speaker's to close. */
  async close(): Promise<void> {
    await Promise.all(
      this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))),
    );
  }
}
