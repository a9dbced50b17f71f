/** The highest rate that arrives nearly whole, found in few trials. @module */

/** What came of offering datagrams, in datagrams a second; `loss` from 0 to 1. */
export type Offered = { offered: number; delivered: number; loss: number };

export type RateSearch = {
  trials: number;
  lossMax: number;
  /** What an earlier search found; 0 = nothing is known. */
  start: number;
  /** Offers datagrams at a rate, 0 = all the sender can. */
  offer(rate: number): Promise<Offered>;
};

/** More trials than asked for, when none of those gave a rate that arrives. */
const EXTRA_TRIALS_MAX = 6;
/** How far above an earlier result a new search starts. */
const START_ABOVE = 1.1;

/**
 * The highest delivered rate with at most `lossMax` lost, by halving; 0 when every trial lost more.
 * The first trial of a first search offers all the sender can.
 */
export async function searchRate(search: RateSearch): Promise<number> {
  let best = 0;
  let low = 0;
  let high = Number.POSITIVE_INFINITY;
  let rate = search.start * START_ABOVE;
  for (let trial = 0; trial < search.trials + EXTRA_TRIALS_MAX; trial += 1) {
    if (trial >= search.trials && best > 0) break;
    const { offered, delivered, loss } = await search.offer(rate);
    if (loss < search.lossMax) {
      best = Math.max(best, delivered);
      // The sender had no more to give.
      if (rate === 0 || offered < rate * 0.9) break;
      low = rate;
    } else high = rate === 0 ? offered : rate;
    if (low > 0) rate = Number.isFinite(high) ? (low + high) / 2 : low * START_ABOVE;
    // What came through at overload is a better guess than a half.
    else rate = Math.min(high * 0.9, Math.max(delivered, high * 0.1));
  }
  return best;
}
