/**
 * What an announcement is about. Two announcements with one key speak of the same thing, and at
 * most one owner can be right; only flood members are everybody's own matter.
 * @module
 */
import { type Announcement, ItemKind } from '../../wire/gossip/types.ts';

const VNIS = 2 ** 24;

/** The part of an announcement that says what it is about. An announcement is its own key. */
export type EntryKey =
  | { kind: typeof ItemKind.Mac; vni: number; mac: number }
  /** A workload's address belongs to one MAC, whoever announces it. */
  | { kind: typeof ItemKind.MacAddress; vni: number; address: number }
  | { kind: typeof ItemKind.Prefix; vni: number; address: number; length: number }
  | { kind: typeof ItemKind.FloodMember; vni: number };

/** Kind and VNI (24 bits) in one number: which table a key belongs to. */
export function tableOf(key: { kind: ItemKind; vni: number }): number {
  return key.kind * VNIS + key.vni;
}

/** What {@link tableOf} has put together. */
export function kindAndVni(table: number): { kind: number; vni: number } {
  return { kind: Math.floor(table / VNIS), vni: table % VNIS };
}

/** The rest of a key in one number, unique within its table. */
export function slotOf(key: EntryKey): number {
  switch (key.kind) {
    case ItemKind.Mac:
      return key.mac;
    case ItemKind.MacAddress:
      return key.address;
    case ItemKind.Prefix:
      return key.address * 64 + key.length;
    case ItemKind.FloodMember:
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

/** The same fields, rank included. */
export function sameAnnouncement(a: Announcement, b: Announcement): boolean {
  if (a.rank !== b.rank || keyText(a) !== keyText(b)) return false;
  return a.kind !== ItemKind.MacAddress || b.kind !== ItemKind.MacAddress || a.mac === b.mac;
}
