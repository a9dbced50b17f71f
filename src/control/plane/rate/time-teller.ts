/**
 * Tells hosts that ask when their echo requests came (echo.ts), so that they know in which direction
 * packets wait. The kernel answers the same requests as it always does; where no raw socket may be
 * opened, that is all they get.
 * @module
 */

import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { familyOf, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { Beat } from '../../../sys/process/beat.ts';
import { EchoSocket } from '../../../sys/sockets/echo-socket.ts';
import { emitArrival } from '../echo/echo.ts';

/** Between two looks while somebody asks, and while nobody does, ms. */
const BUSY_MS = 10;
const IDLE_MS = 500;
/** Who asked so long ago still does, ms. */
const ASKED_MS = 2000;
/** Requests that are looked at in one look, and told of in a second: what is more is a flood. */
const REQUESTS_MAX = 256;
const TOLD_MAX = 2000;
/** Only what has just come is told of, ms: a time that is old helps nobody. */
const FRESH_MS = 2000;

export class TimeTeller {
  readonly #log: Log;
  readonly #locals: () => Iterable<UnderlayAddress>;
  /** undefined: none may be opened there. */
  readonly #sockets = new Map<UnderlayAddress, EchoSocket | undefined>();
  #beat: Beat | undefined;
  /** While somebody asks. */
  #timer: NodeJS.Timeout | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #second = 0;
  #told = 0;

  /** @param locals our addresses now */
  constructor(log: Log, locals: () => Iterable<UnderlayAddress>) {
    this.#log = log;
    this.#locals = locals;
  }

  start(): void {
    if (this.#beat !== undefined) return;
    this.#beat = new Beat(IDLE_MS, () => this.#look()).unref();
    this.#look();
  }

  stop(): void {
    this.#beat?.close();
    this.#beat = undefined;
    clearTimeout(this.#timer);
    for (const socket of this.#sockets.values()) socket?.close();
    this.#sockets.clear();
  }

  #look(): void {
    const locals = new Set(this.#locals());
    if (locals.size === 0) return this.stop();
    for (const [local, socket] of this.#sockets) {
      if (locals.has(local)) continue;
      socket?.close();
      this.#sockets.delete(local);
    }
    for (const local of locals) {
      if (!this.#sockets.has(local)) this.#sockets.set(local, this.#open(local));
    }
    const nowMs = performance.now();
    for (const socket of this.#sockets.values()) {
      if (socket !== undefined && this.#serve(socket, nowMs)) this.#askedAtMs = nowMs;
    }
    clearTimeout(this.#timer);
    if (nowMs - this.#askedAtMs >= ASKED_MS) return;
    this.#timer = setTimeout(() => this.#look(), BUSY_MS);
    this.#timer.unref();
  }

  #open(local: UnderlayAddress): EchoSocket | undefined {
    try {
      const socket = EchoSocket.openForRequests(local);
      socket.stampArrivals();
      return socket;
    } catch (error) {
      this.#log.info('rate', `others are not told when their packets come: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Returns whether anybody asked. */
  #serve(socket: EchoSocket, nowMs: number): boolean {
    const second = Math.trunc(nowMs / 1000);
    if (second !== this.#second) this.#told = 0;
    this.#second = second;
    let isAsked = false;
    for (let i = 0; i < REQUESTS_MAX; i++) {
      const came = socket.receiveStamped();
      if (came === undefined) break;
      const { family, showsOuterHeader, sender } = socket;
      if (familyOf(sender) !== family || EchoSocket.nowMs() - came.atMs > FRESH_MS) continue;
      const message = emitArrival(came.message, family, showsOuterHeader, came.atMs);
      if (message === undefined) continue;
      isAsked = true;
      if (this.#told++ < TOLD_MAX) socket.send(sender, message);
    }
    return isAsked;
  }
}
