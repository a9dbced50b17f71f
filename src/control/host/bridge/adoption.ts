/**
 * A bridge that is there before its fan: kept from an earlier time because containers are on it,
 * or made by a container engine that started first. It is taken over rather than refused, since a
 * new one would be without its ports.
 * @module
 */
import { contains } from '../../../net/prefix.ts';
import { isBridged, type LinkSpec } from '../../store/link-spec.ts';
import {
  aliasOf,
  borrowedAliasOf,
  isMarked,
  type Snapshot,
  type SnapshotLink,
} from '../snapshot.ts';

/** An address with the length of its network, bits. */
export type AddressMark = { address: number; length: number };

export type Adoption = {
  /** The name it has now; a bridge of a former slice gets the new slice's. */
  name: string;
  /** Somebody else made it, so it stays when the fan goes. */
  foreign: boolean;
  /** The MAC it has. */
  mac: number;
  /** Addresses of a former slice, which go. */
  stale: AddressMark[];
  /** Addresses that are there already. */
  there: AddressMark[];
};

/** The length of our addresses on the bridge: LXD's layout has the whole overlay on-link. */
export function addressLengthOf(spec: LinkSpec): number {
  return isBridged(spec) ? spec.overlay.length : spec.slice.length;
}

/** The bridge that this link would take over; undefined when it makes its own. */
export function findAdoption(
  spec: LinkSpec,
  wanted: readonly AddressMark[],
  snapshot: Snapshot,
): Adoption | undefined {
  const { links } = snapshot;
  const kept = (link: SnapshotLink): boolean => isKept(link, snapshot);
  const found =
    links.find((link) => link.name === spec.name) ??
    links.find((link) => kept(link) && addressesOf(link, spec, snapshot).length > 0);
  if (found === undefined || found.kind !== 'bridge') return undefined;
  const there = addressesOf(found, spec, snapshot);
  if (kept(found)) {
    const stale = there.filter((one) => !wanted.some((other) => isSame(one, other)));
    return { name: found.name, foreign: false, mac: found.address, stale, there };
  }
  const gateway = { address: spec.gateway, length: addressLengthOf(spec) };
  const isFree = ['', borrowedAliasOf(found.name)].includes(found.alias);
  const isReady = isFree && there.some((one) => isSame(one, gateway));
  if (!isReady) return undefined;
  return { name: found.name, foreign: true, mac: found.address, stale: [], there };
}

export function isSame(one: AddressMark, other: AddressMark): boolean {
  return one.address === other.address && one.length === other.length;
}

/** What of the overlay a device has. */
function addressesOf(link: SnapshotLink, spec: LinkSpec, { addresses }: Snapshot): AddressMark[] {
  return addresses
    .filter(({ index, address }) => index === link.index && contains(spec.overlay, address))
    .map(({ address, length }) => ({ address, length }));
}

/**
 * Our bridge without a link: it carries a mark, and neither a link that runs here nor a tunnel device
 * of the same mark (a router with another run directory) goes with it.
 */
export function isKept(link: SnapshotLink, { links, fans, networks }: Snapshot): boolean {
  return (
    link.kind === 'bridge' &&
    isMarked(link) &&
    link.alias !== borrowedAliasOf(link.name) &&
    ![...fans, ...networks].some(({ spec }) => aliasOf(spec.name) === link.alias) &&
    !links.some((other) => other.index !== link.index && other.alias === link.alias)
  );
}
