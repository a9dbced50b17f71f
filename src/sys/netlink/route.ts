/** IPv4 addresses, routes, neighbours and forwarding entries. @module */
import { codeOf } from '../../errors.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { formatMac } from '../../net/mac.ts';
import {
  AF_BRIDGE,
  AF_INET,
  ANSWER_PROTOCOL,
  addressHeader,
  IFA,
  IFLA,
  type InterfaceAddress,
  linkHeader,
  MessageWriter,
  NDA,
  type NeighbourRecord,
  NUD_NOARP,
  neighbourHeader,
  type RouteRecord,
  RouteType,
  type RouteTypeName,
  RTA,
  RTAX_MTU,
  RTM,
  readAddress,
  readNeighbour,
  readRoute,
  routeHeader,
} from './codec.ts';
import { indexOf } from './link.ts';
import {
  NetlinkError,
  type NetlinkSocket,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from './socket.ts';

const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_GLOBAL = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;
const RT_SCOPE_NOWHERE = 255;
const NUD_REACHABLE = 0x02;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 2;
const NTF_MASTER = 4;

export type AddressOptions = {
  /** u32; absent = none. */
  broadcast?: number;
  scope?: 'global' | 'link' | 'host';
  /** At most 15 bytes, beginning with the device's name. */
  label?: string;
};
/** A route to add or delete; absent fields are not sent. `dev` is a name or ifindex. */
export type RouteSpec = {
  dst: { address: number; length: number };
  via?: number;
  dev?: string | number;
  src?: number;
  table?: number;
  metric?: number;
  /** Path MTU in bytes. */
  mtu?: number;
  type?: RouteTypeName;
  /** rtm_protocol; 4 (static) unless given. */
  protocol?: number;
};

const addressScopes = { global: RT_SCOPE_GLOBAL, link: RT_SCOPE_LINK, host: RT_SCOPE_HOST };

export async function listAddresses(
  socket: NetlinkSocket,
  ref?: string | number,
): Promise<InterfaceAddress[]> {
  const index = ref === undefined ? 0 : await indexOf(socket, ref);
  const header = addressHeader(0, 0, 0);
  const addresses = await socket.dump('list addresses', RTM.GETADDR, header, readAddress);
  return index === 0 ? addresses : addresses.filter((address) => address.index === index);
}

export async function changeAddress(
  socket: NetlinkSocket,
  action: 'add' | 'delete',
  ref: string | number,
  address: number,
  length: number,
  options: AddressOptions,
): Promise<void> {
  const operation = `${action} address ${formatIpv4(address)}/${length} on '${ref}'`;
  const index = await indexOf(socket, ref);
  const writer = new MessageWriter(
    addressHeader(index, length, addressScopes[options.scope ?? 'global']),
  );
  writer.be32(IFA.LOCAL, address).be32(IFA.ADDRESS, address);
  if (options.broadcast !== undefined) writer.be32(IFA.BROADCAST, options.broadcast);
  if (options.label !== undefined) writer.text(IFA.LABEL, options.label);
  const add = action === 'add';
  await socket.request(
    operation,
    add ? RTM.NEWADDR : RTM.DELADDR,
    add ? NLM_F_CREATE | NLM_F_EXCL : 0,
    writer.build(),
  );
}

function emptyRoute(): Buffer {
  return routeHeader({ length: 0, table: 0, protocol: 0, scope: 0, type: 0 });
}

export async function listRoutes(socket: NetlinkSocket): Promise<RouteRecord[]> {
  return socket.dump('list routes', RTM.GETROUTE, emptyRoute(), readRoute);
}

export async function routeTo(socket: NetlinkSocket, address: number): Promise<RouteRecord> {
  const operation = `find the route to ${formatIpv4(address)}`;
  const header = routeHeader({ length: 32, table: 0, protocol: 0, scope: 0, type: 0 });
  const body = new MessageWriter(header).be32(RTA.DST, address).build();
  const messages = await socket.request(operation, RTM.GETROUTE, 0, body);
  const route = messages.flatMap((message) => readRoute(message.payload) ?? [])[0];
  if (route === undefined) throw new NetlinkError(operation, 'ENETUNREACH');
  return route;
}

export async function changeRoute(
  socket: NetlinkSocket,
  action: 'add' | 'replace' | 'delete',
  spec: RouteSpec,
): Promise<void> {
  const { dst } = spec;
  const operation = `${action} route ${formatIpv4(dst.address)}/${dst.length}${
    spec.dev === undefined ? '' : ` dev '${spec.dev}'`
  }`;
  const table = spec.table ?? RT_TABLE_MAIN;
  const type = spec.type ?? 'unicast';
  const onLink = type === 'unicast' && spec.via === undefined;
  const adds = action !== 'delete';
  // On deletion NOWHERE matches any scope, and type and protocol 0 match any (fib_table_delete).
  let scope: number = RT_SCOPE_NOWHERE;
  if (adds) scope = onLink || type === 'broadcast' ? RT_SCOPE_LINK : RT_SCOPE_GLOBAL;
  if (adds && type === 'local') scope = RT_SCOPE_HOST;
  const header = routeHeader({
    length: dst.length,
    table,
    protocol: spec.protocol ?? (adds ? RTPROT_STATIC : 0),
    scope,
    type: adds || spec.type !== undefined ? RouteType[type] : 0,
  });
  const writer = new MessageWriter(header).be32(RTA.DST, dst.address).u32(RTA.TABLE, table);
  if (spec.via !== undefined) writer.be32(RTA.GATEWAY, spec.via);
  if (spec.dev !== undefined) writer.u32(RTA.OIF, await indexOf(socket, spec.dev));
  if (spec.src !== undefined) writer.be32(RTA.PREFSRC, spec.src);
  if (spec.metric !== undefined) writer.u32(RTA.PRIORITY, spec.metric);
  const mtu = spec.mtu;
  if (mtu !== undefined) writer.nested(RTA.METRICS, (metrics) => metrics.u32(RTAX_MTU, mtu));
  const flags = {
    add: NLM_F_CREATE | NLM_F_EXCL,
    replace: NLM_F_CREATE | NLM_F_REPLACE,
    delete: 0,
  };
  const message = adds ? RTM.NEWROUTE : RTM.DELROUTE;
  await socket.request(operation, message, flags[action], writer.build());
}

export async function listNeighbours(
  socket: NetlinkSocket,
  bridge: boolean,
): Promise<NeighbourRecord[]> {
  // A dump of AF_BRIDGE wants ifinfomsg length (16) on old kernels; ndmsg is taken by all we met.
  const header = neighbourHeader(bridge ? AF_BRIDGE : AF_INET, 0, 0, 0);
  const operation = bridge ? 'list forwarding entries' : 'list neighbours';
  return socket.dump(operation, RTM.GETNEIGH, header, readNeighbour);
}

/** What a bridge knows of a MAC, undefined where it knows nothing. */
export async function bridgeEntryOf(
  socket: NetlinkSocket,
  bridge: number,
  mac: number,
): Promise<NeighbourRecord | undefined> {
  const operation = `look up ${formatMac(mac)} in bridge ${bridge}`;
  const header = neighbourHeader(AF_BRIDGE, 0, 0, 0);
  const body = new MessageWriter(header).mac(NDA.LLADDR, mac).u32(NDA.MASTER, bridge).build();
  try {
    const messages = await socket.request(operation, RTM.GETNEIGH, 0, body);
    const entry = messages.flatMap((message) => readNeighbour(message.payload) ?? [])[0];
    if (entry !== undefined) return entry;
  } catch (error) {
    // Kernels before 5.0 cannot look up one entry.
    if (!['ENOENT', 'EOPNOTSUPP'].includes(codeOf(error))) throw error;
  }
  // It may be there under a VLAN, of which the look-up knows only none at all.
  const entries = await listBridgeEntries(socket, bridge);
  return entries.find((entry) => entry.mac === mac);
}

/** The forwarding entries of one bridge: the kernel leaves the others' out. */
export async function listBridgeEntries(
  socket: NetlinkSocket,
  bridge: number,
): Promise<NeighbourRecord[]> {
  const body = new MessageWriter(linkHeader(0, 0, 0, AF_BRIDGE)).u32(IFLA.MASTER, bridge).build();
  const operation = 'list forwarding entries';
  const entries = await socket.dump(operation, RTM.GETNEIGH, body, readNeighbour);
  return entries.filter(({ master }) => master === bridge);
}

export async function addNeighbour(
  socket: NetlinkSocket,
  ref: string | number,
  address: number,
  mac: number,
): Promise<void> {
  const index = await indexOf(socket, ref);
  const header = neighbourHeader(AF_INET, index, NUD_PERMANENT, 0);
  const body = new MessageWriter(header).be32(NDA.DST, address).mac(NDA.LLADDR, mac).build();
  const operation = `add neighbour ${formatIpv4(address)} on '${ref}'`;
  await socket.request(operation, RTM.NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body);
}

export async function deleteNeighbour(
  socket: NetlinkSocket,
  ref: string | number,
  address: number,
): Promise<void> {
  const index = await indexOf(socket, ref);
  const body = new MessageWriter(neighbourHeader(AF_INET, index, 0, 0)).be32(NDA.DST, address);
  const operation = `delete neighbour ${formatIpv4(address)} on '${ref}'`;
  await socket.request(operation, RTM.DELNEIGH, 0, body.build());
}

/** What is known of one neighbour, undefined where there is none. */
async function neighbourOf(
  socket: NetlinkSocket,
  index: number,
  address: number,
): Promise<NeighbourRecord | undefined> {
  const body = new MessageWriter(neighbourHeader(AF_INET, index, 0, 0)).be32(NDA.DST, address);
  const operation = `look up neighbour ${formatIpv4(address)}`;
  try {
    const messages = await socket.request(operation, RTM.GETNEIGH, 0, body.build());
    return messages.flatMap((message) => readNeighbour(message.payload) ?? [])[0];
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Has a bridge answer ARP for an address with `mac`: a neighbour of ours, which no packet changes and which
 * does not keep others from the table. What somebody else has written down stays. Whether it is there.
 */
export async function addAnswer(
  socket: NetlinkSocket,
  bridge: number,
  address: number,
  mac: number,
): Promise<boolean> {
  const there = await neighbourOf(socket, bridge, address);
  const isWritten = there !== undefined && (there.state & (NUD_PERMANENT | NUD_NOARP)) !== 0;
  if (isWritten && there.protocol !== ANSWER_PROTOCOL) return false;
  const header = neighbourHeader(AF_INET, bridge, NUD_NOARP, 0);
  const writer = new MessageWriter(header).be32(NDA.DST, address).mac(NDA.LLADDR, mac);
  const body = writer.u8(NDA.PROTOCOL, ANSWER_PROTOCOL).build();
  const operation = `have bridge ${bridge} answer for ${formatIpv4(address)}`;
  await socket.request(operation, RTM.NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body);
  return true;
}

/** Takes an answer back; what is not ours stays. */
export async function deleteAnswer(
  socket: NetlinkSocket,
  bridge: number,
  address: number,
): Promise<void> {
  const there = await neighbourOf(socket, bridge, address);
  if (there?.protocol === ANSWER_PROTOCOL) await deleteNeighbour(socket, bridge, address);
}

/** The answers that a bridge has of ours. */
export async function listAnswers(
  socket: NetlinkSocket,
  bridge: number,
): Promise<NeighbourRecord[]> {
  const all = await listNeighbours(socket, false);
  return all.filter(({ index, protocol }) => index === bridge && protocol === ANSWER_PROTOCOL);
}

async function fdbBody(
  socket: NetlinkSocket,
  ref: string | number,
  mac: number,
  dst: number,
): Promise<Buffer> {
  const index = await indexOf(socket, ref);
  const header = neighbourHeader(AF_BRIDGE, index, NUD_PERMANENT | NUD_NOARP, NTF_SELF);
  return new MessageWriter(header).mac(NDA.LLADDR, mac).be32(NDA.DST, dst).build();
}

export async function addFdb(
  socket: NetlinkSocket,
  ref: string | number,
  mac: number,
  dst: number,
): Promise<void> {
  const operation = `add forwarding entry to ${formatIpv4(dst)} on '${ref}'`;
  const body = await fdbBody(socket, ref, mac, dst);
  // Several destinations are allowed for the all-zero MAC only (the flood list).
  const flags = NLM_F_CREATE | (mac === 0 ? NLM_F_APPEND : NLM_F_REPLACE);
  await socket.request(operation, RTM.NEWNEIGH, flags, body);
}

export async function deleteFdb(
  socket: NetlinkSocket,
  ref: string | number,
  mac: number,
  dst: number,
): Promise<void> {
  const operation = `delete forwarding entry to ${formatIpv4(dst)} on '${ref}'`;
  await socket.request(operation, RTM.DELNEIGH, 0, await fdbBody(socket, ref, mac, dst));
}

export async function hasBridgeMac(
  socket: NetlinkSocket,
  ref: string | number,
  mac: number,
): Promise<boolean> {
  const index = await indexOf(socket, ref);
  const header = neighbourHeader(AF_BRIDGE, 0, 0, 0);
  const body = new MessageWriter(header).mac(NDA.LLADDR, mac).u32(NDA.MASTER, index).build();
  try {
    const messages = await socket.request('look up a forwarding entry', RTM.GETNEIGH, 0, body);
    return messages.some((message) => {
      const entry = readNeighbour(message.payload);
      // One that a port has learned is somebody else's use of the address.
      return entry?.index === index && (entry.state & NUD_PERMANENT) !== 0;
    });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    if (error.code === 'ENOENT') return false;
    if (error.code === 'EOPNOTSUPP' || error.code === 'EINVAL') return true;
    throw error;
  }
}

export async function addBridgeMac(
  socket: NetlinkSocket,
  ref: string | number,
  mac: number,
): Promise<void> {
  const index = await indexOf(socket, ref);
  const header = neighbourHeader(AF_BRIDGE, index, NUD_PERMANENT, NTF_SELF);
  const body = new MessageWriter(header).mac(NDA.LLADDR, mac).build();
  // Replaces what a port may have learned meanwhile.
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  await socket.request(`add its own MAC to bridge '${ref}'`, RTM.NEWNEIGH, flags, body);
}

export async function deleteBridgeMac(
  socket: NetlinkSocket,
  ref: string | number,
  mac: number,
): Promise<void> {
  const index = await indexOf(socket, ref);
  const header = neighbourHeader(AF_BRIDGE, index, 0, NTF_SELF);
  const body = new MessageWriter(header).mac(NDA.LLADDR, mac).build();
  await socket.request(`delete its own MAC of bridge '${ref}'`, RTM.DELNEIGH, 0, body);
}

/**
 * Says that a bridge has a MAC behind a port, until it is learned elsewhere or grows old.
 * @param only `unknown`: one that it knows stays where it is
 */
export async function pointBridge(
  socket: NetlinkSocket,
  port: number,
  mac: number,
  only?: 'unknown',
): Promise<void> {
  const header = neighbourHeader(AF_BRIDGE, port, NUD_REACHABLE, NTF_MASTER);
  const body = new MessageWriter(header).mac(NDA.LLADDR, mac).build();
  const flags = NLM_F_CREATE | (only === undefined ? NLM_F_REPLACE : NLM_F_EXCL);
  try {
    await socket.request(`point ${formatMac(mac)} to a port`, RTM.NEWNEIGH, flags, body);
  } catch (error) {
    if (only === undefined || codeOf(error) !== 'EEXIST') throw error;
  }
}
