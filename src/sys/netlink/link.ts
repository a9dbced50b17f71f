/** Network devices: list, make, change, delete. @module */
import { BRIDGE_PORT, IFLA, INFO, type Link, linkHeader, MessageWriter, RTM } from './codec.ts';
import { readLink } from './link-codec.ts';
import { NetlinkError, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from './socket.ts';

const IFF_UP = 1;
/** Counters are half of what the kernel says of a link. */
const RTEXT_FILTER_SKIP_STATS = 8;
const INTERFACE_NAME_BYTES_MAX = 15;
const ALIAS_BYTES_MAX = 255;
const VETH_INFO_PEER = 1;
// linux/if_link.h, IFLA_BR_* and IFLA_VXLAN_*.
const BR = { FORWARD_DELAY: 1, AGEING_TIME: 4, STP_STATE: 5, MCAST_SNOOPING: 23 } as const;
const VXLAN = {
  ID: 1,
  LINK: 3,
  LOCAL: 4,
  TTL: 5,
  LEARNING: 7,
  PORT: 15,
  UDP_CSUM: 18,
  COLLECT_METADATA: 25,
} as const;

/** IFLA_IPTUN_COLLECT_METADATA. */
const IPIP_COLLECT_METADATA = 19;

export type BridgeOptions = {
  address?: number;
  mtu?: number;
  alias?: string;
  up?: boolean;
};
export type VethOptions = {
  /** Descriptor of the namespace the peer is born in. */
  peerNetnsFd?: number;
  mtu?: number;
  address?: number;
  peerAddress?: number;
};
export type VxlanOptions = {
  vni: number;
  /** UDP destination port. */
  port: number;
  /** Source address of the outer header, u32. */
  local: number;
  mtu?: number;
  /** Learn VTEPs from received frames; off unless asked, as a fan knows them all. */
  learning?: boolean;
  /** Device whose route and MTU are used. */
  dev?: string | number;
  ttl?: number;
  udpChecksum?: boolean;
  address?: number;
};
/** What {@link setLink} may change; sizes in bytes, `master` an ifindex or name, 0 to release. */
export type LinkSettings = {
  up?: boolean;
  mtu?: number;
  master?: string | number;
  address?: number;
  alias?: string;
  name?: string;
  /** Moves the device into this namespace; it then has to be addressed through a socket there. */
  netnsFd?: number;
  txQueueLen?: number;
  gsoMaxSize?: number;
  gsoMaxSegs?: number;
  gsoIpv4MaxSize?: number;
  groMaxSize?: number;
  groIpv4MaxSize?: number;
  /** Of a port: its bridge answers ARP for the neighbours that it knows behind it. */
  answersArp?: boolean;
};

/** @throws NetlinkError EINVAL for a name that no interface can have. */
export function checkName(operation: string, name: string): string {
  const bytes = Buffer.byteLength(name);
  const usable = bytes >= 1 && bytes <= INTERFACE_NAME_BYTES_MAX && !/[\s/:%\0]/.test(name);
  if (!usable || name === '.' || name === '..') {
    throw new NetlinkError(operation, 'EINVAL', `'${name}' cannot be an interface name`);
  }
  return name;
}

function described(ref: string | number): string {
  return typeof ref === 'number' ? `link ${ref}` : `link '${ref}'`;
}

/** All links, without their statistics. */
export async function listLinks(socket: NetlinkSocket): Promise<Link[]> {
  const body = new MessageWriter(linkHeader(0)).u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS).build();
  return socket.dump('list links', RTM.GETLINK, body, readLink);
}

export async function getLink(socket: NetlinkSocket, ref: string | number): Promise<Link> {
  const operation = `look up ${described(ref)}`;
  const writer = new MessageWriter(linkHeader(typeof ref === 'number' ? ref : 0));
  if (typeof ref === 'string') writer.text(IFLA.IFNAME, checkName(operation, ref));
  const messages = await socket.request(operation, RTM.GETLINK, 0, writer.build());
  const link = messages.flatMap((message) => readLink(message.payload) ?? [])[0];
  if (link === undefined) throw new NetlinkError(operation, 'ENODEV');
  return link;
}

export async function findLink(
  socket: NetlinkSocket,
  ref: string | number,
): Promise<Link | undefined> {
  try {
    return await getLink(socket, ref);
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENODEV') return undefined;
    throw error;
  }
}

/** The ifindex behind a name; a number passes through. @throws NetlinkError ENODEV. */
export async function indexOf(socket: NetlinkSocket, ref: string | number): Promise<number> {
  return typeof ref === 'number' ? ref : (await getLink(socket, ref)).index;
}

async function create(
  socket: NetlinkSocket,
  name: string,
  kind: string,
  data: (writer: MessageWriter) => void,
  common: { address?: number; mtu?: number; alias?: string; up?: boolean },
): Promise<void> {
  const operation = `create ${kind} '${name}'`;
  checkName(operation, name);
  const up = common.up === true ? IFF_UP : 0;
  const writer = new MessageWriter(linkHeader(0, up, up)).text(IFLA.IFNAME, name);
  if (common.mtu !== undefined) writer.u32(IFLA.MTU, common.mtu);
  if (common.address !== undefined) writer.mac(IFLA.ADDRESS, common.address);
  writer.nested(IFLA.LINKINFO, (info) => {
    info.text(INFO.KIND, kind).nested(INFO.DATA, data);
  });
  await socket.request(operation, RTM.NEWLINK, NLM_F_CREATE | NLM_F_EXCL, writer.build());
  // IFLA_IFALIAS is honoured at creation by recent kernels only.
  if (common.alias !== undefined) await setLink(socket, name, { alias: common.alias });
}

export async function createBridge(
  socket: NetlinkSocket,
  name: string,
  options: BridgeOptions,
): Promise<void> {
  // No spanning tree and no forwarding delay, so that a port forwards as soon as it is there;
  // no snooping, since a fan floods no multicast and has no querier.
  const data = (writer: MessageWriter) => {
    writer.u32(BR.FORWARD_DELAY, 0).u32(BR.STP_STATE, 0).u8(BR.MCAST_SNOOPING, 0);
  };
  await create(socket, name, 'bridge', data, options);
}

export async function createVeth(
  socket: NetlinkSocket,
  name: string,
  peerName: string,
  options: VethOptions,
): Promise<void> {
  checkName(`create veth '${name}'`, peerName);
  const data = (writer: MessageWriter) => {
    writer.nested(
      VETH_INFO_PEER,
      (peer) => {
        peer.text(IFLA.IFNAME, peerName);
        if (options.mtu !== undefined) peer.u32(IFLA.MTU, options.mtu);
        if (options.peerAddress !== undefined) peer.mac(IFLA.ADDRESS, options.peerAddress);
        if (options.peerNetnsFd !== undefined) peer.u32(IFLA.NET_NS_FD, options.peerNetnsFd);
      },
      linkHeader(0),
    );
  };
  await create(socket, name, 'veth', data, options);
}

export async function createVxlan(
  socket: NetlinkSocket,
  name: string,
  options: VxlanOptions,
): Promise<void> {
  const dev = options.dev === undefined ? 0 : await indexOf(socket, options.dev);
  const data = (writer: MessageWriter) => {
    writer.u32(VXLAN.ID, options.vni).be32(VXLAN.LOCAL, options.local);
    writer.be16(VXLAN.PORT, options.port).u8(VXLAN.LEARNING, options.learning === true ? 1 : 0);
    if (dev !== 0) writer.u32(VXLAN.LINK, dev);
    if (options.ttl !== undefined) writer.u8(VXLAN.TTL, options.ttl);
    if (options.udpChecksum !== undefined) writer.u8(VXLAN.UDP_CSUM, options.udpChecksum ? 1 : 0);
  };
  await create(socket, name, 'vxlan', data, options);
}

/**
 * A VXLAN device of all networks of a port, for programs that say with each packet where it goes and
 * judge where it came from (`external`). There is at most one for each port.
 */
export async function createExternalVxlan(
  socket: NetlinkSocket,
  name: string,
  options: { port: number; mtu: number },
): Promise<void> {
  const data = (writer: MessageWriter) => {
    writer.be16(VXLAN.PORT, options.port).u8(VXLAN.LEARNING, 0).u8(VXLAN.COLLECT_METADATA, 1);
  };
  await create(socket, name, 'vxlan', data, { mtu: options.mtu });
}

/** The same for IP in IP, of all hosts; there is at most one. */
export async function createExternalIpip(
  socket: NetlinkSocket,
  name: string,
  options: { mtu: number },
): Promise<void> {
  const data = (writer: MessageWriter) => writer.bytes(IPIP_COLLECT_METADATA, Buffer.alloc(0));
  await create(socket, name, 'ipip', data, options);
}

export async function setLink(
  socket: NetlinkSocket,
  ref: string | number,
  change: LinkSettings,
): Promise<void> {
  const operation = `change ${described(ref)} (${Object.keys(change).join(', ')})`;
  const index = await indexOf(socket, ref);
  const writer = new MessageWriter(
    linkHeader(index, change.up === true ? IFF_UP : 0, change.up === undefined ? 0 : IFF_UP),
  );
  if (change.name !== undefined) writer.text(IFLA.IFNAME, checkName(operation, change.name));
  if (change.mtu !== undefined) writer.u32(IFLA.MTU, change.mtu);
  if (change.master !== undefined) {
    writer.u32(IFLA.MASTER, await indexOf(socket, change.master));
  }
  if (change.address !== undefined) writer.mac(IFLA.ADDRESS, change.address);
  if (change.alias !== undefined) {
    if (Buffer.byteLength(change.alias) > ALIAS_BYTES_MAX) {
      throw new NetlinkError(operation, 'EINVAL', `alias longer than ${ALIAS_BYTES_MAX} bytes`);
    }
    writer.text(IFLA.IFALIAS, change.alias);
  }
  if (change.netnsFd !== undefined) writer.u32(IFLA.NET_NS_FD, change.netnsFd);
  if (change.txQueueLen !== undefined) writer.u32(IFLA.TXQLEN, change.txQueueLen);
  if (change.gsoMaxSize !== undefined) writer.u32(IFLA.GSO_MAX_SIZE, change.gsoMaxSize);
  if (change.gsoMaxSegs !== undefined) writer.u32(IFLA.GSO_MAX_SEGS, change.gsoMaxSegs);
  if (change.gsoIpv4MaxSize !== undefined) {
    writer.u32(IFLA.GSO_IPV4_MAX_SIZE, change.gsoIpv4MaxSize);
  }
  if (change.groMaxSize !== undefined) writer.u32(IFLA.GRO_MAX_SIZE, change.groMaxSize);
  if (change.groIpv4MaxSize !== undefined) {
    writer.u32(IFLA.GRO_IPV4_MAX_SIZE, change.groIpv4MaxSize);
  }
  const { answersArp } = change;
  if (answersArp !== undefined) {
    writer.nested(IFLA.LINKINFO, (info) => {
      info.text(INFO.SLAVE_KIND, 'bridge').nested(INFO.SLAVE_DATA, (port) => {
        port.u8(BRIDGE_PORT.PROXYARP_WIFI, answersArp ? 1 : 0);
      });
    });
  }
  // NEWLINK, not SETLINK: the kernel treats both alike for an existing index.
  await socket.request(operation, RTM.NEWLINK, 0, writer.build());
}

export async function deleteLink(socket: NetlinkSocket, ref: string | number): Promise<void> {
  const index = await indexOf(socket, ref);
  await socket.request(`delete ${described(ref)}`, RTM.DELLINK, 0, linkHeader(index));
}
