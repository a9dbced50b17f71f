/**
 * What belongs to a host by arithmetic and is announced by another one. A single address that
 * moved is what `announce` is for; a slice, a part of it or a gateway taken from a host that lives
 * cuts off what runs there, so that is refused first and told at both ends.
 * @module
 */

import type { Taken } from '../../../api/gossip.ts';
import { refusedError } from '../../../errors.ts';
import type { MemberView } from '../../../gossip/base/api.ts';
import { isActive } from '../../../gossip/members/members.ts';
import type { Log } from '../../../log.ts';
import { equals } from '../../../net/prefix.ts';
import {
  ADDRESS_BITS,
  familyOf,
  formatHostPrefix,
  holdsHost,
  hostNetworkOf,
  lastWordOf,
  sameHostPrefix,
  type UnderlayAddress,
  type UnderlayPrefix,
  withLastWord,
} from '../../../net/underlay-address.ts';
import type { Best, EntryId, RibChange } from '../../../rib/entry.ts';
import { type LinkSpec, placeOf, sideOf } from '../../store/link-spec.ts';
import { linkOf, requireLink } from './announced.ts';

type PrefixId = Extract<EntryId, { kind: 'prefix' }>;

/** Whether a prefix is more of a slice than one workload: its gateway, or several addresses. */
function isHostsOwn(prefix: UnderlayPrefix, slice: UnderlayPrefix): boolean {
  const isWide = prefix.length < ADDRESS_BITS[familyOf(prefix.address)];
  return isWide || sameHostPrefix(prefix, slice) || prefix.address === gatewayIn(slice);
}

/** The first address of a slice behind its own, which is the host's. */
function gatewayIn(slice: UnderlayPrefix): UnderlayAddress {
  const network = hostNetworkOf(slice);
  return withLastWord(network, (lastWordOf(network) | 1) >>> 0);
}

/** The living member that has a prefix by arithmetic, if it is more than a workload of it. */
function holderOf(
  prefix: UnderlayPrefix,
  specs: readonly LinkSpec[],
  members: readonly MemberView[],
): MemberView | undefined {
  const { address } = prefix;
  const spec = linkOf(prefix, specs);
  const side = spec && sideOf(spec, address);
  const place = spec && placeOf(spec, address);
  if (spec === undefined || side === undefined || place === undefined) return undefined;
  if (holdsHost(side.slice, address) || !isHostsOwn(prefix, place.slice)) return undefined;
  const isIpv4 = typeof address === 'number';
  return members.find(
    (member) =>
      !member.isSelf &&
      isActive(member) &&
      (member.fans.some(
        (fan) => fan.local === place.peer && (!isIpv4 || equals(fan.overlay, spec.overlay)),
      ) ||
        (!isIpv4 && member.endpoints.some((endpoint) => endpoint.address === place.peer))),
  );
}

/**
 * Whom each prefix would be taken from, by its text.
 * @throws FanwayError when a prefix is in no fan; `taken` when it is another living host's and nobody
 *   said `force`.
 */
export function requireFree(
  prefixes: readonly UnderlayPrefix[],
  specs: readonly LinkSpec[],
  members: readonly MemberView[],
  force: boolean,
): Map<string, string> {
  const from = new Map<string, string>();
  for (const prefix of prefixes) {
    requireLink(prefix, specs);
    const holder = holderOf(prefix, specs, members);
    if (holder !== undefined) from.set(formatHostPrefix(prefix), holder.name || holder.id);
  }
  const [first] = from;
  if (first === undefined || force) return from;
  throw refusedError(
    'taken',
    `${first[0]} belongs to ${first[1]}, which is alive: all that runs there would be cut off. Announce the single addresses that moved, or take it with --force`,
  );
}

export type LossesOptions = {
  log: Log;
  /** The links that are up. */
  specs: () => readonly LinkSpec[];
  /** Our own node id, while there is one. */
  self: () => string | undefined;
  nameOf: (owner: string) => string;
};

/** Keeps what another host has of this one, and says it once; and once when it is back. */
export class Losses {
  readonly #options: LossesOptions;
  readonly #taken = new Map<string, Taken>();

  constructor(options: LossesOptions) {
    this.#options = options;
  }

  list(): readonly Taken[] {
    return [...this.#taken.values()];
  }

  note(changes: readonly RibChange[]): void {
    const { log } = this.#options;
    for (const { id, after } of changes) {
      if (id.kind !== 'prefix') continue;
      const key = `${formatHostPrefix(id)} ${id.link}`;
      const before = this.#taken.get(key);
      const taken = this.#takenBy(id, after);
      if (taken === undefined) {
        if (!this.#taken.delete(key)) continue;
        log.info('taken', `${formatHostPrefix(id)} of ${id.link} is this host's again`);
        continue;
      }
      this.#taken.set(key, taken);
      if (before?.owner === taken.owner) continue;
      const { prefix, link, name, owner } = taken;
      log.warn(
        'taken',
        `${prefix} of ${link} is announced by ${name} (${owner}) now: what runs here with such an address is cut off`,
      );
    }
  }

  #takenBy(id: PrefixId, after: Best | undefined): Taken | undefined {
    const { specs, self, nameOf } = this.#options;
    if (after?.source !== 'gossip' || after.owner === self()) return undefined;
    const spec = specs().find(({ name }) => name === id.link);
    const slice = spec && sideOf(spec, id.address)?.slice;
    if (slice === undefined || !holdsHost(slice, id.address)) return undefined;
    if (!isHostsOwn(id, slice)) return undefined;
    const { owner } = after;
    return { prefix: formatHostPrefix(id), link: id.link, owner, name: nameOf(owner) };
  }
}
