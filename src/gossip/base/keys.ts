/**
 * What an announcement is about. Two announcements with one key speak of the same thing, and at
 * most one owner can be right; only flood members are everybody's own matter.
 * @module
 */
import { type Announcement, ItemKind } from '../../wire/gossip/types.ts';

const VNIS = 2 ** 24;

/** The part of an announcement that says what it is about. An announcement is its own key. */
export type EntryKey =
  | { kind: typeof ItemKind.Mac | typeof ItemKind.StickyMac; vni: number; mac: number }
  /** A workload's address belongs to one MAC, whoever announces it. */
  | { kind: typeof ItemKind.MacAddress; vni: number; address: number }
  | { kind: typeof ItemKind.Prefix; vni: number; address: number; length: number }
  | { kind: typeof ItemKind.Prefix6; vni: number; address: string; length: number }
  | { kind: typeof ItemKind.MacAddress6; vni: number; address: string }
  | { kind: typeof ItemKind.FloodMember; vni: number }
  | { kind: typeof ItemKind.Vtep; vni: number }
  | { kind: typeof ItemKind.Rule; vni: number; rule: string }
  | { kind: typeof ItemKind.Labels; vni: number; mac: number }
  | { kind: typeof ItemKind.Slice; vni: number; address: number; length: number };

/** Kinds that every owner has its own of, so that nobody's takes another's place. */
export type OwnKind = (typeof OWN_KINDS)[number];
const OWN_KINDS = [ItemKind.FloodMember, ItemKind.Vtep, ItemKind.Rule, ItemKind.Slice] as const;

/** Whether each owner has its own entry of this kind. */
export function isOwnKind(kind: ItemKind): kind is OwnKind {
  return OWN_KINDS.some((own) => own === kind);
}

/** Kind and VNI (24 bits) in one number: which table a key belongs to. */
export function tableOf(key: { kind: ItemKind; vni: number }): number {
  return key.kind * VNIS + key.vni;
}

/** What {@link tableOf} has put together. */
export function kindAndVni(table: number): { kind: number; vni: number } {
  return { kind: Math.floor(table / VNIS), vni: table % VNIS };
}

/** The rest of a key, unique within its table: a number, the digits of an IPv6 address, or a text. */
export function slotOf(key: EntryKey): number | string {
  switch (key.kind) {
    case ItemKind.Mac:
    case ItemKind.StickyMac:
    case ItemKind.Labels:
      return key.mac;
    case ItemKind.Rule:
      return key.rule;
    case ItemKind.MacAddress:
      return key.address;
    case ItemKind.Prefix:
    case ItemKind.Slice:
      return key.address * 64 + key.length;
    case ItemKind.Prefix6:
      return `${key.address}/${key.length}`;
    case ItemKind.MacAddress6:
      return key.address;
    case ItemKind.FloodMember:
    case ItemKind.Vtep:
      return 0;
  }
}

/** A key as text, for use in a map. */
export function keyText(key: EntryKey): string {
  return `${tableOf(key)}/${slotOf(key)}`;
}

/** An announcement before it is known how it ranks among others' of the same key. */
export type Unranked = Announcement extends infer A
  ? A extends Announcement
    ? Omit<A, 'rank'>
    : never
  : never;

/** What an announcement says beside its key and rank, as a value that can be compared. */
function contentOf(item: Announcement): number | string {
  switch (item.kind) {
    case ItemKind.MacAddress:
    case ItemKind.MacAddress6:
      return item.host === undefined ? item.mac : `${item.mac} ${item.host}`;
    case ItemKind.Mac:
    case ItemKind.StickyMac:
      return item.host ?? 0;
    case ItemKind.Labels:
      return item.labels;
    case ItemKind.Vtep: {
      const { address, port, roles, dhcpServers = '', routers = '', own = '', via = '' } = item;
      return `${address} ${port} ${roles} ${dhcpServers} ${routers} ${own} ${via}`;
    }
    default:
      return 0;
  }
}

/** The same fields, rank included. */
export function sameAnnouncement(a: Announcement, b: Announcement): boolean {
  if (a.rank !== b.rank || keyText(a) !== keyText(b)) return false;
  return contentOf(a) === contentOf(b);
}
