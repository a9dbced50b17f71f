/**
 * Echo requests from one of our addresses to many, with what became of each: its round trip, whether it
 * was answered, and whether answers overtook one another. For a process that does nothing else: it waits
 * in poll(2).
 * @module
 */

import { randomBytes } from 'node:crypto';
import { familyOf, type UnderlayAddress } from '../../net/underlay-address.ts';
import { EchoSocket } from '../../sys/sockets/echo-socket.ts';
import { emitEchoRequest, readEchoToken } from '../plane/echo/echo.ts';

/** Answers that are read at a time. */
const ANSWERS_MAX = 1024;
const TOKEN_BYTES = 8;

type Asked = { to: UnderlayAddress; number: number; atMs: number; counts: boolean };

/** What became of the requests to one address. */
export type Echoed = {
  sent: number;
  received: number;
  /** Milliseconds, in the order of the answers. */
  rttsMs: number[];
  /** Answers to a request that was sent before one whose answer was here already. */
  reordered: number;
};

export class Echoes {
  readonly #socket: EchoSocket;
  readonly #asked = new Map<string, Asked>();
  readonly #echoed = new Map<UnderlayAddress, Echoed & { highest: number }>();
  /** Called with the token of each answer that was not counted. */
  onAnswer: (token: string) => void = () => undefined;

  /** @param from our address. @param device as of {@link EchoSocket.open}. @throws SystemError when no socket for it may be opened. */
  constructor(from: UnderlayAddress, device: string) {
    this.#socket = EchoSocket.open(from, device);
  }

  get socket(): EchoSocket {
    return this.#socket;
  }

  /** A counted request of `packetBytes`, IP length; false when this host refuses it. */
  ask(to: UnderlayAddress, packetBytes: number): boolean {
    const echoed = this.#of(to);
    const token = randomBytes(TOKEN_BYTES).toString('hex');
    const number = echoed.sent++;
    this.#asked.set(token, { to, number, atMs: performance.now(), counts: true });
    if (this.#socket.send(to, emitEchoRequest(familyOf(to), packetBytes, token))) return true;
    this.#asked.delete(token);
    return false;
  }

  /** One that is not counted, for a search of its own. */
  send(to: UnderlayAddress, packetBytes: number, token: string): boolean {
    this.#asked.set(token, { to, number: 0, atMs: 0, counts: false });
    if (this.#socket.send(to, emitEchoRequest(familyOf(to), packetBytes, token))) return true;
    this.#asked.delete(token);
    return false;
  }

  /** Reads what has come. */
  read(): void {
    const { family, showsOuterHeader } = this.#socket;
    for (let taken = 0; taken < ANSWERS_MAX; taken++) {
      const message = this.#socket.receive();
      if (message === undefined) return;
      const token = readEchoToken(message, family, showsOuterHeader);
      const asked = token === undefined ? undefined : this.#asked.get(token);
      if (token === undefined || asked === undefined) continue;
      this.#asked.delete(token);
      if (!asked.counts) {
        this.onAnswer(token);
        continue;
      }
      const echoed = this.#of(asked.to);
      echoed.received++;
      echoed.rttsMs.push(performance.now() - asked.atMs);
      if (asked.number < echoed.highest) echoed.reordered++;
      echoed.highest = Math.max(echoed.highest, asked.number);
    }
  }

  /** Counted requests that are not answered. */
  get waiting(): number {
    let waiting = 0;
    for (const { counts } of this.#asked.values()) if (counts) waiting++;
    return waiting;
  }

  echoed(to: UnderlayAddress): Echoed {
    const { sent, received, rttsMs, reordered } = this.#of(to);
    return { sent, received, rttsMs, reordered };
  }

  #of(to: UnderlayAddress): Echoed & { highest: number } {
    let echoed = this.#echoed.get(to);
    if (echoed === undefined) {
      echoed = { sent: 0, received: 0, rttsMs: [], reordered: 0, highest: -1 };
      this.#echoed.set(to, echoed);
    }
    return echoed;
  }

  close(): void {
    this.#socket.close();
  }
}
