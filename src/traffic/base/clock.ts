/**
 * The kernel's monotonic clock as a number of nanoseconds, the same in every process of a machine,
 * so that a receiver can subtract a sender's time stamp. Reading it does not allocate a BigInt.
 * @module
 */

/** How far `performance.now()` lies behind CLOCK_MONOTONIC, in ns: the tightest of some readings. */
function measureOffsetNs(): number {
  let best = Number.POSITIVE_INFINITY;
  let offsetNs = 0;
  for (let i = 0; i < 32; i += 1) {
    const before = performance.now();
    const monotonic = Number(process.hrtime.bigint());
    const after = performance.now();
    if (after - before < best) {
      best = after - before;
      offsetNs = monotonic - ((before + after) / 2) * 1e6;
    }
  }
  return offsetNs;
}

const offsetNs = measureOffsetNs();

/** CLOCK_MONOTONIC in nanoseconds. */
export function nowNs(): number {
  return offsetNs + performance.now() * 1e6;
}
