/**
 * What is known of the ways to one peer, one for each underlay, from questions and answers: whether each
 * is heard, how long it takes, what is lost; and from that by which of them packets may go.
 *
 * A way is lost when it is silent while another one to the same peer answers: a peer that stands still,
 * or we ourselves, are silent everywhere and change nothing. What was lost comes back once it has
 * answered everything for a while, longer each time that it went again (no flapping). The first way is
 * taken for good until it is known otherwise, the others only once they have answered; so a peer that
 * knows nothing of questions has the first alone.
 *
 * Pure: time comes in. Times are ms on any one clock that only goes forward.
 * @module
 */

/** A way that answers nothing for so long is lost, if another one answers. */
export const SILENCE_MS = 120;
/** The other one must have answered something asked after the silence began, so long ago. */
const SETTLED_MS = 15;
/** Questions that must be open before silence counts: as few as these, where nothing was lost before. */
const OPEN_MIN = 3;
/** As many as these where much was; else so many that they are all lost by chance no more often than this. */
const SILENCE_OPEN_MAX = 25;
const CHANCE = 1e-5;
/** Loss is learnt quickly and forgotten slowly: an overload has just begun where the first few are lost. */
const LOSS_RISE = 1 / 8;
const LOSS_FALL = 1 / 32;
/** What was lost must answer everything for so long; doubled for each loss in the last minute. */
export const UP_DELAY_MS = 1000;
const UP_DELAY_MS_MAX = 30_000;
const FLAP_MEMORY_MS = 60_000;
/** A question that nothing answers within this counts as lost on the way. */
const ANSWER_MS = 1000;
/** The same for one of a way that is to come back. */
const RISING_ANSWER_MS = 300;
/** Answers before a way beside the first is used. */
const FIRST_ANSWERS = 3;
const SMOOTHING = 1 / 8;
/** `latency` changes to a way that is better by this share and this many ms, for so long. */
const BETTER_SHARE = 0.8;
const BETTER_MS = 0.1;
const BETTER_FOR_MS = 500;
/** Questions that are remembered. */
const OPEN_MAX = 64;

export type WayState = 'untried' | 'up' | 'lost' | 'rising';
/** Why a way is lost. */
export type LossCause = '' | 'silent' | 'carrier' | 'unreachable' | 'withdrawn';

/** One way, as it stands. */
export class WatchedWay {
  state: WayState;
  cause: LossCause = '';
  /** When the state began. */
  sinceMs: number;
  /** Smoothed round trip, ms; −1 = none yet. */
  delayMs = -1;
  /** Smoothed share of questions without an answer. */
  lost = 0;
  /** How often it was lost. */
  losses = 0;
  answers = 0;
  readonly #open = new Map<string, number>();
  /** Share of questions that later ones overtook, which is known at once; before any silence. */
  #overtaken = 0;
  /** When the latest question was asked that an answer came to, and when that came. */
  answeredAskMs = Number.NEGATIVE_INFINITY;
  lastAnswerMs = Number.NEGATIVE_INFINITY;
  readonly #lossTimes: number[] = [];
  #risingSinceMs = 0;

  /** @param isFirst it is taken for good until it is known otherwise */
  constructor(isFirst: boolean, nowMs: number) {
    this.state = isFirst ? 'up' : 'untried';
    this.sinceMs = nowMs;
  }

  /** A question that bears `token` went out. */
  asked(token: string, nowMs: number): void {
    this.#open.set(token, nowMs);
    if (this.#open.size <= OPEN_MAX) return;
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#missed(oldest, nowMs);
  }

  /** Its answer came at `nowMs`; false when nothing open bears the token. */
  answered(token: string, nowMs: number): boolean {
    const askedMs = this.#open.get(token);
    if (askedMs === undefined) return false;
    this.#open.delete(token);
    const delayMs = Math.max(0, nowMs - askedMs);
    this.delayMs = this.delayMs < 0 ? delayMs : this.delayMs + (delayMs - this.delayMs) * SMOOTHING;
    this.lost -= this.lost * SMOOTHING;
    this.answers++;
    this.#noteOvertaken(askedMs);
    this.answeredAskMs = Math.max(this.answeredAskMs, askedMs);
    this.lastAnswerMs = nowMs;
    if (this.state === 'untried' && this.answers >= FIRST_ANSWERS) this.#become('up', '', nowMs);
    if (this.state === 'lost' && this.cause !== 'carrier') {
      this.#become('rising', this.cause, nowMs);
      this.#risingSinceMs = nowMs;
    }
    return true;
  }

  /** What was asked between the last question that had an answer and this one has been overtaken. */
  #noteOvertaken(askedMs: number): void {
    for (const openMs of this.#open.values()) {
      if (openMs <= this.answeredAskMs || openMs >= askedMs) continue;
      this.#overtaken += (1 - this.#overtaken) * LOSS_RISE;
    }
    this.#overtaken -= this.#overtaken * LOSS_FALL;
  }

  #missed(token: string, nowMs: number): void {
    this.#open.delete(token);
    this.lost += (1 - this.lost) * SMOOTHING;
    if (this.state === 'rising') this.#become('lost', this.cause, nowMs);
  }

  /** Forgets questions that are too old, and lets a way that answers everything come back. */
  look(nowMs: number): void {
    const patienceMs = this.state === 'rising' ? RISING_ANSWER_MS + 2 * this.delayMs : ANSWER_MS;
    for (const [token, askedMs] of this.#open) {
      if (nowMs - askedMs > patienceMs) this.#missed(token, nowMs);
    }
    if (this.state === 'rising' && nowMs - this.#risingSinceMs >= this.upDelayMs(nowMs)) {
      this.#become('up', '', nowMs);
    }
  }

  /** How long it must answer everything before it is used again, were it lost now or is it already, ms. */
  upDelayMs(nowMs: number): number {
    const recent = this.#lossTimes.filter((atMs) => nowMs - atMs < FLAP_MEMORY_MS).length;
    return Math.min(UP_DELAY_MS * 2 ** Math.max(0, recent - 1), UP_DELAY_MS_MAX);
  }

  /** When the silence began, if there is one; undefined: everything was answered, or too little asked. */
  silentSince(nowMs: number): number | undefined {
    let first: number | undefined;
    let open = 0;
    for (const askedMs of this.#open.values()) {
      if (askedMs <= this.answeredAskMs) continue;
      first ??= askedMs;
      open++;
    }
    if (first === undefined || open < this.openForSilence) return undefined;
    // What stands in a queue is answered late, but answers keep coming: that is no silence.
    const sinceMs = Math.max(first, this.lastAnswerMs);
    return nowMs - sinceMs >= SILENCE_MS ? sinceMs : undefined;
  }

  /**
   * How many questions must be open before it is silence. Where some are lost all the time, in a queue that
   * overflows or by radio, a few in a row are lost by chance: flows that moved for it would load the others
   * until these lose as much, and come back, and so on.
   */
  get openForSilence(): number {
    const byChance = Math.ceil(Math.log(CHANCE) / Math.log(this.#overtaken));
    return Math.min(Math.max(OPEN_MIN, byChance), SILENCE_OPEN_MAX);
  }

  lose(cause: LossCause, nowMs: number): void {
    if (this.state === 'lost') {
      if (cause === 'carrier') this.cause = cause;
      return;
    }
    const wasUsed = this.state === 'up';
    this.#become('lost', cause, nowMs);
    if (!wasUsed) return;
    this.losses++;
    this.#lossTimes.push(nowMs);
    if (this.#lossTimes.length > 8) this.#lossTimes.shift();
  }

  /** Its cable is in again: what it answers counts from now on. */
  carrierIsBack(): void {
    if (this.cause === 'carrier') this.cause = 'silent';
  }

  #become(state: WayState, cause: LossCause, nowMs: number): void {
    this.state = state;
    this.cause = cause;
    this.sinceMs = nowMs;
  }
}

/** The ways to one peer. */
export class PeerWays {
  readonly ways: WatchedWay[];
  readonly #byLatency: boolean;
  /** The way that goes before others. */
  preferred = 0;
  #betterSinceMs = 0;

  /** @param byLatency the one with the least delay goes before others, else the first that is up */
  constructor(count: number, byLatency: boolean, nowMs: number) {
    this.ways = Array.from({ length: count }, (_, i) => new WatchedWay(i === 0, nowMs));
    this.#byLatency = byLatency;
  }

  /** A way leads somewhere else from now on: nothing is known of it. */
  forget(way: number, nowMs: number): void {
    this.ways[way] = new WatchedWay(way === 0, nowMs);
  }

  /** Decides anew; returns the usable ways as bits, never none. */
  look(nowMs: number): number {
    for (const way of this.ways) way.look(nowMs);
    for (const way of this.ways) {
      if (way.state !== 'up') continue;
      const sinceMs = way.silentSince(nowMs);
      if (sinceMs !== undefined && this.#isAnotherHeard(way, sinceMs, nowMs)) {
        way.lose('silent', nowMs);
      }
    }
    let usable = this.#bits('up');
    // Nothing better is known than those that begin to answer again; without any, the first.
    if (usable === 0) usable = this.#bits('rising') || 1;
    this.#prefer(usable, nowMs);
    return usable;
  }

  #isAnotherHeard(way: WatchedWay, sinceMs: number, nowMs: number): boolean {
    return this.ways.some(
      (other) =>
        other !== way &&
        other.answeredAskMs > sinceMs &&
        nowMs - sinceMs >= SILENCE_MS &&
        nowMs - other.lastAnswerMs >= 0 &&
        other.answeredAskMs - sinceMs >= SETTLED_MS,
    );
  }

  #bits(state: WayState): number {
    return this.ways.reduce((bits, way, i) => (way.state === state ? bits | (1 << i) : bits), 0);
  }

  #prefer(usable: number, nowMs: number): void {
    const isUsable = (i: number): boolean => ((usable >>> i) & 1) === 1;
    const first = this.ways.findIndex((_, i) => isUsable(i));
    if (!this.#byLatency || !isUsable(this.preferred)) {
      this.preferred = first;
      if (!this.#byLatency) return;
    }
    const delayOf = (i: number): number => {
      const delayMs = this.ways[i]?.delayMs ?? -1;
      return delayMs < 0 || !isUsable(i) ? Number.POSITIVE_INFINITY : delayMs;
    };
    let best = this.preferred;
    for (const i of this.ways.keys()) if (delayOf(i) < delayOf(best)) best = i;
    const isBetter = delayOf(best) < delayOf(this.preferred) * BETTER_SHARE - BETTER_MS;
    if (!isBetter) this.#betterSinceMs = nowMs;
    else if (nowMs - this.#betterSinceMs >= BETTER_FOR_MS) {
      this.preferred = best;
      this.#betterSinceMs = nowMs;
    }
  }
}
