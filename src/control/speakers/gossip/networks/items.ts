/**
 * Entries of a layer-2 network in the words of gossip.
 * @module
 */
import type { EntryKey, Unranked } from '../../../../gossip/base/keys.ts';
import type { Best, EntryId } from '../../../../rib/entry.ts';
import { type Announcement, ItemKind } from '../../../../wire/gossip/types.ts';
import type { OwnEntry } from '../../../networks/local/own-entries.ts';

/** The part of an own entry that gossip announces. */
export function itemOf({ spec, mac, address, isSticky }: OwnEntry): Unranked {
  const { vni } = spec;
  if (address === undefined) {
    return { kind: isSticky ? ItemKind.StickyMac : ItemKind.Mac, vni, mac };
  }
  return typeof address === 'number'
    ? { kind: ItemKind.MacAddress, vni, mac, address }
    : { kind: ItemKind.MacAddress6, vni, mac, address };
}

/** The same of an entry that is beyond gossip. */
export function farItemOf(vni: number, id: EntryId, best: Best): Unranked | undefined {
  const { peer: host, mac } = best;
  if (id.kind === 'mac') {
    const kind = best.isSticky === true ? ItemKind.StickyMac : ItemKind.Mac;
    return { kind, vni, mac: id.mac, host };
  }
  if (id.kind !== 'mac+ip') return undefined;
  const { address } = id;
  return typeof address === 'number'
    ? { kind: ItemKind.MacAddress, vni, mac, address, host }
    : { kind: ItemKind.MacAddress6, vni, mac, address, host };
}

/** The MAC of an announcement that binds an address, else 0. */
export function macOf(item: Announcement): number {
  const hasAddress = item.kind === ItemKind.MacAddress || item.kind === ItemKind.MacAddress6;
  return hasAddress ? item.mac : 0;
}

/** What an announcement is about in the rib; undefined for what is no entry there. */
export function idOf(link: string, key: EntryKey): EntryId | undefined {
  switch (key.kind) {
    case ItemKind.Mac:
    case ItemKind.StickyMac:
      return { link, kind: 'mac', mac: key.mac };
    case ItemKind.MacAddress:
    case ItemKind.MacAddress6:
      return { link, kind: 'mac+ip', address: key.address };
    default:
      return undefined;
  }
}
