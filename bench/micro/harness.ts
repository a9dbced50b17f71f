/**
 * Times a piece of the data path beside a plain version of itself.
 *
 * Each case first shows that both give the same result; then rounds of both alternate, so that
 * whatever else the machine does meets both.
 * @module
 */
import { type Spread, spreadOf } from '../../src/measure/statistics.ts';

/** One pair: `fast` is what fanway runs, `plain` the straightforward way to the same result. */
export type Case = {
  /** Unique, also the name in the JSON: `checksum/1450`. */
  key: string;
  /** The file of `src/` that it mirrors. */
  mirrors: string;
  title: string;
  /** Packets (or look-ups) that one call handles: the time is divided by it. */
  packets: number;
  /** The chart that shows it, and its label there. */
  chart?: { name: ChartName; label: string };
  /** The number keeps the optimizer honest, no more. */
  fast(): number;
  plain(): number;
  /** @throws Error when the two do not come to the same. */
  check(): void;
};

export type ChartName = 'size' | 'links' | 'hosts' | 'entries';

/** ns a packet. */
export type Timed = {
  key: string;
  mirrors: string;
  title: string;
  fast: Spread;
  plain: Spread;
};

export type Effort = { rounds: number; roundMs: number; warmUpMs: number };

/** Keeps results alive that nobody reads. */
export let sink = 0;

/** ns of processor time since the start: other programs on the machine do not count. */
function spentNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** Processor time of one call among `calls`, ns. */
function timeOf(work: () => number, calls: number): number {
  const started = spentNs();
  for (let call = 0; call < calls; call++) sink = (sink + work()) | 0;
  return (spentNs() - started) / calls;
}

/** How many calls fill `ms`, found while the optimizer does its work. */
function callsFor(work: () => number, ms: number, warmUpMs: number): number {
  let calls = 1;
  let warmNs = 0;
  let each = timeOf(work, 1);
  while (warmNs < warmUpMs * 1e6) {
    each = timeOf(work, calls);
    warmNs += each * calls;
    calls = Math.max(1, Math.min(calls * 2, Math.ceil((ms * 1e6) / Math.max(each, 1))));
  }
  return Math.max(1, Math.round((ms * 1e6) / Math.max(each, 1)));
}

/**
 * Checks, then times a case.
 * @throws Error from {@link Case.check}
 */
export function measure(one: Case, effort: Effort): Timed {
  one.check();
  const { rounds, roundMs, warmUpMs } = effort;
  const fastCalls = callsFor(() => one.fast(), roundMs, warmUpMs);
  const plainCalls = callsFor(() => one.plain(), roundMs, warmUpMs);
  const fast: number[] = [];
  const plain: number[] = [];
  for (let round = 0; round < rounds; round++) {
    fast.push(timeOf(() => one.fast(), fastCalls) / one.packets);
    plain.push(timeOf(() => one.plain(), plainCalls) / one.packets);
  }
  const { key, mirrors, title } = one;
  return { key, mirrors, title, fast: spread(fast), plain: spread(plain) };
}

function spread(values: readonly number[]): Spread {
  const known = spreadOf(values);
  if (known === undefined) throw new RangeError('a measurement needs rounds');
  return known;
}

/** @throws Error naming the first place where the two lists differ. */
export function same(
  title: string,
  met: readonly (string | number)[],
  wanted: readonly (string | number)[],
): void {
  for (let index = 0; index < Math.max(met.length, wanted.length); index++) {
    if (met[index] === wanted[index]) continue;
    const [a, b] = [met[index], wanted[index]].map((one) => String(one).slice(0, 200));
    throw new Error(`${title}: number ${index} of ${wanted.length} is ${a}, plainly ${b}`);
  }
}

/** The `index`-th of a list that is known to have it. */
export function at<T>(list: readonly T[], index: number): T {
  const one = list[index];
  if (one === undefined) throw new RangeError(`no number ${index} in a list of ${list.length}`);
  return one;
}
