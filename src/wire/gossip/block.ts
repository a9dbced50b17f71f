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
  CAPABILITIES_MAX,
  ENCAPS_MAX,
  ENDPOINTS_MAX,
  EPOCH_MAX,
  INSTANCE_BYTES,
  ITEMS_PER_BLOCK_MAX,
  LABELS_TEXT_CHARS_MAX,
  NAME_CHARS_MAX,
  PUBLIC_KEY_BYTES,
  RANK_MAX,
  RECORD_FANS_MAX,
  RECORD_UNDERLAYS_MAX,
  RULE_TEXT_CHARS_MAX,
  SEQUENCE_MAX,
  SERVERS_MAX,
  VERSION_CHARS_MAX,
  VNIS_MAX,
} from './bounds.ts';
import {
  constant,
  fromBytes,
  hostAddress,
  type Ipv4Endpoint,
  type Ipv6Endpoint,
  ipv4Address,
  ipv4Endpoint,
  ipv6Endpoint,
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
  tuple,
  uint,
} from './fields.ts';
import { placed } from './placed.ts';
import {
  type AnnouncedEncap,
  type Block,
  EncapNumber,
  type Endpoint,
  type FanItem,
  type FloodMemberItem,
  type Item,
  ItemKind,
  type LabelsItem,
  type MacAddress6Item,
  type MacAddressItem,
  type MacItem,
  type PeerItem,
  type Prefix6Item,
  type PrefixItem,
  type RuleItem,
  type SliceItem,
  type StickyMacItem,
  type UnderlayItem,
  type VtepItem,
} from './types.ts';

const vni = uint(VNI_MAX);
const rank = uint(RANK_MAX);
const prefixLength = uint(32);

const encapNames = new Map(
  Object.entries(EncapNumber).map(([name, number]) => [number as number, name as AnnouncedEncap]),
);
const numberedEncap = tuple<{ number: number; port: number }>({ number: uint(0xffff), port });
/** [encapsulation's number, port]; encapsulations that are not known here are skipped. */
const encap: SkippingCodec<PeerItem['encaps'][number]> = {
  encode: (value) => numberedEncap.encode({ number: EncapNumber[value.encap], port: value.port }),
  decode(value) {
    const decoded = numberedEncap.decode(value);
    const name = encapNames.get(decoded.number);
    return name === undefined ? undefined : { encap: name, port: decoded.port };
  },
};

/** [address, length] without bits behind the length. */
const prefix = withoutHostBits(
  tuple<{ address: number; length: number }>({ address: ipv4Address, length: prefixLength }),
);

type Ipv4Fan = FanItem & { underlay: { address: number; length: number }; local: number };
type Ipv6Fan = FanItem & { underlay: { address: string; length: number }; local: string };
const fan: Codec<Ipv4Fan> = tuple({ overlay: prefix, underlay: prefix, local: ipv4Address });

/** [address, length] of IPv6 without bits behind the length. */
const ipv6Prefix = withoutIpv6HostBits(
  tuple<{ address: string; length: number }>({ address: ipv6Host, length: uint(128) }),
);
const ipv6Fan: Codec<Ipv6Fan> = tuple({
  overlay: prefix,
  underlay: ipv6Prefix,
  local: ipv6Host,
});

type Ipv4Way = UnderlayItem & {
  first: number;
  underlay: { address: number; length: number };
  local: number;
};
type Ipv6Way = UnderlayItem & {
  first: string;
  underlay: { address: string; length: number };
  local: string;
};
/** [first, underlay, local]. */
const way: Codec<Ipv4Way> = tuple({ first: ipv4Address, underlay: prefix, local: ipv4Address });
const ipv6Way: Codec<Ipv6Way> = tuple({ first: ipv6Host, underlay: ipv6Prefix, local: ipv6Host });

/**
 * A peer as it is written: what is of IPv6 has fields of its own, which a reader that knows only IPv4
 * skips, and which are not there where there is none of it.
 */
type WrittenPeer = Omit<PeerItem, 'endpoints' | 'fans' | 'underlays'> & {
  endpoints: Ipv4Endpoint[];
  fans: Ipv4Fan[];
  ipv6Endpoints: Ipv6Endpoint[];
  ipv6Fans: Ipv6Fan[];
  ways: Ipv4Way[];
  ipv6Ways: Ipv6Way[];
};
const NO_ENDPOINTS: Ipv6Endpoint[] = [];
const NO_FANS: Ipv6Fan[] = [];
const NO_WAYS: Ipv4Way[] = [];
const NO_IPV6_WAYS: Ipv6Way[] = [];

const writtenPeer = record<WrittenPeer>({
  kind: field(0, constant(ItemKind.Peer)),
  name: field(1, text(NAME_CHARS_MAX)),
  endpoints: field(2, list(ipv4Endpoint, ENDPOINTS_MAX)),
  encaps: field(3, list(encap, ENCAPS_MAX)),
  mtu: field(4, uint(0xffff)),
  vnis: field(5, list(vni, VNIS_MAX)),
  fans: field(6, list(fan, RECORD_FANS_MAX)),
  version: field(7, text(VERSION_CHARS_MAX)),
  capabilities: field(8, list(uint(0xffff), CAPABILITIES_MAX)),
  instance: field(9, bytes(INSTANCE_BYTES)),
  ipv6Endpoints: field(16, list(ipv6Endpoint, ENDPOINTS_MAX), NO_ENDPOINTS),
  ipv6Fans: field(17, list(ipv6Fan, RECORD_FANS_MAX), NO_FANS),
  ways: field(18, list(way, RECORD_UNDERLAYS_MAX), NO_WAYS),
  ipv6Ways: field(19, list(ipv6Way, RECORD_UNDERLAYS_MAX), NO_IPV6_WAYS),
});

const isIpv4Endpoint = (value: Endpoint): value is Ipv4Endpoint =>
  typeof value.address === 'number';
const isIpv6Endpoint = (value: Endpoint): value is Ipv6Endpoint =>
  typeof value.address === 'string';
const isIpv4Fan = ({ underlay, local }: FanItem): boolean =>
  typeof underlay.address === 'number' && typeof local === 'number';
const isIpv6Fan = ({ underlay, local }: FanItem): boolean =>
  typeof underlay.address === 'string' && typeof local === 'string';

const familiesOf = ({ first, underlay, local }: UnderlayItem): string[] =>
  [first, underlay.address, local].map((address) => typeof address);
const isIpv4Way = (value: UnderlayItem): value is Ipv4Way =>
  familiesOf(value).every((family) => family === 'number');
const isIpv6Way = (value: UnderlayItem): value is Ipv6Way =>
  familiesOf(value).every((family) => family === 'string');

/** At most `max` in all, whatever their families. */
function atMost<T>(values: T[], max: number): T[] {
  if (values.length > max) refuse('bound', `a list of ${values.length}`);
  return values;
}

const peerItem: Codec<PeerItem> = {
  encode({ endpoints, fans, underlays = [], ...others }) {
    const ipv6Endpoints = endpoints.filter(isIpv6Endpoint);
    const ipv4Fans = fans.filter((each): each is Ipv4Fan => isIpv4Fan(each));
    const ipv6Fans = fans.filter((each): each is Ipv6Fan => isIpv6Fan(each));
    atMost(endpoints, ENDPOINTS_MAX);
    atMost(fans, RECORD_FANS_MAX);
    if (ipv4Fans.length + ipv6Fans.length < fans.length) {
      refuse('field-type', 'a fan whose host is of another family than its underlay');
    }
    const [ways, ipv6Ways] = [underlays.filter(isIpv4Way), underlays.filter(isIpv6Way)];
    atMost(underlays, RECORD_UNDERLAYS_MAX);
    if (ways.length + ipv6Ways.length < underlays.length) {
      refuse('field-type', 'an underlay with addresses of both families');
    }
    return writtenPeer.encode({
      ...others,
      endpoints: endpoints.filter(isIpv4Endpoint),
      fans: ipv4Fans,
      ipv6Endpoints: ipv6Endpoints.length === 0 ? NO_ENDPOINTS : ipv6Endpoints,
      ipv6Fans: ipv6Fans.length === 0 ? NO_FANS : ipv6Fans,
      ways: ways.length === 0 ? NO_WAYS : ways,
      ipv6Ways: ipv6Ways.length === 0 ? NO_IPV6_WAYS : ipv6Ways,
    });
  },
  decode(value) {
    const { endpoints, fans, ipv6Endpoints, ipv6Fans, ways, ipv6Ways, ...others } =
      writtenPeer.decode(value);
    const underlays = atMost<UnderlayItem>([...ways, ...ipv6Ways], RECORD_UNDERLAYS_MAX);
    return {
      ...others,
      ...(underlays.length > 0 && { underlays }),
      endpoints: atMost<Endpoint>([...endpoints, ...ipv6Endpoints], ENDPOINTS_MAX),
      fans: atMost<FanItem>([...fans, ...ipv6Fans], RECORD_FANS_MAX),
    };
  },
};
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
