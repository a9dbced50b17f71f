/**
 * Blocks and the items in them. A block's body is a map of fields in canonical CBOR, at most
 * {@link BLOCK_BYTES_MAX} bytes; the owner signs these bytes, so whoever hands a block on hands on
 * the bytes and never writes them again. That is how what a later version has added passes through
 * nodes that do not know it.
 *
 * | field | block | |
 * |---|---|---|
 * | 1 | public key | 32 bytes |
 * | 2 | epoch | |
 * | 3 | sequence | |
 * | 4 | live | {@link ranges} |
 * | 5 | left | not there: false |
 * | 6 | items | records whose field 0 is the kind; unknown kinds are skipped |
 * @module
 */

import { cborBytes } from '../cbor.ts';
import { VNI_MAX } from '../vxlan.ts';
import {
  BLOCK_BYTES_MAX,
  EPOCH_MAX,
  ITEMS_PER_BLOCK_MAX,
  LABELS_TEXT_CHARS_MAX,
  PUBLIC_KEY_BYTES,
  RANK_MAX,
  RULE_TEXT_CHARS_MAX,
  SEQUENCE_MAX,
  SERVERS_MAX,
} from './bounds.ts';
import {
  constant,
  fromBytes,
  hostAddress,
  ipv4Address,
  ipv6Host,
  kindOf,
  mac,
  port,
  ranges,
  toBytes,
  withoutHostBits,
  withoutIpv6HostBits,
} from './common.ts';
import {
  bytes,
  type Codec,
  field,
  flag,
  list,
  record,
  refuse,
  type SkippingCodec,
  text,
  uint,
} from './fields.ts';
import { peerItem } from './peer.ts';
import { placed } from './placed.ts';
import {
  type Block,
  type FloodMemberItem,
  type Item,
  ItemKind,
  type LabelsItem,
  type MacAddress6Item,
  type MacAddressItem,
  type MacItem,
  type Prefix6Item,
  type PrefixItem,
  type RuleItem,
  type SliceItem,
  type StickyMacItem,
  type VtepItem,
} from './types.ts';

const vni = uint(VNI_MAX);
const rank = uint(RANK_MAX);
const prefixLength = uint(32);

// What announcements have in common has the same numbers in all of them.
const announced = { vni: field(1, vni), rank: field(2, rank, 0) };
const station = { ...announced, mac: field(3, mac) };
const macItem = placed<MacItem>(record({ kind: field(0, constant(ItemKind.Mac)), ...station }));
const stickyMacItem = placed<StickyMacItem>(
  record({ kind: field(0, constant(ItemKind.StickyMac)), ...station }),
);
const macAddressItem = placed<MacAddressItem>(
  record({
    kind: field(0, constant(ItemKind.MacAddress)),
    ...station,
    address: field(4, ipv4Address),
  }),
);
const prefixItem = withoutHostBits(
  record<PrefixItem>({
    kind: field(0, constant(ItemKind.Prefix)),
    ...announced,
    address: field(4, ipv4Address),
    length: field(5, prefixLength),
  }),
);
const prefix6Item = withoutIpv6HostBits(
  record<Prefix6Item>({
    kind: field(0, constant(ItemKind.Prefix6)),
    ...announced,
    address: field(4, ipv6Host),
    length: field(5, uint(128)),
  }),
);
const macAddress6Item = placed<MacAddress6Item>(
  record({
    kind: field(0, constant(ItemKind.MacAddress6)),
    ...station,
    address: field(4, ipv6Host),
  }),
);
const floodMemberItem = record<FloodMemberItem>({
  kind: field(0, constant(ItemKind.FloodMember)),
  ...announced,
});
/** A tunnel endpoint as it is written: what is not there has no field. */
type WrittenVtep = Required<VtepItem>;
const NO_MACS: readonly number[] = [];
/** No host has the address 0, and no station the MAC 0. */
const NONE = 0;
const writtenVtep = record<WrittenVtep>({
  kind: field(0, constant(ItemKind.Vtep)),
  ...announced,
  address: field(4, hostAddress),
  port: field(7, port),
  roles: field(8, uint(0xffff), 0),
  dhcpServers: field<readonly number[]>(9, list(mac, SERVERS_MAX), NO_MACS),
  routers: field<readonly number[]>(10, list(mac, SERVERS_MAX), NO_MACS),
  own: field(11, mac, NONE),
  via: field<number | string>(12, hostAddress, NONE),
});
const vtepItem: Codec<VtepItem> = {
  encode({ dhcpServers = NO_MACS, routers = NO_MACS, own = NONE, via = NONE, ...others }) {
    return writtenVtep.encode({
      ...others,
      dhcpServers: dhcpServers.length === 0 ? NO_MACS : dhcpServers,
      routers: routers.length === 0 ? NO_MACS : routers,
      ...{ own, via },
    });
  },
  decode(value) {
    const { dhcpServers, routers, own, via, ...others } = writtenVtep.decode(value);
    return {
      ...others,
      ...(dhcpServers.length > 0 && { dhcpServers }),
      ...(routers.length > 0 && { routers }),
      ...(own !== NONE && { own }),
      ...(via !== NONE && { via }),
    };
  },
};
const ruleItem = record<RuleItem>({
  kind: field(0, constant(ItemKind.Rule)),
  ...announced,
  rule: field(9, text(RULE_TEXT_CHARS_MAX, 1)),
});
const labelsItem = record<LabelsItem>({
  kind: field(0, constant(ItemKind.Labels)),
  ...station,
  labels: field(9, text(LABELS_TEXT_CHARS_MAX, 1)),
});
const sliceItem = withoutHostBits(
  record<SliceItem>({
    kind: field(0, constant(ItemKind.Slice)),
    ...announced,
    address: field(4, ipv4Address),
    length: field(5, prefixLength),
  }),
);
const item: SkippingCodec<Item> = {
  encode(value) {
    switch (value.kind) {
      case ItemKind.Peer:
        return peerItem.encode(value);
      case ItemKind.Mac:
        return macItem.encode(value);
      case ItemKind.MacAddress:
        return macAddressItem.encode(value);
      case ItemKind.Prefix:
        return prefixItem.encode(value);
      case ItemKind.Prefix6:
        return prefix6Item.encode(value);
      case ItemKind.FloodMember:
        return floodMemberItem.encode(value);
      case ItemKind.Vtep:
        return vtepItem.encode(value);
      case ItemKind.MacAddress6:
        return macAddress6Item.encode(value);
      case ItemKind.StickyMac:
        return stickyMacItem.encode(value);
      case ItemKind.Rule:
        return ruleItem.encode(value);
      case ItemKind.Labels:
        return labelsItem.encode(value);
      case ItemKind.Slice:
        return sliceItem.encode(value);
    }
  },
  decode(value) {
    switch (kindOf(value)) {
      case ItemKind.Peer:
        return peerItem.decode(value);
      case ItemKind.Mac:
        return macItem.decode(value);
      case ItemKind.MacAddress:
        return macAddressItem.decode(value);
      case ItemKind.Prefix:
        return prefixItem.decode(value);
      case ItemKind.Prefix6:
        return prefix6Item.decode(value);
      case ItemKind.FloodMember:
        return floodMemberItem.decode(value);
      case ItemKind.Vtep:
        return vtepItem.decode(value);
      case ItemKind.MacAddress6:
        return macAddress6Item.decode(value);
      case ItemKind.StickyMac:
        return stickyMacItem.decode(value);
      case ItemKind.Rule:
        return ruleItem.decode(value);
      case ItemKind.Labels:
        return labelsItem.decode(value);
      case ItemKind.Slice:
        return sliceItem.decode(value);
      default:
        return undefined;
    }
  },
};

const block = record<Block>({
  publicKey: field(1, bytes(PUBLIC_KEY_BYTES)),
  epoch: field(2, uint(EPOCH_MAX)),
  sequence: field(3, uint(SEQUENCE_MAX, 1)),
  live: field(4, ranges),
  left: field(5, flag, false),
  items: field<readonly Item[]>(6, list(item, ITEMS_PER_BLOCK_MAX)),
});

/**
 * The bytes to sign. Throws {@link GossipFormatError} for a block that {@link decodeBlock} would
 * refuse.
 */
export function encodeBlock(value: Block): Uint8Array {
  const body = toBytes(block.encode(checkLive(value)));
  if (body.length > BLOCK_BYTES_MAX) refuse('bound', `a block of ${body.length} bytes`);
  return body;
}

/**
 * Reads the body of a block. What it finds shares no memory with `body`. It does not look at the
 * signature. Throws {@link GossipFormatError}.
 */
export function decodeBlock(body: Uint8Array): Block {
  if (body.length > BLOCK_BYTES_MAX) refuse('bound', `a block of ${body.length} bytes`);
  return checkLive(block.decode(fromBytes(body)));
}

function checkLive(value: Block): Block {
  const last = value.live[value.live.length - 1];
  if (last !== undefined && last[1] >= value.sequence) {
    refuse('ranges', `block ${value.sequence} names block ${last[1]}`);
  }
  return value;
}

/** Bytes of a block's body, for packing: of one without items, and what each item adds. */
export function blockBytes(value: Block): number {
  return cborBytes(block.encode(value));
}

/** Bytes that an item adds to a body (the 24th adds one more, to the count of them). */
export function itemBytes(value: Item): number {
  return cborBytes(item.encode(value));
}
