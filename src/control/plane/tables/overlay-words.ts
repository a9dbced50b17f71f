/**
 * What a link's record in shared memory says of its kind: of a fan its overlays, of a layer-2 network how
 * it treats floods and ports.
 * @module
 */

import { withRate } from '../../../config/link/rate.ts';
import type { BumModeName, GuardName } from '../../../config/network/modes.ts';
import { ENCAPS } from '../../../encap/encap.ts';
import { rulePrefixOf } from '../../../net/fan.ts';
import { BumMode, GuardMode, LinkKind, NetworkFlag } from '../../../shm/network.ts';
import type { LinkRow } from '../../../table/links/links.ts';
import type { LinkUpdate } from '../../host/host.ts';
import { type AnySpec, isNetwork, type LinkSpec, type NetworkSpec } from '../../store/link-spec.ts';

type Words =
  | 'overlay6Word0'
  | 'overlay6Word1'
  | 'overlay6Word2'
  | 'overlay6Word3'
  | 'overlay6Length'
  | 'vni6';

/** A link's spec after a change; an IPv6 side that is undefined is there no more. */
export function updatedSpec(spec: LinkSpec, change: LinkUpdate): LinkSpec;
export function updatedSpec(spec: NetworkSpec, change: LinkUpdate): NetworkSpec;
export function updatedSpec(spec: AnySpec, change: LinkUpdate): AnySpec;
export function updatedSpec(spec: AnySpec, { rated, ...change }: LinkUpdate): AnySpec {
  const { six: after, ...rest } = change;
  if (rated !== undefined) return updatedSpec(withRate(spec, rated), change);
  if (isNetwork(spec)) return { ...spec, ...rest };
  const { six: before, ...plain } = spec;
  const six = 'six' in change ? after : before;
  return { ...plain, ...rest, ...(six !== undefined && { six }) };
}

export function overlayWords({
  overlay,
  six,
  encap,
}: LinkSpec): Pick<LinkRow, Words | 'overlayAddress' | 'overlayLength'> {
  const words = { overlayAddress: overlay.address, overlayLength: overlay.length };
  if (six === undefined) return words;
  const [overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3] = six.overlay.address;
  return {
    ...words,
    ...{ overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3 },
    overlay6Length: six.overlay.length,
    vni6: ENCAPS[encap].hasVni ? six.vni : 0,
  };
}

/** The word for a network's mode of floods. */
export const BUM = {
  none: BumMode.None,
  replicate: BumMode.Replicate,
  'service-node': BumMode.ServiceNode,
  learn: BumMode.Learn,
} as const satisfies Readonly<Record<BumModeName, number>>;
/** The word for how its ports are watched. */
export const GUARD = {
  learn: GuardMode.Learn,
  strict: GuardMode.Strict,
  off: GuardMode.Off,
} as const satisfies Readonly<Record<GuardName, number>>;

/** The words of a link's record that say what kind of link it is, and what only that kind has. */
export function kindWords(
  spec: AnySpec,
): ReturnType<typeof overlayWords> &
  Pick<
    LinkRow,
    'underlayAddress' | 'underlayLength' | 'gateway' | 'kind' | 'bum' | 'guard' | 'networkFlags'
  > {
  if (isNetwork(spec)) {
    // Only where there are several does an underlay say who a host is.
    const none = { address: 0, length: 0 };
    const { address, length } = spec.further === undefined ? none : rulePrefixOf(spec.underlay);
    return {
      ...{ overlayAddress: 0, overlayLength: 0, gateway: 0 },
      ...{ underlayAddress: address, underlayLength: length },
      ...{ kind: LinkKind.Vni, bum: BUM[spec.bum], guard: GUARD[spec.guard] },
      networkFlags:
        (spec.replicator ? NetworkFlag.Replicator : 0) |
        (spec.kernelArp === true ? NetworkFlag.TellsAnswers : 0),
    };
  }
  const { gateway } = spec;
  const underlay = rulePrefixOf(spec.underlay);
  return {
    ...overlayWords(spec),
    gateway,
    ...{ underlayAddress: underlay.address, underlayLength: underlay.length },
    ...{ kind: LinkKind.Fan, bum: 0, guard: 0, networkFlags: 0 },
  };
}
