/**
 * The rate of a link that follows the bottleneck on its way, by the delay that the bottleneck's queue
 * adds. While that is short the rate rises, slowly about where the bottleneck was last found and faster
 * beyond; when it grows, what the bottleneck passes is known from how fast it grows, and the rate stays
 * below it until the queue there is empty again.
 *
 * Pure: samples and time come in, a rate goes out.
 * @module
 */

/** Delay above the idle path from which on the bottleneck's queue counts as filling, and as empty, ms. */
const HIGH_MS = 3;
const LOW_MS = 1;
/** The same for a link without a rate yet, for so long: a moment's noise is no reason to begin with one. */
const BEGIN_MS = 4;
const BEGIN_FOR_MS = 100;
/** Samples of which the least counts: noise only ever adds. */
const SAMPLES = 4;
/** A delay that grows faster than this, ms a ms, over so long, ms, is no noise: it tells what passes. */
const SLOPE_SURE = 0.1;
const SLOPE_MS = 80;
/** Otherwise the bottleneck passes a little less than what was sent. */
const STEP_SHARE = 0.99;
/** What is sent while the bottleneck's queue drains, and afterwards, of what the bottleneck passes. */
const DRAIN_SHARE = 0.8;
const STEADY_SHARE = 0.97;
/** How long the rate stands still after that, ms. */
const HOLD_MS = 1500;
/** How much the rate grows a second: near the known bottleneck, and at most beyond it. */
const GROWTH_NEAR = 0.03;
const GROWTH_MAX = 1;
const NEAR_SHARE = 1.03;
/** Growth doubles in so long beyond the known bottleneck, ms. */
const DOUBLING_MS = 400;
/** A drain is judged after so long, ms; without success the estimate falls by this. */
const DRAIN_LOOK_MS = 150;
const FALL_SHARE = 0.85;
/** A delay that does not fall for so long, ms, although far less is sent is the path's own. */
const NEW_PATH_MS = 3000;
/** While packets waited for the rate no less than this of it was sent, whatever the clocks say. */
const LEAST_SENT_SHARE = 0.9;
/**
 * While nobody says in which direction packets wait, the rate does not fall below this share of the most
 * that was found to pass: another direction that stays full would have it fall for ever. What was found
 * long ago counts half of it each so long, ms.
 */
const BLIND_SHARE = 0.25;
const BLIND_HALVES_MS = 60_000;
/** What was sent is averaged over this, ms. */
const SENT_MS = 200;
/** Bytes a second: 64 kb/s at least, 10 Gb/s at most; beyond that no link is limited any more. */
export const RATE_MIN = 8000;
export const RATE_MAX = 1.25e9;
const HISTORY = 64;

const Phase = { Open: 0, Draining: 1, Steady: 2 } as const;

/** What was seen since the last look. */
type Look = {
  nowMs: number;
  /** Delay above that of the idle path, ms; undefined = nobody answered. */
  delayMs: number | undefined;
  /** Bytes that were sent ever, as the underlay's device counts them. */
  sentBytes: number;
  /** Packets waited for the rate since the last look. */
  isLimited: boolean;
  /** The delay is that of round trips: it may be the other direction's. */
  isBlind?: boolean;
};

export class AutoRate {
  /** Bytes a second; 0 = no limit yet. */
  rate = 0;
  /** Set once the delay turned out to be the path's own: what it was measured against is wrong. */
  isNewPath = false;
  #phase: number = Phase.Open;
  /** What the bottleneck passes as far as we know, bytes a second. */
  #passes = 0;
  readonly #atMs = new Float64Array(HISTORY);
  readonly #sent = new Float64Array(HISTORY);
  readonly #delay = new Float64Array(HISTORY);
  #looks = 0;
  /** The same before the delay grew. */
  #passedBefore = 0;
  #sinceMs = 0;
  #lookAtMs = 0;
  #lookDelay = 0;
  #growth = GROWTH_NEAR;
  #lastMs = 0;
  /** The most that was found to pass, fading, and below which the rate does not fall now, bytes a second. */
  #most = 0;
  #floor = 0;

  /** Goes on from a rate that was found before. @param rate bytes a second */
  resume(rate: number): void {
    this.#phase = Phase.Steady;
    this.#passes = rate / STEADY_SHARE;
    this.#most = this.#passes;
    this.#set(rate);
  }

  /** Takes a look into account; returns the rate, bytes a second, 0 = none. */
  look({ nowMs, delayMs, sentBytes, isLimited, isBlind = false }: Look): number {
    const elapsedMs = this.#looks === 0 ? 0 : nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    this.isNewPath = false;
    this.#most *= 0.5 ** (elapsedMs / BLIND_HALVES_MS);
    this.#floor = isBlind ? this.#most * BLIND_SHARE : 0;
    if (delayMs === undefined) return this.rate;
    const last = this.#atMs[(this.#looks - 1) % HISTORY] as number;
    if (this.#phase === Phase.Open && this.#looks > 0 && nowMs - last > SENT_MS) {
      // What was sent in a silence says nothing of what passes.
      this.#looks = 0;
      this.#sinceMs = nowMs;
    }
    const at = this.#looks++ % HISTORY;
    this.#atMs[at] = nowMs;
    this.#sent[at] = sentBytes;
    this.#delay[at] = delayMs;
    const delay = this.#least();
    if (this.#phase === Phase.Open) this.#open(nowMs, delay);
    else if (this.#phase === Phase.Draining) this.#drain(nowMs, delay);
    else if (delay > HIGH_MS) this.#congested(nowMs, delay);
    else if (isLimited && delay < LOW_MS) this.#grow(nowMs, elapsedMs);
    return this.rate;
  }

  /** The least of the last delays. */
  #least(): number {
    let least = Number.POSITIVE_INFINITY;
    for (let i = 1; i <= Math.min(SAMPLES, this.#looks); i++) {
      least = Math.min(least, this.#delay[(this.#looks - i) % HISTORY] as number);
    }
    return least;
  }

  /** The look nearest to `ms` before the last one. */
  #before(ms: number): number {
    const last = (this.#looks - 1) % HISTORY;
    let found = last;
    for (let i = 2; i <= Math.min(HISTORY, this.#looks); i++) {
      const at = (this.#looks - i) % HISTORY;
      found = at;
      if ((this.#atMs[last] as number) - (this.#atMs[at] as number) >= ms) break;
    }
    return found;
  }

  /** Bytes a second that were sent lately. */
  #sentRate(): number {
    const last = (this.#looks - 1) % HISTORY;
    const first = this.#before(SENT_MS);
    const ms = (this.#atMs[last] as number) - (this.#atMs[first] as number);
    if (ms <= 0) return 0;
    return (((this.#sent[last] as number) - (this.#sent[first] as number)) * 1000) / ms;
  }

  /** How fast the delay grew while that was sent, ms a ms; 0 where it did not. */
  #slope(): number {
    const last = (this.#looks - 1) % HISTORY;
    const first = this.#before(SENT_MS);
    const ms = (this.#atMs[last] as number) - (this.#atMs[first] as number);
    if (ms < SLOPE_MS) return 0;
    const slope = ((this.#delay[last] as number) - (this.#delay[first] as number)) / ms;
    return slope < SLOPE_SURE ? 0 : slope;
  }

  /** What the bottleneck passes, as the queue there grows while `sent` bytes a second are sent. */
  #passed(sent: number): number {
    const slope = this.#slope();
    return slope === 0 ? sent * STEP_SHARE : sent / (1 + slope);
  }

  #open(nowMs: number, delay: number): void {
    if (delay < BEGIN_MS) {
      this.#sinceMs = nowMs;
      return;
    }
    const sent = this.#sentRate();
    if (nowMs - this.#sinceMs < BEGIN_FOR_MS || sent < RATE_MIN) return;
    this.#passes = this.#passed(sent);
    this.#beginDraining(nowMs, delay);
  }

  #congested(nowMs: number, delay: number): void {
    // What is sent fills the queue by as much as the bottleneck does not pass.
    const sent = Math.min(this.rate, Math.max(this.#sentRate(), this.rate * LEAST_SENT_SHARE));
    this.#passes = this.#passed(sent);
    this.#beginDraining(nowMs, delay);
  }

  #beginDraining(nowMs: number, delay: number): void {
    this.#most = Math.max(this.#most, this.#passes);
    this.#passes = Math.max(this.#floor, this.#passes);
    this.#passedBefore = this.#passes;
    this.#phase = Phase.Draining;
    this.#sinceMs = nowMs;
    this.#lookAtMs = nowMs;
    this.#lookDelay = delay;
    this.#set(this.#passes * DRAIN_SHARE);
  }

  #drain(nowMs: number, delay: number): void {
    if (delay < LOW_MS) return this.#settle(nowMs);
    if (nowMs - this.#sinceMs > NEW_PATH_MS) {
      // Much less was sent all the time and nothing changed: this is how long the path is now.
      this.isNewPath = true;
      this.#passes = this.#passedBefore;
      return this.#settle(nowMs);
    }
    const waitedMs = nowMs - this.#lookAtMs;
    if (waitedMs < DRAIN_LOOK_MS) return;
    const fell = this.#lookDelay - delay;
    if (fell < (waitedMs * (1 - DRAIN_SHARE)) / 2) {
      const passed = Math.min(this.#passes * FALL_SHARE, this.#passed(this.#sentRate()));
      this.#passes = Math.max(RATE_MIN, passed);
      this.#set(this.#passes * DRAIN_SHARE);
    }
    this.#lookAtMs = nowMs;
    this.#lookDelay = delay;
  }

  #settle(nowMs: number): void {
    this.#phase = Phase.Steady;
    this.#sinceMs = nowMs;
    this.#growth = GROWTH_NEAR;
    this.#set(this.#passes * STEADY_SHARE);
  }

  #grow(nowMs: number, elapsedMs: number): void {
    if (nowMs - this.#sinceMs < HOLD_MS) return;
    const isNear = this.rate < this.#passes * NEAR_SHARE;
    const doubled = isNear ? GROWTH_NEAR : this.#growth * 2 ** (elapsedMs / DOUBLING_MS);
    this.#growth = Math.min(GROWTH_MAX, doubled);
    this.#set(this.rate * (1 + (this.#growth * elapsedMs) / 1000));
  }

  #set(rate: number): void {
    this.rate = Math.round(Math.max(RATE_MIN, this.#floor, Math.min(RATE_MAX, rate)));
  }
}
