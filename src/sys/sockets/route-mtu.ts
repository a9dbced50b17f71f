/**
 * What our own host knows about the MTU of the way to another: asked at once, by plain system
 * calls, so that a process without an event loop can do it. A connected UDP socket's `IP_MTU` counts
 * routes with an MTU of their own (locked or not), other devices and IPsec (ip(7)); whether the
 * number was learned from ICMP an rtnetlink question tells (rtnetlink(7)).
 *
 * The process that asks may not open a socket once it reads packets: the rtnetlink one lives as long as
 * it, the others come with the endpoints (see addProbe). The numbers of rtnetlink stand here again because netlink-codec.ts brings the event loop's socket along.
 * @module
 */
import {
  AF_INET,
  AF_INET6,
  EINTR,
  IP_MTU,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from '../libc/constants.ts';
import { addressOf, errno, libc } from '../libc/libc.ts';

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 1;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
/** Answer with the route as configured, not with what was made of it for one peer. */
const RTM_F_FIB_MATCH = 0x2000;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_METRICS = 8;
const RTA_CACHEINFO = 12;
const RTAX_MTU = 2;
const NLMSG_HEADER_BYTES = 16;
const RTMSG_BYTES = 12;
/** With two addresses of 16 bytes. */
const REQUEST_BYTES = NLMSG_HEADER_BYTES + RTMSG_BYTES + 20 + 20;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
/** Offset of `rta_expires` in `struct rta_cacheinfo`. */
const EXPIRES_OFFSET = 8;
const ANSWER_BYTES = 4096;
/** Answers read for one question; an older one may still wait. */
const ANSWERS_MAX = 4;

type RouteAnswer = { mtu: number; isLearned: boolean };

/** A socket that is bound to one of our addresses, and that address: a word, or four of IPv6. */
type Probe = { socket: number; address: Uint8Array; isIpv6: boolean };

/** Our own address as the tables have it. */
type LocalWords = {
  localAddress: number;
  isIpv6?: number;
  localWord0?: number;
  localWord1?: number;
  localWord2?: number;
};

const NO_PROBE: Probe = { socket: -1, address: new Uint8Array(0), isIpv6: false };

function probeOf(local: LocalWords, socket: number): Probe {
  const { localAddress, isIpv6 = 0, localWord0 = 0, localWord1 = 0, localWord2 = 0 } = local;
  const high = isIpv6 === 1 ? [localWord0, localWord1, localWord2] : [];
  const address = Buffer.alloc(4 * (high.length + 1));
  for (const [i, word] of [...high, localAddress].entries()) address.writeUInt32BE(word, 4 * i);
  return { socket, address, isIpv6: isIpv6 === 1 };
}

export class RouteMtu {
  /** By number of the endpoint. */
  readonly #probes = new Map<number, Probe>();
  readonly #netlink: number;
  readonly #name = Buffer.alloc(SOCKADDR_IN6_BYTES);
  readonly #value = new Int32Array(2);
  readonly #request = Buffer.alloc(REQUEST_BYTES);
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #sequence = 0;

  constructor() {
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.#netlink = libc.socket(AF_NETLINK, type, NETLINK_ROUTE);
  }

  /**
   * From now on the ways from an endpoint at `local` can be asked about, by a UDP socket that is bound
   * to it. One without (no port or descriptor was left) is not known, and the first send that is refused
   * tells.
   */
  addProbe(endpoint: number, local: LocalWords, socket: number): void {
    this.#probes.set(endpoint, probeOf(local, socket));
  }

  /** The socket is about to be closed. */
  removeProbe(endpoint: number): void {
    this.#probes.delete(endpoint);
  }

  /** See RouteOracle of dataplane/send/path-mtu.ts. A value of the kernel's, `enough` or more, is believed. */
  configured(local: number, view: DataView, name: number, enough: number): number {
    const mtu = this.current(local, view, name);
    if (mtu === 0 || mtu >= enough) return mtu;
    const route = this.#route(local, 0);
    if (route === undefined) return 0;
    if (!route.isLearned) return mtu;
    // What ICMP made the kernel believe we judge ourselves; the route's own number stays true.
    return this.#route(local, RTM_F_FIB_MATCH)?.mtu ?? 0;
  }

  /** The MTU of a socket that is connected from an endpoint to the peer; 0 = not known. */
  current(local: number, view: DataView, name: number): number {
    const { socket, isIpv6 } = this.#probes.get(local) ?? NO_PROBE;
    if (socket < 0) return 0;
    const bytes = isIpv6 ? SOCKADDR_IN6_BYTES : SOCKADDR_IN_BYTES;
    for (let at = 0; at < bytes; at += 4) {
      this.#name.writeUInt32BE(view.getUint32(name + at), at);
    }
    if (libc.connect(socket, addressOf(this.#name), bytes) < 0) return 0;
    this.#value[1] = 4;
    const value = addressOf(this.#value);
    const [level, option] = isIpv6 ? [IPPROTO_IPV6, IPV6_MTU] : [IPPROTO_IP, IP_MTU];
    if (libc.getsockopt(socket, level, option, value, value + 4) < 0) return 0;
    return this.#value[0] ?? 0;
  }

  /** Asks for the route to the peer that was asked about last. */
  #route(local: number, flags: number): RouteAnswer | undefined {
    const { address, isIpv6 } = this.#probes.get(local) ?? NO_PROBE;
    if (this.#netlink < 0) return undefined;
    const addressAt = isIpv6 ? 8 : 4;
    const peer = this.#name.subarray(addressAt, addressAt + address.length);
    const request = this.#request;
    const sequence = ++this.#sequence >>> 0;
    const bytes = NLMSG_HEADER_BYTES + RTMSG_BYTES + 2 * (4 + address.length);
    request.fill(0);
    request.writeUInt32LE(bytes, 0);
    request.writeUInt16LE(RTM_GETROUTE, 4);
    request.writeUInt16LE(NLM_F_REQUEST, 6);
    request.writeUInt32LE(sequence, 8);
    request.writeUInt8(isIpv6 ? AF_INET6 : AF_INET, 16);
    request.writeUInt8(address.length * 8, 17);
    request.writeUInt8(address.length * 8, 18);
    request.writeUInt32LE(flags, 24);
    let at = NLMSG_HEADER_BYTES + RTMSG_BYTES;
    for (const [type, value] of [
      [RTA_DST, peer],
      [RTA_SRC, address],
    ] as const) {
      request.writeUInt16LE(4 + value.length, at);
      request.writeUInt16LE(type, at + 2);
      request.set(value, at + 4);
      at += 4 + value.length;
    }
    if (libc.write(this.#netlink, addressOf(request), bytes) < 0) return undefined;
    // The kernel has answered by the time the write returns.
    for (let i = 0; i < ANSWERS_MAX; i++) {
      const length = libc.read(this.#netlink, addressOf(this.#answer), ANSWER_BYTES);
      if (length < 0 && errno() === EINTR) continue;
      if (length < NLMSG_HEADER_BYTES) return undefined;
      if (this.#answer.readUInt32LE(8) !== sequence) continue;
      if (this.#answer.readUInt16LE(4) !== RTM_NEWROUTE) return undefined;
      return readRoute(this.#answer.subarray(0, Math.min(length, this.#answer.readUInt32LE(0))));
    }
    return undefined;
  }
}

/** MTU metric and expiry of one RTM_NEWROUTE message; a route without an MTU of its own has 0. */
function readRoute(message: Buffer): RouteAnswer {
  let mtu = 0;
  let isLearned = false;
  for (const [type, value] of attributes(message, NLMSG_HEADER_BYTES + RTMSG_BYTES)) {
    if (type === RTA_CACHEINFO && value.length >= EXPIRES_OFFSET + 4) {
      isLearned = value.readInt32LE(EXPIRES_OFFSET) > 0;
    } else if (type === RTA_METRICS) {
      for (const [metric, bytes] of attributes(value, 0)) {
        if (metric === RTAX_MTU && bytes.length >= 4) mtu = bytes.readUInt32LE(0);
      }
    }
  }
  return { mtu, isLearned };
}

function* attributes(bytes: Buffer, from: number): Generator<[type: number, value: Buffer]> {
  for (let at = from; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) return;
    yield [bytes.readUInt16LE(at + 2), bytes.subarray(at + 4, at + length)];
    at += (length + 3) & ~3;
  }
}
