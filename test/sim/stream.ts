/**
 * The connection over which a node pulls many blocks at once: it comes about slowly or not at all,
 * shares what the server sends a second with all others, and breaks when a path is cut or an end is
 * gone.
 * @module
 */
import { STREAM_BYTES_PER_SECOND } from '../../src/control/speakers/gossip/transport/pace.ts';
import {
  STREAM_IDLE_MS,
  STREAM_REQUEST_MS,
  STREAMS_IN_MAX,
} from '../../src/control/speakers/gossip/transport/streams.ts';
import type { PullSink, Want } from '../../src/gossip/base/api.ts';
import type { Endpoint, NodeId, RawBlock } from '../../src/wire/gossip/types.ts';
import { Host } from './host.ts';
import type { Scheduler } from './scheduler.ts';
import type { ImpairedWire } from './wire.ts';

/** How often an end that stands still is looked at again. */
const LOOK_MS = 20;
/** One-way trips until the server has the request: TCP's handshake, and the keys' proof. */
const TRIPS = 4;

/** What a server has to share out among its streams. */
class Server {
  streams = 0;
  #freeAtMs = 0;

  /** When `bytes` that are given to the socket at `nowMs` have left. */
  send(nowMs: number, bytes: number): number {
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (bytes / STREAM_BYTES_PER_SECOND) * 1000;
    return this.#freeAtMs;
  }
}

function bytesOf(blocks: readonly RawBlock[]): number {
  return blocks.reduce((sum, { body, signature }) => sum + body.length + signature.length, 0);
}

/** All connections of a cluster. */
export class Streams {
  readonly #scheduler: Scheduler;
  readonly #wire: ImpairedWire;
  /** By the life of a process: with it ends what it was sending. */
  readonly #servers = new Map<Host, { life: number; server: Server }>();

  constructor(scheduler: Scheduler, wire: ImpairedWire) {
    this.#scheduler = scheduler;
    this.#wire = wire;
  }

  /**
   * Asks the host at `to`, if it is `peer`, for `wants`. Nothing reaches `sink` before this
   * returns, nor once the asking process is gone.
   */
  pull(client: Host, to: Endpoint, peer: NodeId, wants: Want[], sink: PullSink): void {
    const scheduler = this.#scheduler;
    const wire = this.#wire;
    const clientLife = client.life;
    const isWanted = () => client.life === clientLife;
    const end = (ok: boolean, delayMs: number) =>
      scheduler.after(delayMs, () => {
        if (!isWanted()) return;
        if (!client.isAwake) return end(ok, LOOK_MS);
        sink.end(ok);
      });
    const host = wire.stationAt(Number(to.address));
    const isOpen = () =>
      host !== undefined &&
      wire.isOpen(client.index, host.index) &&
      wire.isOpen(host.index, client.index);
    if (!(host instanceof Host) || !isOpen()) return end(false, STREAM_REQUEST_MS);
    const { life } = host;
    const server = this.#serverOf(host);
    const delayMs = wire.delayMs(client.index, host.index);
    const close = (ok: boolean, afterMs: number) => {
      server.streams -= 1;
      end(ok, afterMs);
    };

    const serve = (pieces: Iterator<RawBlock[]>) => {
      if (!isWanted() || host.life !== life || !isOpen()) return close(false, STREAM_IDLE_MS);
      if (!host.isAwake) return scheduler.after(LOOK_MS, () => serve(pieces));
      const piece = pieces.next();
      if (piece.done) return close(true, delayMs);
      const sizeBytes = bytesOf(piece.value);
      wire.count(host.index, sizeBytes);
      const leftMs = server.send(scheduler.nowMs, sizeBytes);
      scheduler.at(leftMs + delayMs, () => take(piece.value, pieces));
    };
    const take = (blocks: RawBlock[], pieces: Iterator<RawBlock[]>) => {
      if (isWanted() && !client.isAwake)
        return scheduler.after(LOOK_MS, () => take(blocks, pieces));
      if (isWanted()) sink.blocks(blocks);
      serve(pieces);
    };
    scheduler.after(delayMs * TRIPS, () => {
      if (host.node === undefined || host.life !== life || host.identity.id !== peer) {
        return end(false, delayMs);
      }
      if (server.streams >= STREAMS_IN_MAX) return end(false, delayMs);
      server.streams += 1;
      serve(host.node.serve(wants)[Symbol.iterator]());
    });
  }

  #serverOf(host: Host): Server {
    const known = this.#servers.get(host);
    if (known?.life === host.life) return known.server;
    const server = new Server();
    this.#servers.set(host, { life: host.life, server });
    return server;
  }
}
