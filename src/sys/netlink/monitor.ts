/** Typed change notifications of links, addresses, routes, IPv4 settings and tc. @module */

import { BPF, BPF_ACCEPT, BPF_NETLINK_ATTRIBUTE, type BpfInstruction } from '../sockets/bpf.ts';
import {
  type InterfaceAddress,
  type Link,
  type RouteRecord,
  RTA,
  RTM,
  readAddress,
  readNetconfIndex,
  readRoute,
} from './codec.ts';
import { readIpv6Address } from './ipv6.ts';
import { readLink } from './link-codec.ts';
import { readRoute6 } from './six.ts';
import { LITTLE, type ListenOptions, listen, type NetlinkMessage } from './socket.ts';

/** Devices that one filter can name: each takes two of BPF's 4,096 instructions. */
const FILTER_DEVICES_MAX = 2000;
const RTMSG_OFFSET = 16;
const RTMSG_BYTES = 12;

const RTNLGRP_LINK = 1;
const RTNLGRP_TC = 4;
const RTNLGRP_IPV4_IFADDR = 5;
const RTNLGRP_IPV4_ROUTE = 7;
const RTNLGRP_IPV6_IFADDR = 9;
const RTNLGRP_IPV6_ROUTE = 11;
const RTNLGRP_IPV4_NETCONF = 24;
const RT_SCOPE_GLOBAL = 0;
const RTM_DELQDISC = 37;
const RTM_DELTFILTER = 45;

/** What changed. `new` also reports a change of something that was there before. */
export type NetlinkEvent =
  | { kind: 'link'; action: 'new' | 'deleted'; link: Link }
  | { kind: 'address'; action: 'new' | 'deleted'; address: InterfaceAddress }
  /** A global one, once it may be used; while it may not, it counts as gone. */
  | { kind: 'ipv6-address'; index: number }
  | { kind: 'route'; action: 'new' | 'deleted'; route: RouteRecord }
  /** A route of IPv6, out of a device by its ifindex; 0 where it leads out of none. */
  | { kind: 'ipv6-route'; index: number }
  /** Forwarding, rp_filter or proxy_arp of a device, or of `all` (index −1) and `default` (−2). */
  | { kind: 'setting'; index: number }
  /** A filter or a queue of tc was taken from a device. */
  | { kind: 'hook'; index: number }
  | { kind: 'lost'; code: string };

/** The event a message stands for, undefined when it is of no interest to an IPv4 router. */
export function readEvent(message: NetlinkMessage): NetlinkEvent | undefined {
  const { type, payload } = message;
  if (type === RTM.NEWLINK || type === RTM.DELLINK) {
    const link = readLink(payload);
    const action = type === RTM.NEWLINK ? 'new' : 'deleted';
    return link === undefined ? undefined : { kind: 'link', action, link };
  }
  if (type === RTM.NEWADDR || type === RTM.DELADDR) {
    const address = readAddress(payload);
    const action = type === RTM.NEWADDR ? 'new' : 'deleted';
    if (address !== undefined) return { kind: 'address', action, address };
    const ipv6 = readIpv6Address(payload);
    // Every device that comes up gets link-local ones.
    const isOfInterest = ipv6?.scope === RT_SCOPE_GLOBAL;
    return isOfInterest ? { kind: 'ipv6-address', index: ipv6.index } : undefined;
  }
  if (type === RTM.NEWROUTE || type === RTM.DELROUTE) {
    const route = readRoute(payload);
    const action = type === RTM.NEWROUTE ? 'new' : 'deleted';
    if (route !== undefined) return { kind: 'route', action, route };
    const ipv6 = readRoute6(payload);
    // Those of table local come with an address, and with groups that somebody joins.
    const isOfInterest = ipv6?.isUnicast === true;
    return isOfInterest ? { kind: 'ipv6-route', index: ipv6.oif } : undefined;
  }
  if (type === RTM.NEWNETCONF) return { kind: 'setting', index: readNetconfIndex(payload) };
  return takenFrom(message);
}

/** What was taken from a device's tc; what is added to it takes nothing from anybody. */
function takenFrom({ type, payload }: NetlinkMessage): NetlinkEvent | undefined {
  if ((type !== RTM_DELTFILTER && type !== RTM_DELQDISC) || payload.length < 8) return undefined;
  const index = LITTLE ? payload.readInt32LE(4) : payload.readInt32BE(4);
  return { kind: 'hook', index };
}

/**
 * Which devices' routes a monitor tells about, default routes aside, which it always does. The
 * kernel filters: on a host that speaks BGP, routes change all the time. Until set, all routes.
 */
export class RouteInterest {
  #devices: readonly number[] | undefined;
  readonly #attached = new Set<(program: readonly BpfInstruction[]) => void>();

  /** Replaces the devices, given by ifindex. */
  set(devices: readonly number[]): void {
    if (this.#devices?.join() === devices.join() || devices.length > FILTER_DEVICES_MAX) return;
    this.#devices = devices;
    for (const attach of this.#attached) attach(routeFilter(devices));
  }

  /** A socket that follows: `attach` gives it another filter. Returns how it ends that. */
  follow(attach: (program: readonly BpfInstruction[]) => void): () => void {
    this.#attached.add(attach);
    if (this.#devices !== undefined) attach(routeFilter(this.#devices));
    return () => this.#attached.delete(attach);
  }
}

/** A number as BPF, which reads the other way round, sees the kernel's own. */
export function asLoaded(value: number, bytes: 2 | 4): number {
  const buffer = Buffer.alloc(bytes);
  if (LITTLE) buffer.writeUIntLE(value, 0, bytes);
  else buffer.writeUIntBE(value, 0, bytes);
  return buffer.readUIntBE(0, bytes);
}

/** Keeps every message but those of routes that are neither default routes nor out of `devices`. */
export function routeFilter(devices: readonly number[]): BpfInstruction[] {
  const accept: BpfInstruction = [BPF.RETURN, 0, 0, BPF_ACCEPT];
  const refuse: BpfInstruction = [BPF.RETURN, 0, 0, 0];
  return [
    [BPF.LOAD_HALF, 0, 0, 4],
    [BPF.JUMP_EQUAL, 2, 0, asLoaded(RTM.NEWROUTE, 2)],
    [BPF.JUMP_EQUAL, 1, 0, asLoaded(RTM.DELROUTE, 2)],
    accept,
    // The length of its destination.
    [BPF.LOAD_BYTE, 0, 0, RTMSG_OFFSET + 1],
    [BPF.JUMP_EQUAL, 0, 1, 0],
    accept,
    [BPF.LOAD_CONSTANT, 0, 0, RTMSG_OFFSET + RTMSG_BYTES],
    [BPF.LOAD_CONSTANT_TO_X, 0, 0, RTA.OIF],
    [BPF.LOAD_WORD, 0, 0, BPF_NETLINK_ATTRIBUTE],
    [BPF.JUMP_EQUAL, 0, 1, 0],
    refuse,
    [BPF.COPY_TO_X, 0, 0, 0],
    [BPF.LOAD_WORD_AT_X, 0, 0, 4],
    ...devices.flatMap((index): BpfInstruction[] => [
      [BPF.JUMP_EQUAL, 0, 1, asLoaded(index, 4)],
      accept,
    ]),
    refuse,
  ];
}

/** Subscribes in the namespace the main thread is in. Returns the function that ends it. */
export function watch(listener: (event: NetlinkEvent) => void, options: ListenOptions): () => void {
  return listen(
    [
      ...[RTNLGRP_LINK, RTNLGRP_TC, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
      ...[RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_NETCONF],
    ],
    (message) => {
      const event = readEvent(message);
      if (event !== undefined) listener(event);
    },
    (code) => listener({ kind: 'lost', code }),
    options,
  );
}
