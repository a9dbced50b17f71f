/**
 * The rate of a link that follows the bottleneck on its way, by the delay that the bottleneck's queue adds.
 *
 * What the bottleneck passes is known exactly while its queue is never empty: what was sent between two
 * samples, by the time between their ends. A little less than that is sent most of the time, so the queue
 * stays empty. Now and then a little more is, for a moment that is so short that the queue cannot become
 * long, however late its samples come back: where it did not grow, the bottleneck passes more than was
 * known, and the next trial goes further. Where the queue grows by itself, the rate falls until it is empty.
 *
 * Pure: samples and time come in, a rate goes out.
 * @module
 */
import { Series } from './series.ts';

/**
 * Delay above the idle path from which on the bottleneck's queue counts as filling, and as empty, ms; more where
 * a packet takes long.
 */
const HIGH_MS = 3;
const LOW_MS = 1;
const PACKET_BYTES = 1514;
/** The same for a link without a rate yet, for so long: a moment's noise is no reason to begin with one. */
const BEGIN_MS = 4;
const BEGIN_FOR_MS = 100;
/** Samples of which the least counts: noise only ever adds. */
const SAMPLES = 3;
/** What passes is told from a time in which the queue was never empty, at least and at most, ms. */
const BUSY_MS = 80;
const BUSY_MS_MAX = 400;
/** A queue that grew by less than this tells little; then a single look takes no more than a tenth off. */
const GROWN_SURE_MS = 10;
const UNSURE_SHARE = 0.9;
/** Where it tells nothing, and was too long a moment ago already, a little less is taken to pass. */
const AGAIN_MS = 1000;
const AGAIN_SHARE = 0.98;
/** What is sent of what the bottleneck passes. */
const STEADY_SHARE = 0.98;
/** And while its queue drains: it should be empty after so long, ms, within these bounds. */
const DRAIN_MS = 150;
const DRAIN_SHARE_MIN = 0.5;
const DRAIN_SHARE_MAX = 0.9;
/** A drain is judged after so long, ms; at one time the estimate falls by no more than this. */
const DRAIN_LOOK_MS = 150;
const FALL_SHARE = 0.85;
/** A delay that does not fall for so long, ms, although far less is sent is the path's own. */
const NEW_PATH_MS = 2000;
/** Between two trials whether more passes, ms; and after some that found nothing. */
const HOLD_MS = 1000;
const HOLD_MS_MAX = 2000;
const HOLDS = 3;
/** How much more the first trial sends, and the last of a row, each twice as much as that before. */
const GAIN_MIN = 0.015;
const GAIN_MAX = 0.12;
/** How long a small one takes, and one that follows others, ms; and how many samples at least. */
const TRIAL_MS = 200;
const TRIAL_NEXT_MS = 100;
const TRIAL_SAMPLES = 4;
/** What a trial should add to the queue, in times of what counts as an empty one. */
const TRIAL_LOWS = 1.5;
/** The queue is looked at over the end of a trial, ms, and the answers are waited for no longer than this. */
const TRIAL_END_MS = 40;
const JUDGE_MS = 300;
/** While they are, this is sent of what passes: what a trial added goes away. */
const JUDGE_SHARE = 0.95;
/** Less growth than this share of what was expected, or than so much, ms, is none. */
const GROWTH_SHARE = 0.4;
const GROWTH_MS = 0.5;
/** More than this above the usual bound is the end of a trial, ms. */
const TRIAL_OVER_MS = 2;
/** A trial counts in which packets waited at this share of the looks. */
const LIMITED_SHARE = 0.8;
/** What is taken to pass is no more than so many times what was sent in a trial. */
const UNSENT_MAX = 1.05;
/** What was found is not given up by more than this because of a trial. */
const TRIAL_FALL_SHARE = 0.98;
/**
 * While nobody says in which direction packets wait, the rate does not fall below this share of the most
 * that was found to pass: another direction that stays full would have it fall for ever. What was found
 * long ago counts half of it each so long, ms.
 */
const BLIND_SHARE = 0.25;
const BLIND_HALVES_MS = 60_000;
/** What was sent is averaged over this for a link that has no rate yet, ms. */
const SENT_MS = 200;
/** What was sent in a silence of so long says nothing of what passes, ms. */
const SILENCE_MS = 500;
/** Bytes a second: 64 kb/s at least, 10 Gb/s at most; beyond that no link is limited any more. */
export const RATE_MIN = 8000;
export const RATE_MAX = 1.25e9;
const HISTORY = 128;

const Phase = { Open: 0, Draining: 1, Steady: 2, Trial: 3, Judging: 4 } as const;

/** What was seen since the last look. */
type Look = {
  nowMs: number;
  /** Delay above that of the idle path, ms; undefined = nobody answered. */
  delayMs: number | undefined;
  /** How long ago the packet was sent that met it, ms. */
  ageMs?: number;
  /** Bytes that were sent ever, as the underlay's device counts them. */
  sentBytes: number;
  /** Packets wait for the rate. */
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
  readonly #delays = new Series(HISTORY);
  readonly #sent = new Series(HISTORY);
  /** When the phase began, or what is waited for in it. */
  #sinceMs = 0;
  /** What passed before the delay grew, and when that was last. */
  #passedBefore = 0;
  #congestedMs = Number.NEGATIVE_INFINITY;
  /** The last look at a drain, the least delay in it, and when that was found. */
  #lookAtMs = 0;
  #leastMs = 0;
  #fellAtMs = 0;
  /** How much more the next trial sends, when the one in hand began and is over, and the delay before it. */
  #gain = GAIN_MIN;
  #trialMs = 0;
  #trialEndMs = 0;
  #beforeMs = 0;
  #inVain = 0;
  #isEager = false;
  /** Looks at the trial in hand, and those of them in which packets waited. */
  #looks = 0;
  #limited = 0;
  #isFull = false;
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
  look(look: Look): number {
    const { nowMs, delayMs, ageMs = 0, sentBytes, isLimited, isBlind = false } = look;
    const elapsedMs = this.#sent.size === 0 ? 0 : nowMs - this.#sent.atMs(0);
    if (elapsedMs > SILENCE_MS) this.#forget(nowMs);
    this.isNewPath = false;
    this.#most *= 0.5 ** (elapsedMs / BLIND_HALVES_MS);
    this.#floor = isBlind ? this.#most * BLIND_SHARE : 0;
    this.#sent.push(nowMs, sentBytes);
    this.#looks++;
    if (isLimited) this.#limited++;
    if (this.#phase === Phase.Trial && nowMs >= this.#trialEndMs) this.#endTrial(nowMs);
    if (delayMs !== undefined) {
      this.#delays.push(nowMs - ageMs, delayMs);
      this.#decide(nowMs, this.#delays.leastOf(SAMPLES), isLimited);
    }
    return this.rate;
  }

  /** Nothing is sent any more: what was found stays, and nothing is tried meanwhile. */
  rest(): void {
    if (this.#phase === Phase.Trial || this.#phase === Phase.Judging) {
      this.#settle(this.#sent.atMs(0));
    }
  }

  /** After a silence: what came before says nothing of what comes now. */
  #forget(nowMs: number): void {
    this.#delays.clear();
    this.#sent.clear();
    if (this.#phase === Phase.Open) this.#sinceMs = nowMs;
    else if (this.#phase !== Phase.Draining) this.#settle(nowMs);
  }

  #decide(nowMs: number, delay: number, isLimited: boolean): void {
    switch (this.#phase) {
      case Phase.Open:
        return this.#open(nowMs, delay);
      case Phase.Draining:
        return this.#drain(nowMs, delay);
      case Phase.Judging:
        return this.#judge(nowMs, delay);
      case Phase.Trial:
        if (delay > this.#highMs + TRIAL_OVER_MS) this.#congested(nowMs, delay);
        return;
      default:
        if (delay > this.#highMs) this.#congested(nowMs, delay);
        else if (isLimited && delay < this.#lowMs) this.#mayTry(nowMs, delay);
    }
  }

  /** How long a full packet takes at what passes, ms: whoever comes behind it waits for so much at any rate. */
  get #packetMs(): number {
    return (PACKET_BYTES * 1000) / this.#passes;
  }

  get #highMs(): number {
    return HIGH_MS + this.#packetMs;
  }

  get #lowMs(): number {
    return LOW_MS + this.#packetMs / 2;
  }

  /** Bytes a second that were sent between two times. */
  #sentRate(fromMs: number, toMs: number): number {
    if (toMs <= fromMs) return 0;
    return ((this.#sent.at(toMs) - this.#sent.at(fromMs)) * 1000) / (toMs - fromMs);
  }

  /**
   * What passed up to the last sample since the queue was last empty, or since a time: what came to the queue
   * between two samples left it between their ends. 0 where that was not long enough.
   */
  #passed(lowMs: number, fromMs = Number.NEGATIVE_INFINITY): { rate: number; grownMs: number } {
    const delays = this.#delays;
    const lastMs = delays.size === 0 ? 0 : delays.atMs(0);
    let first = 0;
    while (first + 1 < delays.size) {
      const atMs = delays.atMs(first + 1);
      if (delays.value(first + 1) < lowMs || atMs < fromMs || lastMs - atMs > BUSY_MS_MAX) break;
      first++;
    }
    const ms = first < 3 ? 0 : lastMs - delays.atMs(first);
    if (ms < BUSY_MS) return { rate: 0, grownMs: 0 };
    const before = Math.min(delays.value(first), delays.value(first - 1));
    const grownMs = Math.min(delays.value(0), delays.value(1)) - before;
    const rate = (this.#sentRate(lastMs - ms, lastMs) * ms) / Math.max(ms / 4, ms + grownMs);
    return { rate, grownMs };
  }

  #open(nowMs: number, delay: number): void {
    if (delay < BEGIN_MS) {
      this.#sinceMs = nowMs;
      return;
    }
    const sent = this.#sentRate(nowMs - SENT_MS, nowMs);
    if (nowMs - this.#sinceMs < BEGIN_FOR_MS || sent < RATE_MIN) return;
    const { rate } = this.#passed(LOW_MS);
    this.#passes = rate === 0 ? sent : rate;
    this.#beginDraining(nowMs, delay);
  }

  #congested(nowMs: number, delay: number): void {
    const { rate, grownMs } = this.#passed(this.#lowMs);
    if (rate > 0) {
      const least = grownMs > GROWN_SURE_MS ? 0 : this.#passes * UNSURE_SHARE;
      this.#passes = Math.max(rate, least);
    } else if (nowMs - this.#congestedMs < AGAIN_MS) this.#passes *= AGAIN_SHARE;
    this.#congestedMs = nowMs;
    this.#beginDraining(nowMs, delay);
  }

  #beginDraining(nowMs: number, delay: number): void {
    this.#most = Math.max(this.#most, this.#passes);
    this.#passes = Math.max(this.#floor, RATE_MIN, this.#passes);
    this.#passedBefore = this.#passes;
    this.#phase = Phase.Draining;
    this.#lookAtMs = nowMs;
    this.#leastMs = delay;
    this.#fellAtMs = nowMs;
    this.#setDraining(delay);
  }

  #setDraining(delay: number): void {
    const share = 1 - delay / DRAIN_MS;
    this.#set(this.#passes * Math.max(DRAIN_SHARE_MIN, Math.min(DRAIN_SHARE_MAX, share)));
  }

  #drain(nowMs: number, delay: number): void {
    if (delay < this.#lowMs) return this.#settle(nowMs);
    if (delay < this.#leastMs - Math.max(LOW_MS / 2, this.#leastMs / 20)) {
      this.#leastMs = delay;
      this.#fellAtMs = nowMs;
    }
    if (nowMs - this.#fellAtMs > NEW_PATH_MS + 2 * delay) {
      // Much less was sent all the time and nothing changed: this is how long the path is now.
      this.isNewPath = true;
      this.#passes = this.#passedBefore;
      return this.#settle(nowMs);
    }
    const grown = this.#passed(this.#lowMs);
    if (grown.grownMs > GROWN_SURE_MS && grown.rate < this.#passes) this.#passes = grown.rate;
    else if (this.#delays.atMs(0) - this.#lookAtMs < DRAIN_LOOK_MS) return;
    else {
      // The samples are of packets that were sent since: by now it should have become shorter.
      const { rate } = this.#passed(0, this.#lookAtMs);
      if (rate > 0 && rate < this.#passes) {
        this.#passes = Math.max(rate, this.#passes * FALL_SHARE);
      }
    }
    this.#passes = Math.max(RATE_MIN, this.#floor, this.#passes);
    this.#setDraining(delay);
    this.#lookAtMs = nowMs;
  }

  #settle(nowMs: number): void {
    this.#phase = Phase.Steady;
    this.#sinceMs = nowMs;
    this.#gain = GAIN_MIN;
    this.#isEager = false;
    this.#set(this.#passes * STEADY_SHARE);
  }

  /** Tries whether more passes, where somebody would have more sent. */
  #mayTry(nowMs: number, delay: number): void {
    const holdMs = this.#isEager ? 0 : this.#inVain < HOLDS ? HOLD_MS : HOLD_MS_MAX;
    if (nowMs - this.#sinceMs < holdMs) return;
    const gain = this.#gain;
    const gapMs =
      (this.#delays.atMs(0) - this.#delays.atMs(Math.min(7, this.#delays.size - 1))) / 7;
    this.#phase = Phase.Trial;
    this.#looks = 0;
    this.#limited = 0;
    this.#trialMs = nowMs;
    this.#beforeMs = delay;
    this.#trialEndMs =
      nowMs +
      Math.max(
        gain > GAIN_MIN ? TRIAL_NEXT_MS : TRIAL_MS,
        TRIAL_SAMPLES * gapMs,
        (TRIAL_LOWS * this.#lowMs) / gain,
      );
    this.#set(this.#passes * (1 + gain));
  }

  #endTrial(nowMs: number): void {
    // No more than there was to send says nothing of what passes.
    this.#isFull = this.#limited >= this.#looks * LIMITED_SHARE;
    this.#phase = Phase.Judging;
    this.#trialEndMs = nowMs;
    this.#set(this.#passes * (this.#gain > GAIN_MIN ? STEADY_SHARE : JUDGE_SHARE));
  }

  /** The answers to what was sent in a trial come in. */
  #judge(nowMs: number, delay: number): void {
    const endMs = this.#trialEndMs;
    if (this.#delays.atMs(0) < endMs && nowMs - endMs < JUDGE_MS) return;
    const ms = endMs - this.#trialMs;
    const sent = this.#sentRate(this.#trialMs, endMs);
    const [fromMs, toMs] = [endMs - TRIAL_END_MS, endMs + TRIAL_END_MS / 4];
    const grownMs = this.#delays.leastBetween(fromMs, toMs) - this.#beforeMs;
    const isFull = this.#isFull;
    const expectedMs = (sent / this.#passes - 1) * ms;
    if (grownMs < Math.max(GROWTH_MS, expectedMs * GROWTH_SHARE)) {
      if (isFull) {
        // Where we were not let send what we might, more of it is tried all the same, within bounds.
        const tried = Math.min(this.#passes * (1 + this.#gain), sent * UNSENT_MAX);
        this.#passes = Math.max(this.#passes, tried);
      }
      if (this.#passes > RATE_MAX) return this.#letGo(nowMs);
      const gain = isFull ? Math.min(GAIN_MAX, 2 * this.#gain) : this.#gain;
      this.#settle(nowMs);
      this.#gain = gain;
      this.#isEager = isFull;
      if (isFull) this.#inVain = 0;
      return;
    }
    // Where less was sent than passes, by a host that is busy, no queue of ours can have grown.
    if (isFull && sent > this.#passes && grownMs < Number.POSITIVE_INFINITY) {
      this.#inVain++;
      const passed = sent / (1 + grownMs / ms);
      this.#passes = Math.max(this.#passes * TRIAL_FALL_SHARE, Math.min(sent, passed));
    }
    if (delay < this.#lowMs) this.#settle(nowMs);
    else this.#beginDraining(nowMs, delay);
  }

  /** No link of today is the bottleneck: as at first. */
  #letGo(nowMs: number): void {
    this.#phase = Phase.Open;
    this.#sinceMs = nowMs;
    this.rate = 0;
  }

  #set(rate: number): void {
    this.rate = Math.round(Math.max(RATE_MIN, this.#floor, Math.min(RATE_MAX, rate)));
  }
}
