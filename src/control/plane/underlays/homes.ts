/**
 * Where the peers of a link with several underlays are on each: as they say in their signed records, else
 * at the host bits that they have on the first one.
 *
 * A record is believed about the network that it names, and nobody who says what another says, too: two
 * hosts at one address, or known by one, are reached by arithmetic both.
 * @module
 */
import type { MemberView } from '../../../gossip/base/api.ts';
import { isActive } from '../../../gossip/members/members.ts';
import {
  holdsHost,
  isNoHost,
  lastWordOf,
  sameHostIn,
  sameHostPrefix,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { type Home, NOWHERE } from '../../../table/links/homes.ts';
import { type AnySpec, underlaysOf } from '../../store/link-spec.ts';

/** One address by underlay; undefined = nothing is said of it. */
type Told = (UnderlayAddress | undefined)[];

/** Members in the order in which they are believed; who has left is at nothing. */
function believed(members: readonly MemberView[]): MemberView[] {
  const others = members.filter(({ isSelf, state }) => !isSelf && state !== 'left');
  return [...others.filter(isActive), ...others.filter((member) => !isActive(member))];
}

export class LinkHomes {
  readonly #spec: Pick<AnySpec, 'underlay' | 'local' | 'further'>;
  readonly #told = new Map<UnderlayAddress, Told>();
  /** By underlay: who says that it is at an address. */
  readonly #peers: Map<UnderlayAddress, UnderlayAddress>[];

  constructor(
    spec: Pick<AnySpec, 'underlay' | 'local' | 'further'>,
    members: readonly MemberView[] = [],
  ) {
    this.#spec = spec;
    this.#peers = underlaysOf(spec).map(() => new Map());
    for (const member of believed(members)) this.#take(member);
    this.#peers.forEach((_, underlay) => {
      this.#sort(underlay);
    });
  }

  /** An active member goes before one that is dead, among equals none does. */
  #take(member: MemberView): void {
    const active = isActive(member);
    for (const { first, underlay, local } of member.underlays) {
      const at = (this.#spec.further ?? []).findIndex((one) =>
        sameHostPrefix(one.underlay, underlay),
      );
      const isOurs = underlaysOf(this.#spec).some((own) => own.local === local);
      const isMeant = at >= 0 && holdsHost(this.#spec.underlay, first) && !isOurs;
      if (!isMeant || first === this.#spec.local) continue;
      if (!isNoHost(local) && !holdsHost(underlay, local)) continue;
      const told = this.#told.get(first) ?? [];
      const before = told[at + 1];
      if (before === undefined) told[at + 1] = local;
      else if (active && before !== local) told[at + 1] = this.#usual(at + 1, first);
      this.#told.set(first, told);
    }
  }

  /** Finds who is where on an underlay; those who say the same address are where arithmetic has them. */
  #sort(underlay: number): void {
    const at = new Map<UnderlayAddress, UnderlayAddress[]>();
    for (const [peer, told] of this.#told) {
      const address = told[underlay];
      if (address === undefined || isNoHost(address)) continue;
      at.set(address, [...(at.get(address) ?? []), peer]);
    }
    for (const [address, peers] of at) {
      const [only, ...more] = peers;
      if (only !== undefined && more.length === 0) this.#peers[underlay]?.set(address, only);
      else for (const peer of peers) this.#told.get(peer)?.splice(underlay, 1, undefined);
    }
  }

  #usual(underlay: number, peer: UnderlayAddress): UnderlayAddress {
    const { underlay: network } = underlaysOf(this.#spec)[underlay] ?? this.#spec;
    return sameHostIn(network, peer);
  }

  /** Whether the peer has said itself where it is. */
  isTold(underlay: number, peer: UnderlayAddress): boolean {
    return this.#told.get(peer)?.[underlay] !== undefined;
  }

  /** The peer's address on an underlay; `undefined` = it says that it has none there. */
  addressOn(underlay: number, peer: UnderlayAddress): UnderlayAddress | undefined {
    if (underlay === 0) return peer;
    const told = this.#told.get(peer)?.[underlay];
    if (told === undefined) return this.#usual(underlay, peer);
    return isNoHost(told) ? undefined : told;
  }

  /** Who is at an address of an underlay, by its address on the first; undefined = nobody. */
  peerAt(underlay: number, address: UnderlayAddress): UnderlayAddress | undefined {
    const { underlay: network } = underlaysOf(this.#spec)[underlay] ?? this.#spec;
    if (!holdsHost(network, address)) return undefined;
    const told = this.#peers[underlay]?.get(address);
    if (told !== undefined) return told;
    const peer = sameHostIn(this.#spec.underlay, address);
    return this.addressOn(underlay, peer) === address ? peer : undefined;
  }

  /** As the data processes are told. */
  rows(): Home[] {
    return [...this.#told].flatMap(([peer, told]) =>
      told.flatMap((address, underlay) =>
        address === undefined
          ? []
          : [
              {
                underlay,
                peer: lastWordOf(peer),
                word: isNoHost(address) ? NOWHERE : lastWordOf(address),
              },
            ],
      ),
    );
  }
}
