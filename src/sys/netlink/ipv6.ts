/**
 * What a router with an IPv6 underlay asks of rtnetlink: this host's own addresses, and the device of
 * its default route.
 * @module
 */
import {
  hostBytes,
  hostOfBytes,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { AF_INET6 } from '../libc/constants.ts';
import { addressHeader, IFA, RTA, RTM, readAttributes, readU32, routeHeader } from './codec.ts';
import { NetlinkError, type NetlinkSocket } from './socket.ts';
import { MessageWriter } from './writer.ts';

/** An IPv6 address on a device; scope 0 global, 253 link, 254 host. */
export type Ipv6Address = {
  index: number;
  address: UnderlayAddress;
  length: number;
  scope: number;
  /** It will not stay, or is on its way out: a temporary one (RFC 8981), a deprecated one. */
  secondary: boolean;
};

const IFA_FLAGS = 8;
const IFA_F_TEMPORARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_OPTIMISTIC = 0x04;
/** An address of the global internet; a default route leads there. */
const SOMEWHERE = Buffer.from(hostBytes(parseHostAddress('2000::')));

/**
 * RTM_NEWADDR / RTM_DELADDR → address; undefined for IPv4, and for one that may not be used: not yet
 * (duplicate address detection, RFC 4862 §5.4) or never, because another host has it.
 */
export function readIpv6Address(payload: Buffer): Ipv6Address | undefined {
  if (payload.length < 8 || payload.readUInt8(0) !== AF_INET6) return undefined;
  const attributes = readAttributes(payload, 8);
  const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
  if (bytes?.length !== 16) return undefined;
  const long = attributes.get(IFA_FLAGS);
  const flags = long === undefined ? payload.readUInt8(2) : readU32(long);
  const isTentative = (flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) === IFA_F_TENTATIVE;
  if (isTentative || (flags & IFA_F_DADFAILED) !== 0) return undefined;
  return {
    index: readU32(payload, 4),
    address: hostOfBytes(bytes),
    length: payload.readUInt8(1),
    scope: payload.readUInt8(3),
    secondary: (flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED)) !== 0,
  };
}

/** All that are ready for use; none where the kernel has no IPv6. */
export async function listIpv6Addresses(socket: NetlinkSocket): Promise<Ipv6Address[]> {
  const header = ofIpv6(addressHeader(0, 0, 0));
  return socket.dump('list IPv6 addresses', RTM.GETADDR, header, readIpv6Address);
}

/** Index of the device that leads to the rest of the world, 0 where none does. */
export async function ipv6WayOut(socket: NetlinkSocket): Promise<number> {
  const header = ofIpv6(routeHeader({ length: 128, table: 0, protocol: 0, scope: 0, type: 0 }));
  const body = new MessageWriter(header).bytes(RTA.DST, SOMEWHERE).build();
  try {
    const messages = await socket.request('find the IPv6 default route', RTM.GETROUTE, 0, body);
    for (const { type, payload } of messages) {
      if (type !== RTM.NEWROUTE || payload.length < 12) continue;
      return readU32(readAttributes(payload, 12).get(RTA.OIF));
    }
  } catch (error) {
    // No route, or no IPv6 at all: that is the answer.
    if (!(error instanceof NetlinkError)) throw error;
  }
  return 0;
}

/** The same header for the other family. */
function ofIpv6(header: Buffer): Buffer {
  header.writeUInt8(AF_INET6, 0);
  return header;
}
