/**
 * What the gossip channel shows of itself on the admin socket: the values that `--json` prints and
 * that text is made from. Addresses are text here.
 * @module
 */
import type { EntryJson } from '../../../api/entries.ts';
import type { KeyJson } from '../../../api/keys.ts';
import type { MemberJson } from '../../../api/members.ts';
import type { ConflictView, EntryView, MemberState, MemberView } from '../../../gossip/base/api.ts';
import { formatIpAddress } from '../../../net/ip.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import { formatMac } from '../../../net/mac.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import { type Announcement, type Endpoint, ItemKind } from '../../../wire/gossip/types.ts';
import type { SameName } from './names.ts';
import type { Taken } from './taken.ts';

/** Two active nodes claim what only one can have; both are named. */
export type ConflictJson = {
  what: ConflictView['what'];
  /** What both claim, as text. */
  subject: string;
  winner: { id: string; name: string };
  loser: { id: string; name: string };
  /** What people can do about it; '' where that depends. */
  advice: string;
};

/** Where this host was told to look for members. */
export type SeedJson = {
  seed: string;
  addresses: string[];
  /** What is wrong with its name; '' when nothing is. */
  error: string;
  /** A member was heard there. */
  answered: boolean;
  /** Why not, as far as this host can tell. */
  reason: string;
};

export type GossipStatus = {
  state: 'up' | 'stopped';
  /** Why it is stopped; '' when it runs. */
  reason: string;
  id: string;
  name: string;
  label: string;
  epoch: number;
  port: number;
  endpoints: string[];
  /** No keys: nobody is authenticated. */
  plaintext: boolean;
  keys: KeyJson[];
  seeds: SeedJson[];
  members: Record<MemberState, number>;
  /** What this host was asked to announce. */
  announced: string[];
  /** Over the whole table: equal on two nodes that know the same. */
  hash: string;
  conflicts: ConflictJson[];
  /** What another host announces of this one's slices. */
  taken: Taken[];
  /** Present members that have one name. */
  sameNames: SameName[];
  /** Whose datagrams were refused in the last minute, and why. */
  refused: { address: string; cause: string; reason: string; count: number; ageMs: number }[];
};

export function formatEndpoint({ address, port }: Endpoint): string {
  return `${formatIpv4(address)}:${port}`;
}

/** A member as JSON. */
export function memberJson(member: MemberView): MemberJson {
  const { endpoint } = member;
  return {
    id: member.id,
    name: member.name,
    state: member.state,
    underlay: endpoint === undefined ? '' : formatEndpoint(endpoint),
    endpoints: member.endpoints.map(formatEndpoint),
    encaps: member.encaps.map(({ encap, port }) => (port === 0 ? encap : `${encap}:${port}`)),
    mtu: member.mtu,
    vnis: member.vnis,
    fans: member.fans.map(({ overlay, underlay, local }) => ({
      overlay: formatPrefix(overlay),
      underlay: formatPrefix(underlay),
      local: formatIpv4(local),
    })),
    version: member.version,
    rttMs: member.rttMs ?? null,
    loss: member.loss,
    lastHeardMs: member.lastHeardMs ?? null,
    sinceMs: member.sinceMs,
    epoch: member.epoch,
    sequence: member.sequence,
    self: member.isSelf,
  };
}

/** What both sides of a conflict claim, and who they are. */
export function conflictJson(conflict: ConflictView): ConflictJson {
  const { what, subject, winner, winnerName, loser, loserName, advice = '' } = conflict;
  return {
    what,
    subject,
    winner: { id: winner, name: winnerName },
    loser: { id: loser, name: loserName },
    advice,
  };
}

/** Kinds of entries by the word that people use. */
export const ENTRY_KINDS: Readonly<Record<EntryJson['kind'], readonly Announcement['kind'][]>> = {
  mac: [ItemKind.Mac, ItemKind.StickyMac],
  'mac+ip': [ItemKind.MacAddress, ItemKind.MacAddress6],
  prefix: [ItemKind.Prefix],
  flood: [ItemKind.FloodMember],
  vtep: [ItemKind.Vtep],
};

function subjectOf(
  item: Announcement,
): Pick<EntryJson, 'kind'> & Partial<Pick<EntryJson, 'mac' | 'address' | 'prefix'>> {
  switch (item.kind) {
    case ItemKind.Mac:
    case ItemKind.StickyMac:
      return { kind: 'mac', mac: formatMac(item.mac) };
    case ItemKind.MacAddress:
      return { kind: 'mac+ip', mac: formatMac(item.mac), address: formatIpv4(item.address) };
    case ItemKind.Prefix:
      return { kind: 'prefix', prefix: formatPrefix(item) };
    case ItemKind.MacAddress6: {
      const address = formatIpAddress(item.address);
      return { kind: 'mac+ip', mac: formatMac(item.mac), address };
    }
    case ItemKind.FloodMember:
      return { kind: 'flood' };
    case ItemKind.Vtep:
      return { kind: 'vtep', address: formatIpAddress(item.address) };
  }
}

/** An entry as JSON; `self` is this node's id. */
export function entryJson({ item, owner, ownerName }: EntryView, self: string): EntryJson {
  return {
    ...subjectOf(item),
    vni: item.vni,
    owner,
    name: ownerName,
    rank: item.rank,
    self: owner === self,
  };
}
