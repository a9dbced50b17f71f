/**
 * IPv6 addresses and routes, as far as a fan makes, looks for and takes back its own. Addresses are four
 * words (net/prefix6.ts).
 * @module
 */
import { codeOf } from '../../errors.ts';
import {
  bytesOfIpv6,
  formatPrefix6,
  type Ipv6,
  type Prefix6,
  wordsOfIpv6,
} from '../../net/prefix6.ts';
import {
  IFA,
  MessageWriter,
  NDA,
  neighbourHeader,
  RouteType,
  RTA,
  RTAX_MTU,
  RTM,
  readAttributes,
  readU32,
} from './codec.ts';
import { indexOf } from './link.ts';
import {
  LITTLE,
  NetlinkError,
  type NetlinkSocket,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from './socket.ts';
import { u32Bytes } from './writer.ts';

const AF_INET6 = 10;
/** linux/if_addr.h: attribute and bits of an address's flags. */
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;
const NUD_PERMANENT = 0x80;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_GLOBAL = 0;
const RT_SCOPE_LINK = 253;
const RTM_F_FIB_MATCH = 0x2000;
const ROUTE_HEADER_BYTES = 12;
const ADDRESS_HEADER_BYTES = 8;

/** An IPv6 address on a device. */
export type InterfaceAddress6 = { index: number; address: Ipv6; length: number };
/** An IPv6 route; `oif` 0 where it leads out of no device, `metric` 0 unless it says one. */
export type Route6 = {
  dst: Prefix6;
  oif: number;
  table: number;
  metric: number;
  isUnicast: boolean;
};
/** How the kernel goes to an address now: device, gateway in hex ('' = none), the route's MTU (0 = none). */
export type Way6 = { oif: number; via: string; mtu: number };
/** A route to add or delete: out of a device, without a gateway. */
export type RouteSpec6 = { dst: Prefix6; dev: string | number };

function addressHeader(index: number, length: number, scope: number): Buffer {
  return Buffer.concat([Buffer.of(AF_INET6, length, 0, scope), u32Bytes(index)]);
}

function routeHeader(length: number, isNew: boolean, flags = 0): Buffer {
  const [protocol, type] = isNew ? [RTPROT_STATIC, RouteType.unicast] : [0, 0];
  const table = flags === 0 ? RT_TABLE_MAIN : 0;
  return Buffer.concat([
    Buffer.of(AF_INET6, length, 0, 0, table, protocol, RT_SCOPE_GLOBAL, type),
    u32Bytes(flags),
  ]);
}

/** All IPv6 addresses. */
export async function listAddresses6(socket: NetlinkSocket): Promise<InterfaceAddress6[]> {
  const header = addressHeader(0, 0, 0);
  return socket.dump('list IPv6 addresses', RTM.GETADDR, header, readAddress6);
}

function readAddress6(payload: Buffer): InterfaceAddress6 | undefined {
  if (payload.length < ADDRESS_HEADER_BYTES || payload.readUInt8(0) !== AF_INET6) return undefined;
  const attributes = readAttributes(payload, ADDRESS_HEADER_BYTES);
  const address = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
  if (address?.length !== 16) return undefined;
  const index = LITTLE ? payload.readUInt32LE(4) : payload.readUInt32BE(4);
  return { index, address: wordsOfIpv6(address), length: payload.readUInt8(1) };
}

/**
 * Adds or deletes an address. It is ours by arithmetic, so nobody is asked whether it is taken, and no
 * route comes with it.
 * @throws NetlinkError EEXIST, EADDRNOTAVAIL; EACCES or EINVAL where the device has no IPv6
 */
export async function changeAddress6(
  socket: NetlinkSocket,
  action: 'add' | 'delete',
  ref: string | number,
  address: Ipv6,
  length: number,
): Promise<void> {
  const operation = `${action} address ${formatPrefix6({ address, length })} on '${ref}'`;
  const index = await indexOf(socket, ref);
  const isLocal = address[0] >>> 22 === 0xfe80 >>> 6;
  const header = addressHeader(index, length, isLocal ? RT_SCOPE_LINK : RT_SCOPE_GLOBAL);
  const writer = new MessageWriter(header).bytes(IFA.ADDRESS, Buffer.from(bytesOfIpv6(address)));
  if (action === 'delete') {
    await socket.request(operation, RTM.DELADDR, 0, writer.build());
    return;
  }
  const flags = IFA_F_PERMANENT | IFA_F_NODAD | (isLocal ? 0 : IFA_F_NOPREFIXROUTE);
  const body = writer.u32(IFA_FLAGS, flags).build();
  await socket.request(operation, RTM.NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body);
}

/** A permanent neighbour on a device; `mac` is a 48-bit number. */
export async function addNeighbour6(
  socket: NetlinkSocket,
  ref: string | number,
  address: Ipv6,
  mac: number,
): Promise<void> {
  const operation = `add neighbour ${formatPrefix6({ address, length: 128 })} on '${ref}'`;
  const header = neighbourHeader(AF_INET6, await indexOf(socket, ref), NUD_PERMANENT, 0);
  const body = new MessageWriter(header)
    .bytes(NDA.DST, Buffer.from(bytesOfIpv6(address)))
    .mac(NDA.LLADDR, mac)
    .build();
  await socket.request(operation, RTM.NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body);
}

/** RTM_NEWROUTE / RTM_DELROUTE → route; undefined for other families. */
export function readRoute6(payload: Buffer): Route6 | undefined {
  if (payload.length < ROUTE_HEADER_BYTES || payload.readUInt8(0) !== AF_INET6) return undefined;
  const attributes = readAttributes(payload, ROUTE_HEADER_BYTES);
  const word = (bytes: Buffer | undefined): number => {
    if (bytes === undefined || bytes.length < 4) return 0;
    return LITTLE ? bytes.readUInt32LE(0) : bytes.readUInt32BE(0);
  };
  const destination = attributes.get(RTA.DST);
  return {
    dst: {
      address: destination?.length === 16 ? wordsOfIpv6(destination) : [0, 0, 0, 0],
      length: payload.readUInt8(1),
    },
    oif: word(attributes.get(RTA.OIF)),
    table: word(attributes.get(RTA.TABLE)) || payload.readUInt8(4),
    metric: word(attributes.get(RTA.PRIORITY)),
    isUnicast: payload.readUInt8(7) === RouteType.unicast,
  };
}

/** All IPv6 routes of all tables, clones of single connections left out. */
export async function listRoutes6(socket: NetlinkSocket): Promise<Route6[]> {
  return socket.dump('list IPv6 routes', RTM.GETROUTE, routeHeader(0, false), readRoute6);
}

/** @throws NetlinkError EEXIST, ESRCH */
export async function changeRoute6(
  socket: NetlinkSocket,
  action: 'add' | 'delete',
  { dst, dev }: RouteSpec6,
): Promise<void> {
  const operation = `${action} route ${formatPrefix6(dst)} dev '${dev}'`;
  const isNew = action === 'add';
  const body = new MessageWriter(routeHeader(dst.length, isNew))
    .bytes(RTA.DST, Buffer.from(bytesOfIpv6(dst.address)))
    .u32(RTA.TABLE, RT_TABLE_MAIN)
    .u32(RTA.OIF, await indexOf(socket, dev))
    .build();
  const flags = isNew ? NLM_F_CREATE | NLM_F_EXCL : 0;
  await socket.request(operation, isNew ? RTM.NEWROUTE : RTM.DELROUTE, flags, body);
}

/**
 * The entry of the table that decides about packets to `address`, out of the device `oif` where one is named;
 * undefined where there is none.
 */
export async function routeMatching6(
  socket: NetlinkSocket,
  address: Ipv6,
  oif?: number,
): Promise<Route6 | undefined> {
  const operation = `find the route to ${formatPrefix6({ address, length: 128 })}`;
  const body = new MessageWriter(routeHeader(128, false, RTM_F_FIB_MATCH)).bytes(
    RTA.DST,
    Buffer.from(bytesOfIpv6(address)),
  );
  if (oif !== undefined) body.u32(RTA.OIF, oif);
  try {
    const messages = await socket.request(operation, RTM.GETROUTE, 0, body.build());
    return messages.flatMap(({ payload }) => readRoute6(payload) ?? [])[0];
  } catch (error) {
    if (['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL', 'EACCES', 'ENODEV'].includes(codeOf(error))) {
      return undefined;
    }
    throw error;
  }
}

/** The way that the kernel takes to an IPv6 address. @throws NetlinkError ENETUNREACH, EHOSTUNREACH */
export async function routeTo6(socket: NetlinkSocket, address: Ipv6): Promise<Way6> {
  const operation = `find the way to ${formatPrefix6({ address, length: 128 })}`;
  const body = new MessageWriter(routeHeader(128, false)).bytes(
    RTA.DST,
    Buffer.from(bytesOfIpv6(address)),
  );
  const [message] = await socket.request(operation, RTM.GETROUTE, 0, body.build());
  if (message === undefined) throw new NetlinkError(operation, 'ENETUNREACH');
  const attributes = readAttributes(message.payload, ROUTE_HEADER_BYTES);
  const metrics = attributes.get(RTA.METRICS);
  return {
    oif: readU32(attributes.get(RTA.OIF)),
    via: attributes.get(RTA.GATEWAY)?.toString('hex') ?? '',
    mtu: metrics === undefined ? 0 : readU32(readAttributes(metrics, 0).get(RTAX_MTU)),
  };
}
