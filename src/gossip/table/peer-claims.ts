/**
 * What a peer record claims for its node alone: where it hears gossip, its underlay addresses by
 * encapsulation, and its slices of the overlays.
 * @module
 */
import { rulePrefixOf, sliceOf } from '../../net/fan.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { formatHostAddress, formatHostPort, isNoHost } from '../../net/underlay-address.ts';
import type {
  Endpoint,
  FanItem,
  GossipAddress,
  NodeId,
  UnderlayItem,
} from '../../wire/gossip/types.ts';
import type { PeerRecord } from '../base/api.ts';

export type PeerClaim = {
  what: 'endpoint' | 'underlay-address' | 'fan-slice';
  /** The thing itself, readable. */
  subject: string;
};

function endpointClaim({ address, port }: Endpoint): PeerClaim {
  return { what: 'endpoint', subject: formatHostPort(address, port) };
}

function addressClaims(local: GossipAddress, { encaps }: PeerRecord): PeerClaim[] {
  return encaps.map(({ encap, port }) => ({
    what: 'underlay-address',
    subject: `${formatHostAddress(local)} ${encap}${port === 0 ? '' : ` port ${port}`}`,
  }));
}

/** Who is told to be somewhere claims that address, and the one that it is known by. */
function wayClaims({ first, local }: UnderlayItem, record: PeerRecord): PeerClaim[] {
  const here = isNoHost(local) ? [] : addressClaims(local, record);
  return [...addressClaims(first, record), ...here];
}

/** Two fans that reach one slice by different underlays claim the same. */
function fanClaims(fan: FanItem, record: PeerRecord): PeerClaim[] {
  const claims = addressClaims(fan.local, record);
  const hasSlice = fan.overlay.length <= rulePrefixOf(fan.underlay).length;
  if (hasSlice) claims.push({ what: 'fan-slice', subject: formatPrefix(sliceOf(fan, fan.local)) });
  return claims;
}

/** One text for each claim, the same on all nodes. */
export function claimText({ what, subject }: PeerClaim): string {
  return `${what} ${subject}`;
}

/** All claims of a record, by their text. */
export function claimsOf(record: PeerRecord): Map<string, PeerClaim> {
  const claims = [
    ...record.endpoints.map(endpointClaim),
    ...record.fans.flatMap((fan) => fanClaims(fan, record)),
    ...(record.underlays ?? []).flatMap((way) => wayClaims(way, record)),
  ];
  return new Map(claims.map((claim) => [claimText(claim), claim]));
}

/**
 * A record without the claims that its node has lost. A fan goes with its slice or its underlay
 * address. The last endpoint stays: without one nobody could tell the node what is wrong.
 */
export function withoutClaims(record: PeerRecord, lost: ReadonlySet<string>): PeerRecord {
  const isLost = (claim: PeerClaim): boolean => lost.has(claimText(claim));
  const lostAddresses = new Set(
    record.endpoints.filter((each) => isLost(endpointClaim(each))).map(({ address }) => address),
  );
  const endpoints = record.endpoints.filter((each) => !isLost(endpointClaim(each)));
  const fans = record.fans.filter(
    (fan) => !lostAddresses.has(fan.local) && !fanClaims(fan, record).some(isLost),
  );
  const underlays = record.underlays?.filter((way) => !wayClaims(way, record).some(isLost));
  return {
    ...record,
    ...(underlays !== undefined && { underlays }),
    endpoints: endpoints.length > 0 ? endpoints : record.endpoints.slice(0, 1),
    fans,
  };
}

/** A claim that several nodes make, whether or not they are active. */
export type SharedClaim = { claim: PeerClaim; owners: ReadonlySet<NodeId> };

/** Who claims what. Costs work only for records that change. */
export class PeerClaims {
  readonly #byOwner = new Map<NodeId, ReadonlyMap<string, PeerClaim>>();
  readonly #owners = new Map<string, Set<NodeId>>();
  readonly #shared = new Map<string, SharedClaim>();

  /** The record of an owner as it is now. */
  set(owner: NodeId, record: PeerRecord | undefined): void {
    const before = this.#byOwner.get(owner) ?? new Map<string, PeerClaim>();
    const after = record === undefined ? new Map<string, PeerClaim>() : claimsOf(record);
    for (const [text, claim] of before) if (!after.has(text)) this.#remove(owner, text, claim);
    for (const [text, claim] of after) if (!before.has(text)) this.#add(owner, text, claim);
    if (after.size > 0) this.#byOwner.set(owner, after);
    else this.#byOwner.delete(owner);
  }

  ownersOf(text: string): Iterable<NodeId> {
    return this.#owners.get(text) ?? [];
  }

  has(owner: NodeId, text: string): boolean {
    return this.#byOwner.get(owner)?.has(text) === true;
  }

  /** By their text. */
  shared(): ReadonlyMap<string, SharedClaim> {
    return this.#shared;
  }

  #add(owner: NodeId, text: string, claim: PeerClaim): void {
    const owners = this.#owners.get(text) ?? new Set();
    this.#owners.set(text, owners.add(owner));
    if (owners.size > 1) this.#shared.set(text, { claim, owners });
  }

  #remove(owner: NodeId, text: string, claim: PeerClaim): void {
    const owners = this.#owners.get(text);
    if (owners === undefined) return;
    owners.delete(owner);
    if (owners.size === 0) this.#owners.delete(text);
    if (owners.size > 1) this.#shared.set(text, { claim, owners });
    else this.#shared.delete(text);
  }
}
