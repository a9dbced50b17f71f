/**
 * What the gossip channel shows of itself on the admin socket: the values that `--json` prints and
 * that text is made from. Addresses are text here.
 * @module
 */

import type { EntryJson } from '../../../api/entries.ts';
import type { ConflictJson } from '../../../api/gossip.ts';
import type { MemberJson } from '../../../api/members.ts';
import type { ConflictView, EntryView, MemberView } from '../../../gossip/base/api.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import { formatMac } from '../../../net/mac.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import {
  formatHostAddress,
  formatHostPort,
  formatHostPrefix,
} from '../../../net/underlay-address.ts';
import { type Announcement, type Endpoint, ItemKind } from '../../../wire/gossip/types.ts';

export function formatEndpoint({ address, port }: Endpoint): string {
  return formatHostPort(address, port);
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
      underlay: formatHostPrefix(underlay),
      local: formatHostAddress(local),
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
  prefix: [ItemKind.Prefix, ItemKind.Prefix6],
  flood: [ItemKind.FloodMember],
  vtep: [ItemKind.Vtep],
  rule: [ItemKind.Rule],
  labels: [ItemKind.Labels],
  slice: [ItemKind.Slice],
};

function subjectOf(
  item: Announcement,
): Pick<EntryJson, 'kind'> & Partial<Pick<EntryJson, 'mac' | 'address' | 'prefix' | 'text'>> {
  switch (item.kind) {
    case ItemKind.Mac:
    case ItemKind.StickyMac:
      return { kind: 'mac', mac: formatMac(item.mac) };
    case ItemKind.MacAddress:
      return { kind: 'mac+ip', mac: formatMac(item.mac), address: formatIpv4(item.address) };
    case ItemKind.Prefix:
    case ItemKind.Prefix6:
      return { kind: 'prefix', prefix: formatHostPrefix(item) };
    case ItemKind.MacAddress6: {
      const address = formatHostAddress(item.address);
      return { kind: 'mac+ip', mac: formatMac(item.mac), address };
    }
    case ItemKind.FloodMember:
      return { kind: 'flood' };
    case ItemKind.Vtep:
      return { kind: 'vtep', address: formatHostAddress(item.address) };
    case ItemKind.Rule:
      return { kind: 'rule', text: item.rule };
    case ItemKind.Labels:
      return { kind: 'labels', mac: formatMac(item.mac), text: item.labels };
    case ItemKind.Slice:
      return { kind: 'slice', prefix: formatPrefix(item) };
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
