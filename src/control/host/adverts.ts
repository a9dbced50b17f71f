/**
 * Router advertisements that a fan sends to its own containers (RFC 4861 §6.2, RFC 4862 §5.5): the network
 * of the slice to make addresses in, the overlay as on-link where containers of all hosts are in one
 * network, the MTU. On a routed fan the host is their router, on a bridged one it is none, so a default
 * route is not promised where nothing leads on.
 *
 * They go out by a packet socket of the bridge, answer whoever asks (router solicitations), and end with
 * lifetimes of 0. Where the host is the router, it answers for the neighbours that are elsewhere too.
 * @module
 */

import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../../errors.ts';
import { linkLocalOf } from '../../net/fan6.ts';
import { bytesOfIpv6, networkOf6 } from '../../net/prefix6.ts';
import { libc } from '../../sys/libc/libc.ts';
import { Beat } from '../../sys/process/beat.ts';
import { BPF, BPF_ACCEPT, type BpfInstruction } from '../../sys/sockets/bpf.ts';
import { PacketSocket } from '../../sys/sockets/packet-socket.ts';
import {
  isRouterSolicit,
  ND_ROUTER_SOLICIT,
  type RouterAdvert,
  routerAdvertFrame,
} from '../../wire/six/nd.ts';
import type { AdvertSpec } from './host.ts';
import { NeighbourProxy, type RouteTo } from './neighbour-proxy.ts';

/** Unasked, so often at most and at least, ms (MaxRtrAdvInterval, RFC 4861 §6.2.1). */
const INTERVAL_MS = 200_000;
/** The first ones come sooner, for those that were there before us (MAX_INITIAL_RTR_ADVERTISEMENTS). */
const FIRST = 3;
const FIRST_INTERVAL_MS = 4000;
/** Not more often than this to all nodes (MIN_DELAY_BETWEEN_RAS), ms. */
const APART_MS = 3000;
/** So often it is looked whether somebody asks, ms. */
const LOOK_MS = 250;
/** Questions taken in one look: more mean the same answer. */
const QUESTIONS_MAX = 64;
/** How long addresses and routes of the last advertisement hold, seconds: three intervals and more. */
const VALID_SECONDS = 86_400;
const PREFERRED_SECONDS = 14_400;
const ROUTER_SECONDS = 1800;
/** Hosts that make addresses for themselves do so in a /64 alone (RFC 4862 §5.5.3 d). */
const SLAAC_LENGTH = 64;

/** Frames of IPv6 whose next header is ICMPv6 and whose type is a router solicitation. */
const SOLICITS_ONLY: readonly BpfInstruction[] = [
  [BPF.LOAD_HALF, 0, 0, 12],
  [BPF.JUMP_EQUAL, 0, 5, 0x86dd],
  [BPF.LOAD_BYTE, 0, 0, 20],
  [BPF.JUMP_EQUAL, 0, 3, 58],
  [BPF.LOAD_BYTE, 0, 0, 54],
  [BPF.JUMP_EQUAL, 0, 1, ND_ROUTER_SOLICIT],
  [BPF.RETURN, 0, 0, BPF_ACCEPT],
  [BPF.RETURN, 0, 0, 0],
];

/** What a fan says; with `isOver` that it says nothing any more. */
export function advertOf(spec: AdvertSpec, isOver = false): RouterAdvert {
  const seconds = (usual: number): number => (isOver ? 0 : usual);
  const lifetimes = {
    validSeconds: seconds(VALID_SECONDS),
    preferredSeconds: seconds(PREFERRED_SECONDS),
  };
  const lan = {
    address: bytesOfIpv6(networkOf6(spec.lan)),
    length: spec.lan.length,
    onLink: true,
    autonomous: spec.lan.length === SLAAC_LENGTH,
    ...lifetimes,
  };
  const overlay = { address: bytesOfIpv6(networkOf6(spec.overlay)), length: spec.overlay.length };
  return {
    source: bytesOfIpv6(linkLocalOf(spec.mac)),
    mac: spec.mac,
    routerSeconds: spec.routed ? seconds(ROUTER_SECONDS) : 0,
    mtu: spec.mtu,
    prefixes: spec.routed
      ? [lan]
      : [lan, { ...overlay, onLink: true, autonomous: false, ...lifetimes }],
    routes: spec.routed ? [{ ...overlay, seconds: seconds(VALID_SECONDS) }] : [],
  };
}

/** The announcements on one bridge. */
class Announcer {
  readonly spec: AdvertSpec;
  readonly ifindex: number;
  readonly #socket: PacketSocket;
  readonly #proxy: NeighbourProxy | undefined;
  readonly #timer: Beat;
  #sent = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isAsked = false;
  #problem = '';

  /** @throws SystemError */
  constructor(spec: AdvertSpec, ifindex: number, routeTo: RouteTo) {
    this.spec = spec;
    this.ifindex = ifindex;
    this.#socket = new PacketSocket(ifindex, SOLICITS_ONLY);
    this.#proxy = spec.routed ? new NeighbourProxy(spec, ifindex, routeTo) : undefined;
    this.#timer = new Beat(LOOK_MS, () => this.#look()).unref();
    this.#look();
  }

  /** Why the last one could not be sent, or neighbours not be answered; '' when all could. */
  get problem(): string {
    return this.#problem || (this.#proxy?.problem ?? '');
  }

  #look(): void {
    try {
      for (let i = 0; i < QUESTIONS_MAX; i++) {
        const seen = this.#socket.read();
        if (seen === undefined) break;
        if (!seen.outgoing && isRouterSolicit(seen.bytes)) this.#isAsked = true;
      }
      const nowMs = performance.now();
      const dueMs = this.#lastMs + (this.#sent < FIRST ? FIRST_INTERVAL_MS : INTERVAL_MS);
      if (nowMs < (this.#isAsked ? this.#lastMs + APART_MS : dueMs)) return;
      this.#lastMs = nowMs;
      this.#sent++;
      this.#isAsked = false;
      this.#socket.send(routerAdvertFrame(advertOf(this.spec)));
      this.#problem = '';
    } catch (error) {
      // The bridge is down or gone: it is looked after elsewhere, and the next look tries again.
      this.#problem = messageOf(error);
    }
  }

  /** Takes back what was said, and ends. */
  close(): void {
    this.#timer.close();
    try {
      this.#socket.send(routerAdvertFrame(advertOf(this.spec, true)));
    } catch {
      // Nobody is left to hear it.
    }
    this.#socket.close();
    this.#proxy?.close();
  }
}

/** All announcements of this process, by bridge. */
export class Announcements {
  readonly #announcers = new Map<string, Announcer>();
  readonly #routeTo: RouteTo;

  constructor(routeTo: RouteTo) {
    this.#routeTo = routeTo;
  }

  /** Begins, or goes on with other contents. @throws SystemError */
  announce(spec: AdvertSpec): void {
    if (this.isAnnouncing(spec)) return;
    const before = this.#announcers.get(spec.bridge);
    const ifindex = libc.if_nametoindex(spec.bridge);
    const announcer = new Announcer(spec, ifindex, this.#routeTo);
    this.#announcers.set(spec.bridge, announcer);
    before?.close();
  }

  /** Whether exactly this is announced, on the bridge that there is now. */
  isAnnouncing(spec: AdvertSpec): boolean {
    const announcer = this.#announcers.get(spec.bridge);
    return (
      announcer !== undefined &&
      announcer.problem === '' &&
      announcer.ifindex === libc.if_nametoindex(spec.bridge) &&
      isDeepStrictEqual(announcer.spec, spec)
    );
  }

  withdraw(bridge: string): void {
    this.#announcers.get(bridge)?.close();
    this.#announcers.delete(bridge);
  }

  close(): void {
    for (const bridge of [...this.#announcers.keys()]) this.withdraw(bridge);
  }
}
