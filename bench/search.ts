/**
 * The highest rate of small datagrams that arrives with little loss.
 * @module
 */
import { runUdpPair, type TrafficPath } from '../src/traffic/run.ts';

const PORT = 5001;
const SMALL_BYTES = 64;
const LOSS_MAX = 0.01;

/** What came of offering datagrams, all in datagrams a second but the loss (0 to 1). */
export type Offered = { offered: number; delivered: number; loss: number };

/** Datagrams a second that arrive when `rate` a second are offered (0 = all the sender can). */
async function offer(
  path: TrafficPath,
  seconds: number,
  flows: number,
  rate: number,
): Promise<Offered> {
  const { sent, received } = await runUdpPair(path, {
    port: PORT,
    rate,
    seconds,
    flows,
    size: SMALL_BYTES,
  });
  const elapsed = Math.max(sent.seconds, received.seconds);
  return {
    offered: sent.pps,
    delivered: received.received / elapsed,
    loss: 1 - received.received / Math.max(sent.sent, 1),
  };
}

/**
 * The highest rate delivered with less than 1 % loss, by halving between what came through at
 * overload and what was offered; and what came through at overload.
 */
export function search(
  trials: number,
  path: TrafficPath,
  { seconds, flows }: { seconds: number; flows: number },
): Promise<{ best: number; overload: number }> {
  return searchBy(trials, (rate) => offer(path, seconds, flows, rate));
}

/** The search itself, over any way to offer datagrams at a rate (0 = all the sender can). */
export async function searchBy(
  trials: number,
  offerAt: (rate: number) => Promise<Offered>,
): Promise<{ best: number; overload: number }> {
  const flood = await offerAt(0);
  if (flood.loss < LOSS_MAX) return { best: flood.delivered, overload: flood.delivered };
  let low = 0;
  let high = flood.offered;
  let best = 0;
  let rate = Math.min(flood.delivered, high * 0.95);
  for (let trial = 0; trial < trials; trial += 1) {
    const { delivered, loss } = await offerAt(rate);
    if (loss < LOSS_MAX) {
      best = Math.max(best, delivered);
      low = rate;
    } else high = rate;
    rate = (low + high) / 2;
  }
  return { best, overload: flood.delivered };
}
