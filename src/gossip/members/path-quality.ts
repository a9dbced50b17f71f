/**
 * How the path to a member is: round trip and loss of the direct probes.
 * @module
 */

/** Probes over which loss is told. */
const PROBES = 64;
/** Share of a new sample in the smoothed round trip (RFC 6298 §2: 1/8). */
const GAIN = 1 / 8;

export class PathQuality {
  #rttMs: number | undefined;
  /** 1 for a lost probe, a ring. */
  readonly #lost = new Uint8Array(PROBES);
  #probes = 0;

  /** Smoothed, ms; undefined before the first answer. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Share of the last 64 direct probes without a direct answer, 0 to 1. */
  get loss(): number {
    if (this.#probes === 0) return 0;
    return this.#lost.reduce((sum, bit) => sum + bit, 0) / Math.min(PROBES, this.#probes);
  }

  answered(rttMs: number): void {
    this.#rttMs = this.#rttMs === undefined ? rttMs : this.#rttMs + GAIN * (rttMs - this.#rttMs);
    this.#lost[this.#probes++ % PROBES] = 0;
  }

  unanswered(): void {
    this.#lost[this.#probes++ % PROBES] = 1;
  }
}
