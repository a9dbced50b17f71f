/**
 * The IPv4 routing table where it may have a million entries: asked for one entry, or walked through
 * without keeping it. What the kernel can filter it filters (NETLINK_GET_STRICT_CHK, Linux 4.20).
 * @module
 */
import { codeOf } from '../../errors.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { contains, type Prefix } from '../../net/prefix.ts';
import { EAGAIN, EINTR, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from '../libc/constants.ts';
import { addressOf, check, errno, errnoName, libc } from '../libc/libc.ts';
import {
  AF_INET,
  MessageWriter,
  type RouteRecord,
  RTA,
  RTM,
  readAttributes,
  readRoute,
  routeHeader,
} from './codec.ts';
import { AF_NETLINK, NETLINK_ROUTE } from './raw.ts';
import {
  HEADER_BYTES,
  LITTLE,
  NetlinkError,
  type NetlinkSocket,
  NLM_F_DUMP,
  NLM_F_REQUEST,
} from './socket.ts';

const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_F_FIB_MATCH = 0x2000;
const RTM_GETNEXTHOP = 106;
const RTMSG_BYTES = 12;
/** Of linux/nexthop.h; a group is a list of {id u32, weight u8, 3 bytes}. */
const NHA = { ID: 1, GROUP: 2, OIF: 5, GATEWAY: 6 } as const;
const NHMSG_BYTES = 8;
const GROUP_ENTRY_BYTES = 8;
const NEXTHOPS_MAX = 64;
const SCAN_BUFFER_BYTES = 64 * 1024;
/** Datagrams that are read before others of this process have their turn. */
const SCAN_BURST = 16;
/** A walk that takes longer is given up, ms: a million routes take a second. */
const SCAN_MS_MAX = 8000;

/** Which routes are walked through; what is absent, all. */
export type RouteFilter = { table?: number; oif?: number };

/** What a walk found, and whether it came to the end of the table. */
export type RouteScan = { routes: RouteRecord[]; whole: boolean };

/** What to do with a route: keep it or not, or end the walk. */
type Judge = (destination: Prefix) => 'keep' | 'skip' | 'end';

function request(filter: RouteFilter): Buffer {
  const { table = 0, oif } = filter;
  const header = routeHeader({ length: 0, table, protocol: 0, scope: 0, type: 0 });
  const writer = new MessageWriter(header);
  if (table !== 0) writer.u32(RTA.TABLE, table);
  if (oif !== undefined) writer.u32(RTA.OIF, oif);
  const body = writer.build();
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, bytes.length, LITTLE);
  view.setUint16(4, RTM.GETROUTE, LITTLE);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, LITTLE);
  view.setUint32(8, 1, LITTLE);
  body.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** A socket for one walk, in the namespace that the thread is in. */
export function openScan(): number {
  const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = check('socket', libc.socket(AF_NETLINK, type, NETLINK_ROUTE));
  const on = new Int32Array([1]);
  // Older kernels do not know it, and tell everything: the walk filters for itself too.
  libc.setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, addressOf(on), 4);
  return fd;
}

/** The destination of the route message whose rtmsg is at `at`. */
function destinationOf(view: DataView, at: number, end: number): Prefix {
  const length = view.getUint8(at + 1);
  for (let offset = at + RTMSG_BYTES; offset + 8 <= end; ) {
    const bytes = view.getUint16(offset, LITTLE);
    if (bytes < 4) break;
    if (view.getUint16(offset + 2, LITTLE) === RTA.DST) {
      return { address: view.getUint32(offset + 4), length };
    }
    offset += (bytes + 3) & ~3;
  }
  return { address: 0, length };
}

/**
 * Walks through the table, keeping what `judge` says. Nobody else waits: the walk pauses after every
 * few datagrams. A table that changes meanwhile is walked on.
 * @param fd of {@link openScan}; closed in the end
 * @throws NetlinkError
 */
async function scan(fd: number, filter: RouteFilter, judge: Judge): Promise<RouteScan> {
  const routes: RouteRecord[] = [];
  const buffer = Buffer.alloc(SCAN_BUFFER_BYTES);
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const deadline = performance.now() + SCAN_MS_MAX;
  const fail = (code: string): never => {
    throw new NetlinkError('walk through the routes', code);
  };
  try {
    const message = request(filter);
    if (libc.write(fd, addressOf(message), message.length) < 0) fail(errnoName(errno()));
    for (let reads = 1; ; reads++) {
      const length = libc.read(fd, addressOf(buffer), buffer.length);
      if (length < 0 && ![EAGAIN, EINTR].includes(errno())) fail(errnoName(errno()));
      for (let at = 0; at + HEADER_BYTES <= length; ) {
        const bytes = view.getUint32(at, LITTLE);
        const type = view.getUint16(at + 4, LITTLE);
        if (bytes < HEADER_BYTES || at + bytes > length) break;
        const payload = at + HEADER_BYTES;
        if (type === NLMSG_DONE || type === NLMSG_ERROR) {
          const error = bytes >= HEADER_BYTES + 4 ? -view.getInt32(payload, LITTLE) : 0;
          if (error > 0) fail(errnoName(error));
          return { routes, whole: true };
        }
        if (type === RTM.NEWROUTE && view.getUint8(payload) === AF_INET) {
          const what = judge(destinationOf(view, payload, at + bytes));
          if (what === 'end') return { routes, whole: true };
          const route =
            what === 'keep' ? readRoute(buffer.subarray(payload, at + bytes)) : undefined;
          if (route !== undefined && isWanted(route, filter)) routes.push(route);
        }
        at += (bytes + 3) & ~3;
      }
      if (performance.now() > deadline) return { routes, whole: false };
      if (length < 0 || reads % SCAN_BURST === 0) await new Promise(setImmediate);
    }
  } finally {
    libc.close(fd);
  }
}

function isWanted({ table, oif }: RouteRecord, filter: RouteFilter): boolean {
  return (
    (filter.table === undefined || table === filter.table) &&
    (filter.oif === undefined || oif === filter.oif)
  );
}

/** Routes that lie inside `overlay` or contain it, default routes aside, of all tables. */
export function routesMeeting(fd: number, overlay: Prefix): Promise<RouteScan> {
  return scan(fd, {}, (destination) => {
    const { address, length } = destination;
    if (length >= overlay.length) return contains(overlay, address) ? 'keep' : 'skip';
    return length > 0 && contains(destination, overlay.address) ? 'keep' : 'skip';
  });
}

/** Routes of one table out of one device. */
export async function routesOut(fd: number, filter: Required<RouteFilter>): Promise<RouteRecord[]> {
  return (await scan(fd, filter, () => 'keep')).routes;
}

/** Default routes of a table: the walk begins with them, and ends right behind. */
export async function defaultRoutes(fd: number, table: number): Promise<RouteRecord[]> {
  const found = await scan(fd, { table }, ({ address, length }) => {
    if (address !== 0) return 'end';
    return length === 0 ? 'keep' : 'skip';
  });
  return found.routes;
}

/**
 * The entry of the table that decides about packets to `address` out of the device `oif`, undefined
 * where there is none. (Linux 4.13)
 */
export async function routeMatching(
  socket: NetlinkSocket,
  address: number,
  oif: number,
): Promise<RouteRecord | undefined> {
  const header = routeHeader({ length: 32, table: 0, protocol: 0, scope: 0, type: 0 });
  if (LITTLE) header.writeUInt32LE(RTM_F_FIB_MATCH, 8);
  else header.writeUInt32BE(RTM_F_FIB_MATCH, 8);
  const body = new MessageWriter(header).be32(RTA.DST, address).u32(RTA.OIF, oif).build();
  const operation = `find the route to ${formatIpv4(address)}`;
  try {
    const messages = await socket.request(operation, RTM.GETROUTE, 0, body);
    return messages.flatMap((message) => readRoute(message.payload) ?? [])[0];
  } catch (error) {
    if (['ENETUNREACH', 'EHOSTUNREACH', 'EINVAL', 'EACCES', 'ENODEV'].includes(codeOf(error))) {
      return undefined;
    }
    throw error;
  }
}

/** Where the next hops of the object `id` lead to, those of a group one by one. */
export async function nextHops(socket: NetlinkSocket, id: number): Promise<RouteRecord['hops']> {
  const hops: RouteRecord['hops'] = [];
  const ids = [id];
  for (const next of ids) {
    if (ids.length > NEXTHOPS_MAX) break;
    const header = Buffer.alloc(NHMSG_BYTES);
    const body = new MessageWriter(header).u32(NHA.ID, next).build();
    const messages = await socket.request(`look up next hop ${next}`, RTM_GETNEXTHOP, 0, body);
    for (const { payload } of messages) {
      const attributes = readAttributes(payload, NHMSG_BYTES);
      const read32 = (bytes: Buffer, at = 0): number =>
        LITTLE ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
      const group = attributes.get(NHA.GROUP);
      for (let at = 0; group !== undefined && at + GROUP_ENTRY_BYTES <= group.length; ) {
        ids.push(read32(group, at));
        at += GROUP_ENTRY_BYTES;
      }
      const oif = attributes.get(NHA.OIF);
      const gateway = attributes.get(NHA.GATEWAY);
      if (oif === undefined || group !== undefined) continue;
      hops.push({ oif: read32(oif), via: gateway?.length === 4 ? gateway.readUInt32BE(0) : 0 });
    }
  }
  return hops;
}
