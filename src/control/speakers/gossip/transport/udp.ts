/**
 * A UDP socket of the gossip channel, of one family (ports.ts puts two together). No error ends it: a failed send is a lost datagram,
 * a broken socket is opened anew, and what the kernel does not take at once is not queued without
 * end.
 * @module
 */
import { createSocket, type Socket } from 'node:dgram';
import { messageOf } from '../../../../errors.ts';
import type { Log } from '../../../../log.ts';
import {
  type Family,
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../../../net/underlay-address.ts';
import type { Endpoint } from '../../../../wire/gossip/types.ts';
import type { SocketCounters } from './socket-counters.ts';

/** Datagrams that Node holds because the kernel has not taken them yet. */
export const SENDS_IN_FLIGHT_MAX = 512;
/** Asked for; the kernel gives at most net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;
const REOPEN_MS_MIN = 250;
const REOPEN_MS_MAX = 30_000;

export type UdpOptions = {
  /** null = every address of the family. */
  bind: UnderlayAddress | null;
  /** 4 unless given. */
  family?: Family;
  port: number;
  receive: (from: Endpoint, datagram: Uint8Array) => void;
  counters: SocketCounters;
  log: Log;
};

export class UdpSocket {
  readonly #options: UdpOptions;
  #socket: Socket | undefined;
  #inFlight = 0;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = REOPEN_MS_MIN;
  #closed = false;

  private constructor(options: UdpOptions) {
    this.#options = options;
  }

  /** @throws the binding error (EADDRINUSE, EADDRNOTAVAIL). */
  static async open(options: UdpOptions): Promise<UdpSocket> {
    const udp = new UdpSocket(options);
    await udp.#open();
    return udp;
  }

  async #open(): Promise<void> {
    const { bind, port, counters, log, family } = this.#options;
    // Each family has a socket of its own: what comes over IPv4 shall not look like IPv6.
    const socket =
      family === 6 ? createSocket({ type: 'udp6', ipv6Only: true }) : createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.bind({ port, ...(bind !== null && { address: formatHostAddress(bind) }) }, () => {
        socket.removeAllListeners('error');
        resolve();
      });
    });
    if (this.#closed) {
      socket.close();
      return;
    }
    this.#socket = socket;
    this.#retryMs = REOPEN_MS_MIN;
    try {
      socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
    } catch (error) {
      log.debug('gossip', `receive buffer: ${messageOf(error)}`);
    }
    socket.on('message', (datagram, { address, port }) => {
      // A link-local sender has a zone (`fe80::1%eth0`), and no answer would find the way back.
      if (address.includes('%')) counters.count('udp.link_local');
      else this.#options.receive({ address: parseHostAddress(address), port }, datagram);
    });
    socket.on('error', (error) => {
      counters.count('udp.broken');
      log.warn('gossip', `the UDP socket failed (${messageOf(error)}): it is opened again`);
      this.#drop();
      this.#reopenLater();
    });
  }

  #drop(): void {
    this.#socket?.removeAllListeners('message');
    this.#socket?.close();
    this.#socket = undefined;
    this.#inFlight = 0;
  }

  #reopenLater(): void {
    if (this.#closed || this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#open().catch((error: unknown) => {
        this.#options.log.warn('gossip', `no UDP socket: ${messageOf(error)}`);
        this.#reopenLater();
      });
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, REOPEN_MS_MAX);
  }

  /** Sends, or counts why not. Never throws. */
  send(to: Endpoint, datagram: Uint8Array): void {
    const { counters } = this.#options;
    const socket = this.#socket;
    if (socket === undefined) return counters.count('udp.send_closed');
    if (this.#inFlight >= SENDS_IN_FLIGHT_MAX) return counters.count('overflow.udp_sends');
    this.#inFlight++;
    const sent = (error: Error | null): void => {
      if (socket === this.#socket) this.#inFlight--;
      if (error !== null) counters.count('udp.send_errors');
    };
    try {
      socket.send(datagram, to.port, formatHostAddress(to.address), sent);
    } catch (error) {
      sent(error as Error);
    }
  }

  /** Resolves once what was given to send has gone out. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const deadline = performance.now() + 200;
    while (this.#inFlight > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.#drop();
  }
}
