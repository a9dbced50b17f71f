/**
 * rtnetlink messages as bytes: attributes out and in, and the four tables we read.
 * Fixed headers and lengths are in host byte order, addresses in network order (rtnetlink(7)).
 * IPv4 only: everything of another family is skipped by the caller.
 * @module
 */
import { LITTLE } from './socket.ts';
import { u32Bytes } from './writer.ts';

export { MessageWriter } from './writer.ts';

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_BRIDGE = 7;

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWNETCONF: 80,
} as const;

/** Attribute numbers of linux/if_link.h, if_addr.h, rtnetlink.h and neighbour.h. */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  TXQLEN: 13,
  OPERSTATE: 16,
  LINKINFO: 18,
  IFALIAS: 20,
  STATS64: 23,
  EXT_MASK: 29,
  NET_NS_FD: 28,
  CARRIER: 33,
  GSO_MAX_SEGS: 40,
  GSO_MAX_SIZE: 41,
  GRO_MAX_SIZE: 58,
  GSO_IPV4_MAX_SIZE: 63,
  GRO_IPV4_MAX_SIZE: 64,
} as const;
export const INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
/** Of a port of a bridge, linux/if_link.h. */
export const BRIDGE_PORT = { PROXYARP_WIFI: 12 } as const;
export const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4 } as const;
export const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  NH_ID: 30,
} as const;
export const RTAX_MTU = 2;
export const NDA = { DST: 1, LLADDR: 2, CACHEINFO: 3, MASTER: 9, PROTOCOL: 12 } as const;
/** The neighbour needs no ARP, and no packet changes it (linux/neighbour.h). */
export const NUD_NOARP = 0x40;
/** Whose neighbours ours are, as `ip neigh` shows it: what bears it, and nothing else, is taken back. */
export const ANSWER_PROTOCOL = 250;
/** In struct nda_cacheinfo: how long ago it was heard of, in ticks of the kernel's clock for users. */
const CACHEINFO_UPDATED = 8;
/** USER_HZ is 100 wherever Node runs. */
const TICK_MS = 10;

/** A network device as the kernel lists it. Sizes in bytes, `address` a 48-bit MAC (0 if it has none). */
export type Link = {
  index: number;
  name: string;
  /** `bridge`, `veth`, `vxlan`, `tun`, …; empty for physical devices and loopback. */
  kind: string;
  up: boolean;
  /** Carrier present (IFF_LOWER_UP). */
  carrier: boolean;
  loopback: boolean;
  mtu: number;
  /** ifindex of the bridge it is a port of, 0 if none. */
  master: number;
  address: number;
  alias: string;
  txQueueLen: number;
  gsoMaxSize: number;
  gsoMaxSegs: number;
  gsoIpv4MaxSize: number;
  groMaxSize: number;
  /** ARPHRD_* hardware type: 1 Ethernet, 65534 none (TUN), 772 loopback. */
  hardwareType: number;
  /** All zero in a list of links. */
  statistics: LinkStatistics;
  /** Of a port of a bridge: the bridge answers ARP for the neighbours that it knows behind it. */
  answersArp?: boolean;
  /** Of a VXLAN device: its UDP port, and whether it is of all networks of that port. */
  vxlan?: { port: number; external: boolean };
  /** Of a device of IP in IP: whether programs say where each packet goes. */
  ipip?: { external: boolean };
};
export type LinkStatistics = {
  rxPackets: number;
  txPackets: number;
  rxBytes: number;
  txBytes: number;
  rxErrors: number;
  txErrors: number;
  rxDropped: number;
  txDropped: number;
};
/** An IPv4 address on a device. Addresses are u32 in host order; scope 0 global, 253 link, 254 host. */
export type InterfaceAddress = {
  index: number;
  address: number;
  length: number;
  broadcast: number;
  label: string;
  scope: number;
  secondary: boolean;
  /** The far end of a point-to-point address, 0 where it is an ordinary one. */
  peer: number;
};
export const RouteType = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const;
export type RouteTypeName = keyof typeof RouteType;
/** An IPv4 route. 0 stands for absent: no gateway, no preferred source, metric 0, mtu not locked. */
export type RouteRecord = {
  dst: { address: number; length: number };
  via: number;
  /** Outgoing ifindex, 0 for unreachable and blackhole routes. */
  oif: number;
  src: number;
  table: number;
  metric: number;
  mtu: number;
  type: RouteTypeName | 'other';
  protocol: number;
  scope: number;
  /** Where it leads to when there are several ways; empty when `oif` and `via` say it all. */
  hops: { oif: number; via: number }[];
  /** Id of a next-hop object, 0 if none. */
  nextHopId: number;
};
/** A neighbour or, with `bridge`, a forwarding entry of a bridge or VXLAN device. */
export type NeighbourRecord = {
  index: number;
  address: number;
  mac: number;
  state: number;
  flags: number;
  bridge: boolean;
  /** ifindex of the bridge that a forwarding entry is of, 0 where it does not say. */
  master: number;
  /** How long ago it last said something, ms; 0 where the kernel does not say. */
  quietMs: number;
  /** Who wrote it (`ip neigh … protocol N`), 0 = nobody said. */
  protocol: number;
};

/** struct ifinfomsg: family, type, index, flags, change mask. */
export function linkHeader(index: number, flags = 0, change = 0, family = AF_UNSPEC): Buffer {
  return Buffer.concat([
    Buffer.of(family, 0, 0, 0),
    u32Bytes(index),
    u32Bytes(flags),
    u32Bytes(change),
  ]);
}
/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
export function addressHeader(index: number, length: number, scope: number): Buffer {
  return Buffer.concat([Buffer.of(AF_INET, length, 0, scope), u32Bytes(index)]);
}
/** struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags. */
export function routeHeader(fields: {
  length: number;
  table: number;
  protocol: number;
  scope: number;
  type: number;
}): Buffer {
  const { length, table, protocol, scope, type } = fields;
  // Tables above 255 travel in RTA_TABLE; 252 is RT_TABLE_COMPAT.
  const shortTable = table > 255 ? 252 : table;
  return Buffer.concat([
    Buffer.of(AF_INET, length, 0, 0, shortTable, protocol, scope, type),
    u32Bytes(0),
  ]);
}
/** struct ndmsg: family, index, state, flags, type. */
export function neighbourHeader(
  family: number,
  index: number,
  state: number,
  flags: number,
): Buffer {
  const state16 = Buffer.alloc(2);
  if (LITTLE) state16.writeUInt16LE(state);
  else state16.writeUInt16BE(state);
  return Buffer.concat([Buffer.of(family, 0, 0, 0), u32Bytes(index), state16, Buffer.of(flags, 0)]);
}

/** The attributes of a message by number; of a repeated one the last. `borrowed:` from `bytes`. */
export function readAttributes(bytes: Buffer, start: number): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = start; offset + 4 <= bytes.length; ) {
    const length = view.getUint16(offset, LITTLE);
    if (length < 4 || offset + length > bytes.length) break;
    // The two top bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER.
    const type = view.getUint16(offset + 2, LITTLE) & 0x3fff;
    attributes.set(type, bytes.subarray(offset + 4, offset + length));
    offset += (length + 3) & ~3;
  }
  return attributes;
}

export function readU32(bytes: Buffer | undefined, offset = 0): number {
  if (bytes === undefined || bytes.length < offset + 4) return 0;
  return LITTLE ? bytes.readUInt32LE(offset) : bytes.readUInt32BE(offset);
}
export function readU64(bytes: Buffer | undefined, offset: number): number {
  if (bytes === undefined || bytes.length < offset + 8) return 0;
  return Number(LITTLE ? bytes.readBigUInt64LE(offset) : bytes.readBigUInt64BE(offset));
}
function readBe32(bytes: Buffer | undefined): number {
  return bytes !== undefined && bytes.length === 4 ? bytes.readUInt32BE(0) : 0;
}
export function readMac(bytes: Buffer | undefined): number {
  return bytes !== undefined && bytes.length === 6 ? bytes.readUIntBE(0, 6) : 0;
}
export function readText(bytes: Buffer | undefined): string {
  if (bytes === undefined) return '';
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
}

/** RTM_NEWADDR / RTM_DELADDR → address; undefined for IPv6. */
export function readAddress(payload: Buffer): InterfaceAddress | undefined {
  if (payload.length < 8 || payload.readUInt8(0) !== AF_INET) return undefined;
  const attributes = readAttributes(payload, 8);
  const local = readBe32(attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS));
  const peer = readBe32(attributes.get(IFA.ADDRESS));
  return {
    index: readU32(payload, 4),
    // On point-to-point devices IFA_ADDRESS is the peer; IFA_LOCAL is always ours.
    address: local,
    length: payload.readUInt8(1),
    broadcast: readBe32(attributes.get(IFA.BROADCAST)),
    label: readText(attributes.get(IFA.LABEL)),
    scope: payload.readUInt8(3),
    secondary: (payload.readUInt8(2) & 1) !== 0,
    peer: peer === local ? 0 : peer,
  };
}

const routeTypeNames = new Map<number, RouteTypeName>(
  Object.entries(RouteType).map(([name, number]) => [number, name as RouteTypeName]),
);

const RTNEXTHOP_BYTES = 8;

/** RTA_MULTIPATH: a list of struct rtnexthop {length u16, flags, hops, ifindex}, each with attributes. */
function readHops(bytes: Buffer | undefined): RouteRecord['hops'] {
  const hops: RouteRecord['hops'] = [];
  for (let at = 0; bytes !== undefined && at + RTNEXTHOP_BYTES <= bytes.length; ) {
    const length = LITTLE ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
    if (length < RTNEXTHOP_BYTES || at + length > bytes.length) break;
    const attributes = readAttributes(bytes.subarray(at, at + length), RTNEXTHOP_BYTES);
    hops.push({ oif: readU32(bytes, at + 4), via: readBe32(attributes.get(RTA.GATEWAY)) });
    at += (length + 3) & ~3;
  }
  return hops;
}

/** RTM_NEWROUTE / RTM_DELROUTE → route; undefined for other families and cached clones. */
export function readRoute(payload: Buffer): RouteRecord | undefined {
  if (payload.length < 12 || payload.readUInt8(0) !== AF_INET) return undefined;
  const attributes = readAttributes(payload, 12);
  const metrics = attributes.get(RTA.METRICS);
  return {
    dst: { address: readBe32(attributes.get(RTA.DST)), length: payload.readUInt8(1) },
    via: readBe32(attributes.get(RTA.GATEWAY)),
    oif: readU32(attributes.get(RTA.OIF)),
    src: readBe32(attributes.get(RTA.PREFSRC)),
    table: readU32(attributes.get(RTA.TABLE)) || payload.readUInt8(4),
    metric: readU32(attributes.get(RTA.PRIORITY)),
    mtu: metrics === undefined ? 0 : readU32(readAttributes(metrics, 0).get(RTAX_MTU)),
    type: routeTypeNames.get(payload.readUInt8(7)) ?? 'other',
    protocol: payload.readUInt8(5),
    scope: payload.readUInt8(6),
    hops: readHops(attributes.get(RTA.MULTIPATH)),
    nextHopId: readU32(attributes.get(RTA.NH_ID)),
  };
}

/** RTM_NEWNEIGH / RTM_DELNEIGH → neighbour; undefined for IPv6. */
export function readNeighbour(payload: Buffer): NeighbourRecord | undefined {
  const family = payload.length < 12 ? -1 : payload.readUInt8(0);
  if (family !== AF_INET && family !== AF_BRIDGE) return undefined;
  const attributes = readAttributes(payload, 12);
  return {
    index: readU32(payload, 4),
    address: readBe32(attributes.get(NDA.DST)),
    mac: readMac(attributes.get(NDA.LLADDR)),
    state: LITTLE ? payload.readUInt16LE(8) : payload.readUInt16BE(8),
    flags: payload.readUInt8(10),
    bridge: family === AF_BRIDGE,
    master: readU32(attributes.get(NDA.MASTER)),
    quietMs: readU32(attributes.get(NDA.CACHEINFO), CACHEINFO_UPDATED) * TICK_MS,
    protocol: attributes.get(NDA.PROTOCOL)?.readUInt8(0) ?? 0,
  };
}

/** RTM_NEWNETCONF → the device's ifindex; 0 when it has none. */
export function readNetconfIndex(payload: Buffer): number {
  // struct netconfmsg: family; NETCONFA_IFINDEX is the first attribute.
  return readU32(readAttributes(payload, 4).get(1)) | 0;
}
