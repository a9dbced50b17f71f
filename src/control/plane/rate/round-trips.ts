/**
 * Round trips to hosts of the underlay by echo requests, timed by the kernel where they come in, so that it
 * does not matter when we look; and how much longer they are than when the path is idle.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { familyOf, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { EchoSocket } from '../../../sys/sockets/echo-socket.ts';
import { emitEchoRequest, readEchoToken } from '../echo/echo.ts';

/** Length of a request, as an IP packet of either family, bytes. */
const PROBE_BYTES = 64;
/** A request that is not answered within this is lost, ms. */
const LOST_MS = 2000;
/** Requests on their way at a time, to all hosts. */
const ASKED_MAX = 1024;
const ANSWERS_MAX = 1024;
/** The least of so long, and of as long before it, counts as that of the idle path, ms. */
const WINDOW_MS = 20_000;

type Peer = {
  least: number;
  leastBefore: number;
  sinceMs: number;
  /** When the last request went out that was answered, and the oldest one that is not yet; 0 = none. */
  answeredSentMs: number;
  /** The least that was seen above the idle path since the last look; undefined = nothing came. */
  above: number | undefined;
};

export class RoundTrips {
  readonly #socket: EchoSocket;
  readonly #peers = new Map<UnderlayAddress, Peer>();
  readonly #asked = new Map<string, { peer: UnderlayAddress; sentMs: number }>();

  /** @param local our address @throws SystemError when no socket for echo requests may be opened */
  constructor(local: UnderlayAddress) {
    this.#socket = EchoSocket.open(local);
    this.#socket.stampArrivals();
  }

  /** Asks a host. */
  ask(peer: UnderlayAddress): void {
    if (this.#asked.size >= ASKED_MAX) return;
    if (!this.#peers.has(peer)) {
      const none = Number.POSITIVE_INFINITY;
      this.#peers.set(peer, {
        ...{ least: none, leastBefore: none, sinceMs: EchoSocket.nowMs() },
        ...{ answeredSentMs: 0, above: undefined },
      });
    }
    const token = randomBytes(8).toString('hex');
    const sentMs = EchoSocket.nowMs();
    const request = emitEchoRequest(familyOf(peer), PROBE_BYTES, token);
    if (this.#socket.send(peer, request)) this.#asked.set(token, { peer, sentMs });
  }

  /**
   * Takes the answers that have come. Returns how much longer than on the idle path the round trip is now,
   * ms, to the host where that is most; undefined where no host says anything.
   */
  take(): number | undefined {
    for (let i = 0; i < ANSWERS_MAX; i++) {
      const arrived = this.#socket.receiveStamped();
      if (arrived === undefined) break;
      const { family, showsOuterHeader } = this.#socket;
      const token = readEchoToken(arrived.message, family, showsOuterHeader);
      const asked = token === undefined ? undefined : this.#asked.get(token);
      if (token === undefined || asked === undefined) continue;
      this.#asked.delete(token);
      this.#note(asked.peer, asked.sentMs, arrived.atMs - asked.sentMs);
    }
    const overdue = this.#overdue();
    let most: number | undefined;
    for (const [peer, state] of this.#peers) {
      // One that is on its way for longer than the last one took tells already that it takes longer.
      const above = Math.max(state.above ?? -1, overdue.get(peer) ?? -1);
      state.above = undefined;
      if (above >= 0) most = Math.max(most ?? 0, above);
    }
    return most;
  }

  #note(peer: UnderlayAddress, sentMs: number, roundTripMs: number): void {
    const state = this.#peers.get(peer);
    if (state === undefined || roundTripMs < 0) return;
    if (sentMs - state.sinceMs > WINDOW_MS) {
      state.leastBefore = state.least;
      state.least = Number.POSITIVE_INFINITY;
      state.sinceMs = sentMs;
    }
    state.least = Math.min(state.least, roundTripMs);
    state.answeredSentMs = Math.max(state.answeredSentMs, sentMs);
    const above = roundTripMs - Math.min(state.least, state.leastBefore);
    state.above = Math.min(state.above ?? above, above);
  }

  /** By how much requests are late that went out after the last answered one; lost ones are forgotten. */
  #overdue(): Map<UnderlayAddress, number> {
    const nowMs = EchoSocket.nowMs();
    const late = new Map<UnderlayAddress, number>();
    for (const [token, { peer, sentMs }] of this.#asked) {
      if (nowMs - sentMs > LOST_MS) {
        this.#asked.delete(token);
        continue;
      }
      const state = this.#peers.get(peer);
      if (state === undefined || state.answeredSentMs === 0) continue;
      if (sentMs <= state.answeredSentMs) continue;
      const above = nowMs - sentMs - Math.min(state.least, state.leastBefore);
      late.set(peer, Math.max(late.get(peer) ?? 0, above));
    }
    return late;
  }

  /** The path is another one: what was the least says nothing any more. */
  forgetLeast(): void {
    for (const state of this.#peers.values()) {
      state.least = Number.POSITIVE_INFINITY;
      state.leastBefore = Number.POSITIVE_INFINITY;
    }
  }

  /** Only these hosts count from now on. */
  keep(peers: readonly UnderlayAddress[]): void {
    for (const peer of this.#peers.keys()) if (!peers.includes(peer)) this.#peers.delete(peer);
  }

  close(): void {
    this.#socket.close();
  }
}
