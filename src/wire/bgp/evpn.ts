/**
 * EVPN routes as NLRI: types 1 to 4 (RFC 7432 §7) and 5 (RFC 9136 §3.1). One route is a type, a
 * length and that many bytes, so what a reader does not know it steps over. The label fields hold
 * a VNI in all 24 bits where VXLAN is the encapsulation (RFC 8365 §5.1.3).
 * @module
 */
import { bitsOf, type Ip, isZeroIp, maskIp, readIp, writeIp } from './address.ts';
import type { ByteReader, Writer } from './bytes.ts';
import { Malformed } from './faults.ts';
import { EvpnType } from './iana.ts';

/**
 * RFC 4364 §4.2. Type 0 has an administrator of 16 bits and a number of 32; types 1 (IPv4) and 2
 * (AS of four octets) have 32 and 16, and so is an unknown type kept.
 */
export type RouteDistinguisher = {
  readonly type: number;
  readonly administrator: number;
  readonly assigned: number;
};

export const RD_BYTES = 8;
export const ESI_BYTES = 10;
/** No Ethernet segment: a single-homed site. `borrowed:` shared by all routes, never written. */
export const ESI_ZERO: Uint8Array = new Uint8Array(ESI_BYTES);
/** The only MAC length there is, bits. */
const MAC_BITS = 48;

type Common = { readonly rd: RouteDistinguisher };
/** Type 1: this segment is reachable here. */
export type AutoDiscoveryRoute = Common & {
  readonly type: typeof EvpnType.AutoDiscovery;
  readonly esi: Uint8Array;
  readonly tag: number;
  readonly label: number;
};
/** Type 2: a MAC (u48), alone or with an address. */
export type MacIpRoute = Common & {
  readonly type: typeof EvpnType.MacIp;
  readonly esi: Uint8Array;
  readonly tag: number;
  readonly mac: number;
  /** null = MAC only. */
  readonly ip: Ip | null;
  readonly label: number;
  /** Of the layer-3 network (symmetric IRB), null when there is none. */
  readonly label2: number | null;
};
/** Type 3: send me what is flooded. */
export type MulticastRoute = Common & {
  readonly type: typeof EvpnType.InclusiveMulticast;
  readonly tag: number;
  readonly originator: Ip;
};
/** Type 4: I am attached to this segment. */
export type SegmentRoute = Common & {
  readonly type: typeof EvpnType.EthernetSegment;
  readonly esi: Uint8Array;
  readonly originator: Ip;
};
/** Type 5: a prefix; `prefix` has no bit set behind `length`, `gateway` is of its family. */
export type PrefixRoute = Common & {
  readonly type: typeof EvpnType.IpPrefix;
  readonly esi: Uint8Array;
  readonly tag: number;
  readonly length: number;
  readonly prefix: Ip;
  readonly gateway: Ip;
  readonly label: number;
};
export type EvpnRoute =
  | AutoDiscoveryRoute
  | MacIpRoute
  | MulticastRoute
  | SegmentRoute
  | PrefixRoute;

/** The last one read: runs of routes have the same, and one object is enough for all of them. */
let lastRd: RouteDistinguisher = { type: 0, administrator: 0, assigned: 0 };

export function readRd(reader: ByteReader): RouteDistinguisher {
  const type = reader.u16();
  const administrator = type === 0 ? reader.u16() : reader.u32();
  const assigned = type === 0 ? reader.u32() : reader.u16();
  if (
    lastRd.type !== type ||
    lastRd.administrator !== administrator ||
    lastRd.assigned !== assigned
  ) {
    lastRd = { type, administrator, assigned };
  }
  return lastRd;
}

export function writeRd(writer: Writer, rd: RouteDistinguisher): void {
  writer.u16(rd.type);
  if (rd.type === 0) writer.u16(rd.administrator).u32(rd.assigned);
  else writer.u32(rd.administrator).u16(rd.assigned);
}

function readEsi(reader: ByteReader): Uint8Array {
  const start = reader.offset;
  if (reader.skipZeros(ESI_BYTES)) return ESI_ZERO;
  return reader.bytes.slice(start, start + ESI_BYTES);
}

function readMacIp(reader: ByteReader): EvpnRoute {
  const rd = readRd(reader);
  const esi = readEsi(reader);
  const tag = reader.u32();
  const macBits = reader.u8();
  if (macBits !== MAC_BITS) throw new Malformed(`a MAC of ${macBits} bits`);
  const mac = reader.u48();
  const ipBits = reader.u8();
  const ip = ipBits === 0 ? null : readIp(reader, ipBits);
  const label = reader.u24();
  const label2 = reader.left === 0 ? null : reader.u24();
  return { type: EvpnType.MacIp, rd, esi, tag, mac, ip, label, label2 };
}

/** Bytes of a type 5 with IPv4 and with IPv6: the length says the family (RFC 9136 §3.1). */
const PREFIX4_BYTES = 34;
const PREFIX6_BYTES = 58;

function readPrefix(reader: ByteReader): EvpnRoute {
  const size = reader.left;
  if (size !== PREFIX4_BYTES && size !== PREFIX6_BYTES) {
    throw new Malformed(`a type 5 of ${size} bytes`);
  }
  const bits = size === PREFIX4_BYTES ? 32 : 128;
  const rd = readRd(reader);
  const esi = readEsi(reader);
  const tag = reader.u32();
  const length = reader.u8();
  if (length > bits) throw new Malformed(`a prefix of ${length} bits`);
  const prefix = maskIp(readIp(reader, bits), length);
  const gateway = readIp(reader, bits);
  const label = reader.u24();
  return { type: EvpnType.IpPrefix, rd, esi, tag, length, prefix, gateway, label };
}

const READERS: Readonly<Record<number, (reader: ByteReader) => EvpnRoute>> = {
  [EvpnType.AutoDiscovery]: (reader) => ({
    type: EvpnType.AutoDiscovery,
    rd: readRd(reader),
    esi: readEsi(reader),
    tag: reader.u32(),
    label: reader.u24(),
  }),
  [EvpnType.MacIp]: readMacIp,
  [EvpnType.InclusiveMulticast]: (reader) => ({
    type: EvpnType.InclusiveMulticast,
    rd: readRd(reader),
    tag: reader.u32(),
    originator: readIp(reader, reader.u8()),
  }),
  [EvpnType.EthernetSegment]: (reader) => ({
    type: EvpnType.EthernetSegment,
    rd: readRd(reader),
    esi: readEsi(reader),
    originator: readIp(reader, reader.u8()),
  }),
  [EvpnType.IpPrefix]: readPrefix,
};

/**
 * Reads routes until the window ends. `skipped` counts those of a type that is not known here
 * (RFC 7606 §5.4: they are passed by).
 * @throws Malformed when a route is not what its type and length promise: then nothing behind it
 *   can be trusted either.
 */
export function readEvpnRoutes(reader: ByteReader): { routes: EvpnRoute[]; skipped: number } {
  const routes: EvpnRoute[] = [];
  let skipped = 0;
  while (reader.left > 0) {
    const type = reader.u8();
    const body = reader.sub(reader.u8());
    const read = READERS[type];
    if (read === undefined) {
      skipped++;
      continue;
    }
    const route = read(body);
    if (body.left > 0) throw new Malformed(`${body.left} bytes behind a route of type ${type}`);
    routes.push(route);
  }
  return { routes, skipped };
}

function writeBody(writer: Writer, route: EvpnRoute): void {
  writeRd(writer, route.rd);
  switch (route.type) {
    case EvpnType.AutoDiscovery:
      writer.bytes(route.esi).u32(route.tag).u24(route.label);
      return;
    case EvpnType.MacIp:
      writer.bytes(route.esi).u32(route.tag).u8(MAC_BITS).u48(route.mac);
      writer.u8(route.ip === null ? 0 : bitsOf(route.ip));
      if (route.ip !== null) writeIp(writer, route.ip);
      writer.u24(route.label);
      if (route.label2 !== null) writer.u24(route.label2);
      return;
    case EvpnType.InclusiveMulticast:
      writer.u32(route.tag).u8(bitsOf(route.originator));
      writeIp(writer, route.originator);
      return;
    case EvpnType.EthernetSegment:
      writer.bytes(route.esi).u8(bitsOf(route.originator));
      writeIp(writer, route.originator);
      return;
    case EvpnType.IpPrefix:
      writer.bytes(route.esi).u32(route.tag).u8(route.length);
      writeIp(writer, route.prefix);
      writeIp(writer, route.gateway);
      writer.u24(route.label);
      return;
  }
}

export function writeEvpnRoute(writer: Writer, route: EvpnRoute): void {
  writer.u8(route.type).counted(8, (body) => writeBody(body, route));
}

/**
 * Why a route that can be read may still not be used: it is withdrawn instead (RFC 9136 §3.2), or
 * ''. A withdrawal is not asked: its label and gateway mean nothing.
 */
export function contradictionOf(route: EvpnRoute): string {
  if (route.type !== EvpnType.IpPrefix) return '';
  const hasSegment = route.esi.some((byte) => byte !== 0);
  if (hasSegment && !isZeroIp(route.gateway)) return 'a type 5 with a segment and a gateway';
  return '';
}
