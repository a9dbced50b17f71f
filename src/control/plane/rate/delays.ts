/**
 * How much longer the ways to hosts of the underlay take than when they are idle, by echo requests that the
 * kernels of both sides stamp where they come in, so that it does not matter when we look.
 *
 * A host with a fanway that tells when a request came (echo.ts) makes it known in which direction it waited,
 * and only our own counts. Of any other host nothing but the round trip is known.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { familyOf, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { EchoSocket } from '../../../sys/sockets/echo-socket.ts';
import { emitEchoRequest, readArrivalMs, readEchoToken } from '../echo/echo.ts';
import { OneWay } from './one-way.ts';

/** Length of a request, as an IP packet of either family, bytes. */
const PROBE_BYTES = 64;
/** A request that is not answered within this is lost, ms. */
const LOST_MS = 2000;
/** Requests on their way at a time, to all hosts. */
const ASKED_MAX = 1024;
const ANSWERS_MAX = 1024;
/** The least of so long, and of as long before it, counts as that of the idle path, ms. */
const WINDOW_MS = 20_000;
/** A host that has told its times so long ago still does, ms. */
const TELLS_MS = 3000;

/** How much longer a request took than on the idle way, ms, and when it was sent. */
type Above = { ms: number; sentMs: number };

type Peer = {
  least: number;
  leastBefore: number;
  sinceMs: number;
  /** When the last request went out that was answered; 0 = none. */
  answeredSentMs: number;
  /** The least that was seen above the idle way since the last look; undefined = nothing came. */
  above: Above | undefined;
  readonly oneWay: OneWay;
  /** When it told us last when a request had come; 0 = never. */
  toldMs: number;
  /** What of the last round trip above the idle path was not on our way, ms. */
  backMs: number;
};

type Asked = {
  readonly peer: UnderlayAddress;
  readonly sentMs: number;
  roundTripMs?: number;
  /** Until it arrived, by both clocks. */
  oneWayMs?: number;
};

/** What the answers since the last look say. */
export type Delay = {
  /** Above the idle way, ms, to the host where that is most; undefined where no host says anything. */
  ms: number | undefined;
  /** How long ago the request was sent that met this, ms. */
  ageMs: number;
  /** Hosts of which only the round trip is known. */
  roundTrips: readonly UnderlayAddress[];
};

export class Delays {
  readonly #socket: EchoSocket;
  readonly #peers = new Map<UnderlayAddress, Peer>();
  readonly #asked = new Map<string, Asked>();

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
        ...{ answeredSentMs: 0, above: undefined, oneWay: new OneWay(), toldMs: 0, backMs: 0 },
      });
    }
    const token = randomBytes(8).toString('hex');
    const request = emitEchoRequest(familyOf(peer), PROBE_BYTES, token, true);
    const sentMs = EchoSocket.nowMs();
    if (this.#socket.send(peer, request)) this.#asked.set(token, { peer, sentMs });
  }

  /** Takes the answers that have come. */
  take(): Delay {
    for (let i = 0; i < ANSWERS_MAX; i++) {
      const arrived = this.#socket.receiveStamped();
      if (arrived === undefined) break;
      this.#answer(arrived);
    }
    const nowMs = EchoSocket.nowMs();
    const overdue = this.#overdue(nowMs);
    let most: Above | undefined;
    const roundTrips: UnderlayAddress[] = [];
    for (const [peer, state] of this.#peers) {
      // One that is on its way for longer than the last one took tells already that it takes longer.
      for (const above of [state.above, overdue.get(peer)]) {
        if (above !== undefined && above.ms >= (most?.ms ?? 0)) most = above;
      }
      state.above = undefined;
      if (!tells(state, nowMs) && state.answeredSentMs !== 0) roundTrips.push(peer);
    }
    return { ms: most?.ms, ageMs: Math.max(0, nowMs - (most?.sentMs ?? nowMs)), roundTrips };
  }

  #answer({ message, atMs }: { message: Buffer; atMs: number }): void {
    const { family, showsOuterHeader } = this.#socket;
    const token = readEchoToken(message, family, showsOuterHeader);
    const asked = token === undefined ? undefined : this.#asked.get(token);
    const state = asked && this.#peers.get(asked.peer);
    if (token === undefined || asked === undefined || state === undefined) return;
    const arrivalMs = readArrivalMs(message, showsOuterHeader);
    if (arrivalMs !== undefined) {
      asked.oneWayMs ??= arrivalMs - asked.sentMs;
      state.toldMs = atMs;
    } else if (asked.roundTripMs === undefined) {
      asked.roundTripMs = atMs - asked.sentMs;
      noteRoundTrip(state, asked.sentMs, asked.roundTripMs);
      if (!tells(state, atMs)) {
        noteAbove(state, { ms: aboveLeast(state, asked.roundTripMs), sentMs: asked.sentMs });
      }
    }
    const { roundTripMs, oneWayMs, sentMs } = asked;
    if (roundTripMs === undefined || oneWayMs === undefined) return;
    this.#asked.delete(token);
    const both = aboveLeast(state, roundTripMs);
    const ms = state.oneWay.note(sentMs, oneWayMs, both);
    state.backMs = Math.max(0, both - ms);
    noteAbove(state, { ms, sentMs });
  }

  /** By how much requests are late that went out after the last answered one; lost ones are forgotten. */
  #overdue(nowMs: number): Map<UnderlayAddress, Above> {
    const late = new Map<UnderlayAddress, Above>();
    for (const [token, { peer, sentMs, roundTripMs }] of this.#asked) {
      if (nowMs - sentMs > LOST_MS) {
        this.#asked.delete(token);
        continue;
      }
      const state = this.#peers.get(peer);
      if (roundTripMs !== undefined || state === undefined || state.answeredSentMs === 0) continue;
      if (sentMs <= state.answeredSentMs) continue;
      // What the way back took last is nothing to do with what we send.
      const back = tells(state, nowMs) ? state.backMs : 0;
      const ms = aboveLeast(state, nowMs - sentMs) - back;
      if (ms > (late.get(peer)?.ms ?? 0)) late.set(peer, { ms, sentMs });
    }
    return late;
  }

  /** The path is another one: what was the least says nothing any more. */
  forgetLeast(): void {
    for (const state of this.#peers.values()) {
      state.least = Number.POSITIVE_INFINITY;
      state.leastBefore = Number.POSITIVE_INFINITY;
      state.oneWay.forget();
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

/** Whether a host tells when requests come. */
function tells({ toldMs }: Peer, nowMs: number): boolean {
  return toldMs !== 0 && nowMs - toldMs < TELLS_MS;
}

function aboveLeast({ least, leastBefore }: Peer, roundTripMs: number): number {
  return roundTripMs - Math.min(least, leastBefore);
}

function noteRoundTrip(state: Peer, sentMs: number, roundTripMs: number): void {
  if (sentMs - state.sinceMs > WINDOW_MS) {
    state.leastBefore = state.least;
    state.least = Number.POSITIVE_INFINITY;
    state.sinceMs = sentMs;
  }
  state.least = Math.min(state.least, Math.max(0, roundTripMs));
  state.answeredSentMs = Math.max(state.answeredSentMs, sentMs);
}

function noteAbove(state: Peer, above: Above): void {
  if (state.above === undefined || above.ms <= state.above.ms) state.above = above;
}
