/**
 * What belongs to a host by arithmetic and is announced by another one. A single address that
 * moved is what `announce` is for; a slice, a part of it or a gateway taken from a host that lives
 * cuts off what runs there, so that is refused first and told at both ends.
 * @module
 */
import { refusedError } from '../../errors.ts';
import type { MemberView } from '../../gossip/api.ts';
import type { Log } from '../../log.ts';
import { gatewayOf, peerOf, sliceOf } from '../../net/fan.ts';
import { contains, equals, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { LinkSpec } from '../link-spec.ts';
import { exceptionsOf } from '../moved.ts';
import { linkOf, requireLink } from './announced.ts';
import type { OwnedPrefix } from './exceptions.ts';

/** Of this host, and in the hands of another one. */
export type Taken = { prefix: string; link: string; owner: string; name: string };

/** Whether a prefix is more of a slice than one workload: its gateway, or several addresses. */
function isHostsOwn(prefix: Prefix, slice: Prefix): boolean {
  return prefix.length < 32 || equals(prefix, slice) || prefix.address === gatewayOf(slice);
}

/** The living member that has a prefix by arithmetic, if it is more than a workload of it. */
function holderOf(
  prefix: Prefix,
  specs: readonly LinkSpec[],
  members: readonly MemberView[],
): MemberView | undefined {
  const spec = linkOf(prefix, specs);
  if (spec === undefined || contains(spec.slice, prefix.address)) return undefined;
  const peer = peerOf(spec, prefix.address);
  if (!isHostsOwn(prefix, sliceOf(spec, peer))) return undefined;
  return members.find(
    ({ isSelf, state, fans }) =>
      !isSelf &&
      (state === 'alive' || state === 'suspect') &&
      fans.some((fan) => fan.local === peer && equals(fan.overlay, spec.overlay)),
  );
}

/**
 * Whom each prefix would be taken from, by its text.
 * @throws FanwayError when a prefix is in no fan; `taken` when it is another living host's and nobody
 *   said `force`.
 */
export function requireFree(
  prefixes: readonly Prefix[],
  specs: readonly LinkSpec[],
  members: readonly MemberView[],
  force: boolean,
): Map<string, string> {
  const from = new Map<string, string>();
  for (const prefix of prefixes) {
    requireLink(prefix, specs);
    const holder = holderOf(prefix, specs, members);
    if (holder !== undefined) from.set(formatPrefix(prefix), holder.name || holder.id);
  }
  const [first] = from;
  if (first === undefined || force) return from;
  throw refusedError(
    'taken',
    `${first[0]} belongs to ${first[1]}, which is alive: all that runs there would be cut off. Announce the single addresses that moved, or take it with --force`,
  );
}

/** The part of a gossip service that knows of it. */
type Source = {
  moved: readonly OwnedPrefix[];
  specs: readonly LinkSpec[];
  host: { id: string } | undefined;
};

/** What others have of this host now. */
export function takenFrom({ moved, specs, host }: Source): Taken[] {
  return moved.flatMap(({ prefix, vni, owner, ownerName }) => {
    if (owner === host?.id) return [];
    const spec = specs.find(
      (one) => contains(one.slice, prefix.address) && (vni === 0 || vni === one.vni),
    );
    if (spec === undefined || !isHostsOwn(prefix, spec.slice)) return [];
    return [{ prefix: formatPrefix(prefix), link: spec.name, owner, name: ownerName }];
  });
}

/** Says once what another host has taken, and once when it is back. */
export class Losses {
  readonly #log: Log;
  #told = new Map<string, Taken>();

  constructor(log: Log) {
    this.#log = log;
  }

  note(taken: readonly Taken[]): void {
    const now = new Map(taken.map((one) => [`${one.prefix} ${one.owner}`, one]));
    for (const [key, { prefix, link, name, owner }] of now) {
      if (this.#told.has(key)) continue;
      this.#log.warn(
        'taken',
        `${prefix} of ${link} is announced by ${name} (${owner}) now: what runs here with such an address is cut off`,
      );
    }
    for (const [key, { prefix, link }] of this.#told) {
      if (!now.has(key)) this.#log.info('taken', `${prefix} of ${link} is this host's again`);
    }
    this.#told = now;
  }
}

/** Who has an address although the arithmetic says otherwise. `host` is u32, in the link's fan. */
export type Announcer = { prefix: Prefix; owner: string; name: string; host: number };

/** The longest announced prefix that sends an address elsewhere on this link, as the data path has it. */
export function announcerOf(
  address: number,
  spec: LinkSpec,
  moved: readonly OwnedPrefix[],
): Announcer | undefined {
  let best: Announcer | undefined;
  for (const one of moved) {
    if (!contains(one.prefix, address)) continue;
    if (best !== undefined && best.prefix.length >= one.prefix.length) continue;
    const [exception] = exceptionsOf(spec, [one]);
    if (exception === undefined) continue;
    best = { prefix: one.prefix, owner: one.owner, name: one.ownerName, host: exception.peer };
  }
  return best;
}
