/**
 * By which of our links, and from which of our addresses, a host of the underlay is reached.
 * @module
 */
import { holdsHost, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Best } from '../../../rib/entry.ts';
import { type AnySpec, isNetwork, underlaysOf } from '../../store/link-spec.ts';

/** Who takes part in the network of a link at an underlay address; undefined = nobody. */
export type VtepAt = (link: string, member: UnderlayAddress) => Best | undefined;

export type PathEnd = { spec: AnySpec; local: UnderlayAddress };

/** The hosts of a fan are in its underlay, those of a network may be anywhere. */
export function endTo(
  peer: UnderlayAddress,
  specs: readonly AnySpec[],
  vtep: VtepAt,
): PathEnd | undefined {
  for (const spec of specs) {
    const own = underlaysOf(spec).find(({ underlay }) => holdsHost(underlay, peer));
    if (own !== undefined) return { spec, local: own.local };
  }
  const spec = specs.find((one) => isNetwork(one) && vtep(one.name, peer) !== undefined);
  return spec && { spec, local: spec.local };
}
