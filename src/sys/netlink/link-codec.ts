/**
 * Network devices as rtnetlink lists them. A link has some sixty attributes and a host may have hundreds of
 * links, which are read often: what is not of interest costs no memory here.
 * @module
 */
import {
  AF_UNSPEC,
  BRIDGE_PORT,
  IFLA,
  INFO,
  type Link,
  type LinkStatistics,
  readAttributes,
  readMac,
  readText,
  readU32,
  readU64,
} from './codec.ts';
import { LITTLE } from './socket.ts';

const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFF_LOWER_UP = 1 << 16;

const KIND_VXLAN = 'vxlan';
const KIND_IPIP = 'ipip';
const KIND_BRIDGE = 'bridge';
const VXLAN = { PORT: 15, COLLECT_METADATA: 25 } as const;
/** IFLA_IPTUN_COLLECT_METADATA: there or not. */
const IPIP_COLLECT_METADATA = 19;

/** The statistics of a link whose message has none. */
const NO_STATISTICS: LinkStatistics = {
  ...{ rxPackets: 0, txPackets: 0, rxBytes: 0, txBytes: 0 },
  ...{ rxErrors: 0, txErrors: 0, rxDropped: 0, txDropped: 0 },
};

/** struct rtnl_link_stats64 begins with these eight counters. */
function readStatistics(bytes: Buffer): LinkStatistics {
  return {
    rxPackets: readU64(bytes, 0),
    txPackets: readU64(bytes, 8),
    rxBytes: readU64(bytes, 16),
    txBytes: readU64(bytes, 24),
    rxErrors: readU64(bytes, 32),
    txErrors: readU64(bytes, 40),
    rxDropped: readU64(bytes, 48),
    txDropped: readU64(bytes, 56),
  };
}

type LinkNumber = Extract<
  keyof Link,
  'mtu' | 'master' | 'txQueueLen' | `gso${string}` | `gro${string}`
>;
/** Attributes of a link that are one u32, by their number. */
const LINK_NUMBERS: (LinkNumber | undefined)[] = Array.from({ length: 1 + IFLA.GRO_IPV4_MAX_SIZE });
LINK_NUMBERS[IFLA.MTU] = 'mtu';
LINK_NUMBERS[IFLA.MASTER] = 'master';
LINK_NUMBERS[IFLA.TXQLEN] = 'txQueueLen';
LINK_NUMBERS[IFLA.GSO_MAX_SIZE] = 'gsoMaxSize';
LINK_NUMBERS[IFLA.GSO_MAX_SEGS] = 'gsoMaxSegs';
LINK_NUMBERS[IFLA.GSO_IPV4_MAX_SIZE] = 'gsoIpv4MaxSize';
LINK_NUMBERS[IFLA.GRO_MAX_SIZE] = 'groMaxSize';

/** RTM_NEWLINK / RTM_DELLINK → Link; undefined for bridge-port messages (family AF_BRIDGE). */
export function readLink(payload: Buffer): Link | undefined {
  if (payload.length < 16 || payload.readUInt8(0) !== AF_UNSPEC) return undefined;
  const flags = readU32(payload, 8);
  const link: Link = {
    ...{ index: readU32(payload, 4), name: '', kind: '', alias: '' },
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    ...{ mtu: 0, master: 0, address: 0, txQueueLen: 0, gsoMaxSize: 0, gsoMaxSegs: 0 },
    ...{ gsoIpv4MaxSize: 0, groMaxSize: 0, statistics: NO_STATISTICS },
    hardwareType: LITTLE ? payload.readUInt16LE(2) : payload.readUInt16BE(2),
  };
  for (let at = 16; at + 4 <= payload.length; ) {
    const length = LITTLE ? payload.readUInt16LE(at) : payload.readUInt16BE(at);
    if (length < 4 || at + length > payload.length) break;
    const type = (LITTLE ? payload.readUInt16LE(at + 2) : payload.readUInt16BE(at + 2)) & 0x3fff;
    readLinkAttribute(link, type, payload, at + 4, at + length);
    at += (length + 3) & ~3;
  }
  return link;
}

function readLinkAttribute(
  link: Link,
  type: number,
  payload: Buffer,
  start: number,
  end: number,
): void {
  const number = LINK_NUMBERS[type];
  if (number !== undefined) {
    if (end - start >= 4) link[number] = readU32(payload, start);
    return;
  }
  switch (type) {
    case IFLA.IFNAME:
      link.name = readText(payload.subarray(start, end));
      return;
    case IFLA.IFALIAS:
      link.alias = readText(payload.subarray(start, end));
      return;
    case IFLA.ADDRESS:
      link.address = readMac(payload.subarray(start, end));
      return;
    case IFLA.LINKINFO:
      readInfo(link, readAttributes(payload.subarray(start, end), 0));
      return;
    case IFLA.STATS64:
      link.statistics = readStatistics(payload.subarray(start, end));
  }
}

function readInfo(link: Link, info: Map<number, Buffer>): void {
  link.kind = readText(info.get(INFO.KIND));
  if (readText(info.get(INFO.SLAVE_KIND)) === KIND_BRIDGE) {
    const port = readAttributes(info.get(INFO.SLAVE_DATA) ?? Buffer.alloc(0), 0);
    link.answersArp = port.get(BRIDGE_PORT.PROXYARP_WIFI)?.readUInt8(0) === 1;
  }
  const data = info.get(INFO.DATA);
  if (data === undefined) return;
  if (link.kind === KIND_IPIP) {
    link.ipip = { external: readAttributes(data, 0).has(IPIP_COLLECT_METADATA) };
  }
  if (link.kind !== KIND_VXLAN) return;
  const attributes = readAttributes(data, 0);
  link.vxlan = {
    port: attributes.get(VXLAN.PORT)?.readUInt16BE(0) ?? 0,
    external: attributes.get(VXLAN.COLLECT_METADATA)?.readUInt8(0) === 1,
  };
}
