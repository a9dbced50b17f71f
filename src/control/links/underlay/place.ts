/**
 * Where a layer-2 network is on the underlay when nobody says: where its first fan is, else where the default
 * route leads. There it stays, whatever becomes of that fan, as long as the address is on this host.
 * @module
 */
import type { NetworkRequest } from '../../../config/network.ts';
import { familyOf } from '../../../net/underlay-address.ts';
import type { FanRecord, Snapshot } from '../../host/snapshot.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import {
  addressesText,
  formatHost,
  isResolved,
  type Keep,
  type Refusal,
  type ResolvedUnderlay,
  resolveUnderlay,
} from './resolve.ts';

/** `fan`: the one whose place it is, or was when the network took it. */
type Place = ResolvedUnderlay & { fan?: string };

/** A network as it is, or was when it was up last: its place on the underlay. */
type Had = Pick<NetworkSpec, 'local' | 'underlay' | 'underlayMtu' | 'placeFan'>;

/** Width of an underlay of IPv4 that nobody said. */
const DEFAULT_LENGTH = 16;

/**
 * The place of a network on this host, or why it has none.
 * @param had the network as it is, or was when it was up last
 * @param keep as of {@link resolveUnderlay}
 */
export function resolvePlace(
  { underlay, network }: Pick<NetworkRequest, 'underlay' | 'network'>,
  snapshot: Snapshot,
  had?: Had,
  keep?: Keep,
): Place | Refusal {
  if (underlay !== null) return resolveUnderlay(underlay, snapshot, keep);
  const last = had !== undefined && had.underlayMtu > 0 ? had : undefined;
  const kept = last && keptPlace(last, snapshot);
  if (kept !== undefined) return kept;
  const [first] = snapshot.fans;
  if (first !== undefined) return placeOfFan(first, snapshot);
  const found = resolveUnderlay({ kind: 'default', length: DEFAULT_LENGTH }, snapshot, keep);
  if (isResolved(found) || found.code !== 'underlay-no-default') return found;
  const addresses = addressesText(snapshot, last === undefined ? 4 : familyOf(last.local));
  // Nobody wrote `default`.
  return { ...found, message: `${noPlaceText(network, last)}; ${addresses}` };
}

/** The place that it had, while it is one. */
function keptPlace({ local, underlay, placeFan }: Had, snapshot: Snapshot): Place | undefined {
  const { length } = underlay;
  const found = resolveUnderlay({ kind: 'address', address: local, length }, snapshot);
  if (!isResolved(found) || found.local !== local) return undefined;
  return { ...found, ...(placeFan !== undefined && { fan: placeFan }) };
}

function placeOfFan({ spec, stopped }: FanRecord, snapshot: Snapshot): Place | Refusal {
  const { name, local, underlay, underlayMtu } = spec;
  const { length } = underlay;
  const found = resolveUnderlay({ kind: 'address', address: local, length }, snapshot);
  if (underlayMtu > 0 && isResolved(found)) return { ...found, fan: name };
  if (isResolved(found) || stopped === true) {
    return {
      code: 'underlay-of-fan',
      message: `its place is that of fan ${name}, which is stopped: fanway status says why; or give it one with --underlay`,
    };
  }
  return found;
}

/** What becomes of the networks whose place is that of a fan which has been taken down, a sentence each. */
export function keptPlaces(fan: string, networks: Snapshot['networks']): string[] {
  return networks.flatMap(({ spec: { network, local, underlay, placeFan }, stopped }) => {
    if (placeFan !== fan || stopped === true) return [];
    const place = formatHost(local, underlay.length);
    return `network ${network} stays at ${place}, as long as that is an address of this host: it took this fan's place, and has none of its own (net add --underlay)`;
  });
}

/** Why there is none, where neither a fan nor a default route says it. */
function noPlaceText(network: string, had: Had | undefined): string {
  const way = 'name an address or a device with --underlay';
  if (had?.placeFan === undefined) {
    return `nothing says where this host is: there is no fan, and no default route: ${way}`;
  }
  const place = formatHost(had.local, had.underlay.length);
  return `its place was that of fan ${had.placeFan}, ${place}, which has gone, and there is no default route: fanway net rm ${network}, then add it again and ${way}`;
}
