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
  EINTR,
  IP_MTU,
  IPPROTO_IP,
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
const REQUEST_BYTES = NLMSG_HEADER_BYTES + RTMSG_BYTES + 8 + 8;
/** Offset of `rta_expires` in `struct rta_cacheinfo`. */
const EXPIRES_OFFSET = 8;
const ANSWER_BYTES = 4096;
/** Answers read for one question; an older one may still wait. */
const ANSWERS_MAX = 4;

type RouteAnswer = { mtu: number; isLearned: boolean };

export class RouteMtu {
  /** By local address; several endpoints may bring one for the same. */
  readonly #probes = new Map<number, number[]>();
  readonly #netlink: number;
  readonly #name = Buffer.alloc(16);
  readonly #value = new Int32Array(2);
  readonly #request = Buffer.alloc(REQUEST_BYTES);
  readonly #answer = Buffer.alloc(ANSWER_BYTES);
  #sequence = 0;

  constructor() {
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.#netlink = libc.socket(AF_NETLINK, type, NETLINK_ROUTE);
  }

  /**
   * From now on the ways from `local` (u32) can be asked about, by a UDP socket that is bound to it. An
   * address without one (no port or descriptor was left) is not known, and the first send that is
   * refused tells.
   */
  addProbe(local: number, socket: number): void {
    this.#probes.set(local, [...(this.#probes.get(local) ?? []), socket]);
  }

  /** The socket is about to be closed. */
  removeProbe(local: number, socket: number): void {
    const rest = (this.#probes.get(local) ?? []).filter((probe) => probe !== socket);
    if (rest.length === 0) this.#probes.delete(local);
    else this.#probes.set(local, rest);
  }

  /** See RouteOracle of dataplane/send/path-mtu.ts. A value of the kernel's, `enough` or more, is believed. */
  configured(local: number, peer: number, port: number, enough: number): number {
    const mtu = this.current(local, peer, port);
    if (mtu === 0 || mtu >= enough) return mtu;
    const route = this.#route(local, peer, 0);
    if (route === undefined) return 0;
    if (!route.isLearned) return mtu;
    // What ICMP made the kernel believe we judge ourselves; the route's own number stays true.
    return this.#route(local, peer, RTM_F_FIB_MATCH)?.mtu ?? 0;
  }

  /** IP_MTU of a socket that is connected from `local` to `peer`; 0 = not known. */
  current(local: number, peer: number, port: number): number {
    const socket = this.#probes.get(local)?.[0];
    if (socket === undefined) return 0;
    this.#name.writeUInt16LE(AF_INET, 0);
    this.#name.writeUInt16BE(port, 2);
    this.#name.writeUInt32BE(peer, 4);
    if (libc.connect(socket, addressOf(this.#name), this.#name.length) < 0) return 0;
    this.#value[1] = 4;
    const value = addressOf(this.#value);
    if (libc.getsockopt(socket, IPPROTO_IP, IP_MTU, value, value + 4) < 0) return 0;
    return this.#value[0] ?? 0;
  }

  #route(local: number, peer: number, flags: number): RouteAnswer | undefined {
    if (this.#netlink < 0) return undefined;
    const request = this.#request;
    const sequence = ++this.#sequence >>> 0;
    request.fill(0);
    request.writeUInt32LE(REQUEST_BYTES, 0);
    request.writeUInt16LE(RTM_GETROUTE, 4);
    request.writeUInt16LE(NLM_F_REQUEST, 6);
    request.writeUInt32LE(sequence, 8);
    request.writeUInt8(AF_INET, 16);
    request.writeUInt8(32, 17);
    request.writeUInt8(32, 18);
    request.writeUInt32LE(flags, 24);
    request.writeUInt16LE(8, 28);
    request.writeUInt16LE(RTA_DST, 30);
    request.writeUInt32BE(peer, 32);
    request.writeUInt16LE(8, 36);
    request.writeUInt16LE(RTA_SRC, 38);
    request.writeUInt32BE(local, 40);
    if (libc.write(this.#netlink, addressOf(request), REQUEST_BYTES) < 0) return undefined;
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
