/**
 * How a data process whose control died is taken over from: a successor of control sends a socket, gets
 * all descriptors over it, and says so when its own data process reads them. Then this one has read its
 * last packet. Both read the same queues meanwhile, and no packet waits for either.
 *
 * ```
 * successor -> us:  one byte and one end of a socket pair, to the socket that the run directory names
 * us -> successor:  the tables; then changes of links (table/links/link-change.ts) with their descriptors.
 *                   `sequence` counts down to 0, the last one
 * successor -> us:  one byte: our turn is over. Nothing, and the end of the pair: it died too.
 * ```
 * @module
 */
import { SystemError } from '../sys/libc/libc.ts';
import { receiveDescriptors, sendDescriptors } from '../sys/sockets/fdpass.ts';
import { closeDescriptor } from '../sys/sockets/local-sockets.ts';
import { descriptorsOf, encodeLinkChange, type LinkChange } from '../table/links/link-change.ts';
import type { PollSet } from './pace/poll-set.ts';

/** Links that are told in one message, each with one descriptor. */
const LINKS_A_MESSAGE = 64;

type Holding = Pick<LinkChange, 'endpoints' | 'links'>;

/** What is held as messages, none with more descriptors than one can carry. */
export function messagesOf({ endpoints, links }: Holding): LinkChange[] {
  const parts: Holding[] = endpoints.map((endpoint) => ({ endpoints: [endpoint], links: [] }));
  for (let at = 0; at === 0 || at < links.length; at += LINKS_A_MESSAGE) {
    parts.push({ endpoints: [], links: links.slice(at, at + LINKS_A_MESSAGE) });
  }
  return parts.map((part, i) => ({ ...part, left: [], sequence: parts.length - 1 - i }));
}

/** How long what waits for a rate may take to leave once a successor has taken over, ms. */
const DRAIN_MS = 500;
const DRAIN_NAP_US = 500;

/** Whoever took over reads on where we stopped; what we have read already leaves from here. */
export function drain(
  queues: { readonly waiting: number; release(nowMs: number): unknown },
  nap: (us: number) => void,
): void {
  const endMs = performance.now() + DRAIN_MS;
  while (queues.waiting > 0 && performance.now() < endMs) {
    queues.release(performance.now());
    nap(DRAIN_NAP_US);
  }
}

export class Handover {
  /** Where successors ask. */
  readonly descriptor: number;
  readonly #tables: number;
  /** The way to the one that has asked, −1 = nobody has. */
  #successor = -1;
  #isOver = false;

  /**
   * @param descriptor a datagram socket
   * @param tables descriptor of the tables
   */
  constructor(descriptor: number, tables: number) {
    this.descriptor = descriptor;
    this.#tables = tables;
  }

  /** A successor reads our queues: the next packet is not ours. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Hears what successors say, and gives whoever asks what we hold.
   * @param poll gets the way to that one, and loses it, as what `role` says
   */
  serve(holding: Holding, poll: Pick<PollSet, 'add' | 'remove'>, role: number): void {
    const before = this.#successor;
    this.#serve(holding);
    if (this.#successor === before) return;
    if (before >= 0) poll.remove(before);
    if (this.#successor >= 0) poll.add(role, 0, this.#successor);
  }

  #serve(holding: Holding): void {
    if (this.#successor >= 0) this.#hear();
    const asked = this.#asked();
    if (asked === undefined) return;
    if (this.#successor >= 0) closeDescriptor(this.#successor);
    this.#successor = asked;
    if (!this.#give(asked, holding)) this.#forget();
  }

  /** The word of the one that has asked. */
  #hear(): void {
    try {
      const passed = receiveDescriptors(this.#successor, 1, 0);
      if (passed === undefined) return;
      this.#isOver ||= passed.bytes.length > 0;
      if (!this.#isOver) this.#forget();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#forget();
    }
  }

  #forget(): void {
    closeDescriptor(this.#successor);
    this.#successor = -1;
  }

  /** A socket that a successor sent. */
  #asked(): number | undefined {
    try {
      const { descriptors = [] } = receiveDescriptors(this.descriptor, 1, 1) ?? {};
      return descriptors[0];
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return undefined;
    }
  }

  /** False when it does not take everything; then it goes on without. */
  #give(socket: number, holding: Holding): boolean {
    try {
      if (sendDescriptors(socket, Uint8Array.of(0), [this.#tables]) === 0) return false;
      return messagesOf(holding).every((message) => {
        const bytes = encodeLinkChange(message, false);
        return sendDescriptors(socket, bytes, descriptorsOf(message)) > 0;
      });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return false;
    }
  }
}
