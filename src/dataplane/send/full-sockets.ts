/**
 * Sockets whose send buffer was full a moment ago. The loop never waits for one: what it has in hand
 * for it is dropped and counted, and what comes next for it is dropped before any work is spent on
 * it, until the pause is over. The other sockets and the other direction go on meanwhile.
 *
 * The pause is a time, not the kernel's POLLOUT: that comes only once half of a buffer of megabytes
 * is empty, and at 100 Mb/s all that a flow sent in a third of a second would be lost.
 * @module
 */

/** How long a full socket is left alone, ms: at 10 Gb/s a megabyte leaves it, so it never runs dry. */
const PAUSE_MS = 1;
/** Descriptors from here on are never paused; control hands over far fewer. */
const DESCRIPTORS_MAX = 4096;

export class FullSockets {
  /** When each descriptor may send again, ms on the loop's clock. */
  readonly #untilMs = new Float64Array(DESCRIPTORS_MAX);

  /** A send found no room; returns whether that is news and not the same pause still. */
  pause(socket: number, nowMs: number): boolean {
    if (this.isPaused(socket, nowMs)) return false;
    this.#untilMs[socket] = nowMs + PAUSE_MS;
    return true;
  }

  /** Whether what is for this socket is to be dropped at once. */
  isPaused(socket: number, nowMs: number): boolean {
    return (this.#untilMs[socket] as number) > nowMs;
  }
}
