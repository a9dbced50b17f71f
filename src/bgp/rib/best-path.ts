/**
 * Which of several paths counts. Two rules: among paths of one route that of RFC 4271 §9.1.2.2, and
 * among routes that claim one MAC or address that of RFC 7432 §15.
 * @module
 */
import { asPathLength } from '../../wire/bgp/as-path.ts';
import type { Path, PathSource } from './path.ts';

export const LOCAL_PREF_DEFAULT = 100;

const ORDER: Readonly<Record<PathSource['kind'], number>> = { local: 0, external: 1, internal: 2 };

/** The AS the path came in through; undefined for our own. */
function neighbourAs({ attributes }: Path): number | undefined {
  return attributes.asPath?.[0]?.numbers[0];
}

/** Addresses by family, then by their bytes. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Below 0 when `a` is the better path of one route. In order: our own; higher LOCAL_PREF; shorter
 * AS_PATH; lower ORIGIN; lower MULTI_EXIT_DISC from the same AS; from another AS before our own; not
 * stale; lower originator; shorter CLUSTER_LIST; lower neighbour address.
 */
export function comparePaths(a: Path, b: Path): number {
  const [x, y] = [a.attributes, b.attributes];
  const ours = Number(b.source.kind === 'local') - Number(a.source.kind === 'local');
  if (ours !== 0) return ours;
  const preferred = (y.localPref ?? LOCAL_PREF_DEFAULT) - (x.localPref ?? LOCAL_PREF_DEFAULT);
  if (preferred !== 0) return preferred;
  const steps = asPathLength(x.asPath ?? []) - asPathLength(y.asPath ?? []);
  if (steps !== 0) return steps;
  const origin = (x.origin ?? 0) - (y.origin ?? 0);
  if (origin !== 0) return origin;
  if (neighbourAs(a) === neighbourAs(b)) {
    const exit = (x.multiExitDisc ?? 0) - (y.multiExitDisc ?? 0);
    if (exit !== 0) return exit;
  }
  const kind = ORDER[a.source.kind] - ORDER[b.source.kind];
  if (kind !== 0) return kind;
  if (a.isStale !== b.isStale) return a.isStale ? 1 : -1;
  const originator =
    (x.originatorId ?? a.source.identifier) - (y.originatorId ?? b.source.identifier);
  if (originator !== 0) return originator;
  const clusters = (x.clusterList?.length ?? 0) - (y.clusterList?.length ?? 0);
  if (clusters !== 0) return clusters;
  return compareText(a.source.address, b.source.address);
}

/** Below 0 when address `a` is the lower one; IPv4 before IPv6. */
export function compareIp(a: Path['nextHop'], b: Path['nextHop']): number {
  if (typeof a === 'number') return typeof b === 'number' ? a - b : -1;
  return typeof b === 'number' ? 1 : Buffer.compare(a, b);
}

/**
 * Below 0 when `a` is the better claim, of two routes with different distinguishers to one MAC or
 * address: sticky, then the higher sequence, then the lower tunnel endpoint (RFC 7432 §15.1).
 */
export function compareClaims(a: Path, b: Path): number {
  const [x, y] = [a.meaning, b.meaning];
  if (x.sticky !== y.sticky) return x.sticky ? -1 : 1;
  const moves = y.sequence - x.sequence;
  if (moves !== 0) return moves;
  const endpoint = compareIp(a.nextHop, b.nextHop);
  return endpoint !== 0 ? endpoint : comparePaths(a, b);
}
