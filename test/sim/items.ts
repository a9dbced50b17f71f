/**
 * What the hosts of a scenario announce: to each number belongs one key.
 * @module
 */
import { isOwnKind, keyText } from '../../src/gossip/base/keys.ts';
import { type Announcement, ItemKind } from '../../src/wire/gossip/types.ts';

const VNI = 100;

/** The announcement of a number: MAC, MAC with address, host address, prefix, flood member. */
export function itemOf(number: number): Announcement {
  const mac = 0x020000000000 + number;
  const address = 0x0a000000 + number;
  switch (number % 8) {
    case 0:
    case 1:
    case 2:
      return { kind: ItemKind.Mac, vni: VNI, rank: 0, mac };
    case 3:
    case 4:
      return { kind: ItemKind.MacAddress, vni: VNI, rank: 0, mac, address };
    case 5:
      return { kind: ItemKind.Prefix, vni: VNI, rank: 0, address, length: 32 };
    case 6:
      return {
        kind: ItemKind.Prefix,
        vni: VNI,
        rank: 0,
        address: 0x40000000 + ((number & 0xfffff) << 8),
        length: 24,
      };
    default:
      return { kind: ItemKind.FloodMember, vni: 1000 + number, rank: 0 };
  }
}

/** Equal for two announcements that cannot both hold, unless it is a flood member's. */
export function keyOf(item: Announcement): string {
  switch (item.kind) {
    case ItemKind.Mac:
      return `mac ${item.vni} ${item.mac.toString(16)}`;
    case ItemKind.MacAddress:
      return `mac+address ${item.vni} ${item.mac.toString(16)} ${item.address.toString(16)}`;
    case ItemKind.Prefix:
      return `prefix ${item.vni} ${item.address.toString(16)}/${item.length}`;
    case ItemKind.FloodMember:
      return `flood ${item.vni}`;
    default:
      return `${item.kind} ${keyText(item)}`;
  }
}

/** Whether several owners may announce it side by side. */
export function isShared(item: Announcement): boolean {
  return isOwnKind(item.kind);
}
