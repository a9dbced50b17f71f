/**
 * Whether it lasts that more comes one way than can be moved at once: a single late wake-up is no more than that,
 * and a flood has pauses.
 * @module
 */

/** How long it has to last, ms. */
const LASTS_MS = 5;
/**
 * How long after the last time it is over, ms. No longer: raised on a machine that has room, a process only keeps
 * those waiting that it woke, and a `ping -f` takes twice its time.
 */
export const CALM_MS = 250;
/** How long what comes is counted before it is judged, ms. */
const WINDOW_MS = 20;
/**
 * Who is raised may well keep up with what held it up before, and would fall behind again without. So it is not over
 * while still this share comes of the small packets that came while it was behind.
 */
const STILL_SHARE = 1 / 2;
/**
 * And not while fewer come than this, for each ms: a process that was kept from its core for 5 ms had been behind with
 * a handful, and a `ping -f` whose packets are held since then brings as many.
 */
const STILL_MIN = 10;

export class Lasting {
  /** Since when we are behind without a pause, −1 = we are not; and when that had lasted, last. */
  #sinceMs = -1;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** Of the window that began then: small packets that came, and whether they were too many. */
  #windowMs = 0;
  #came = 0;
  #wereTooMany = false;
  /** How many came for each ms when they were too many. */
  #tooMany = 0;
  #lasts = false;

  /** A round is over, after which we are behind or not, and in which so many small packets came; whether it lasts. */
  note(nowMs: number, isBehind: boolean, came: number): boolean {
    if (!isBehind) this.#sinceMs = -1;
    else if (this.#sinceMs < 0) this.#sinceMs = nowMs;
    else if (nowMs - this.#sinceMs >= LASTS_MS) {
      this.#lastMs = nowMs;
      this.#wereTooMany = true;
    }
    this.#came += came;
    const elapsedMs = nowMs - this.#windowMs;
    if (elapsedMs >= WINDOW_MS) this.#judge(nowMs, this.#came / elapsedMs);
    this.#lasts = nowMs - this.#lastMs < CALM_MS;
    return this.#lasts;
  }

  /** A window is over in which `rate` small packets came for each ms. */
  #judge(nowMs: number, rate: number): void {
    if (this.#wereTooMany) this.#tooMany = rate;
    else if (this.#lasts && rate > Math.max(this.#tooMany * STILL_SHARE, STILL_MIN)) {
      this.#lastMs = nowMs;
    }
    this.#wereTooMany = false;
    this.#came = 0;
    this.#windowMs = nowMs;
  }
}
