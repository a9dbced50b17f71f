/** Typed change notifications of links, IPv4 addresses, IPv4 routes and IPv4 settings. @module */
import {
  type InterfaceAddress,
  type Link,
  type Route,
  RTM,
  readAddress,
  readLink,
  readNetconfIndex,
  readRoute,
} from './netlink-codec.ts';
import { type ListenOptions, listen, type NetlinkMessage } from './netlink-socket.ts';

const RTNLGRP_LINK = 1;
const RTNLGRP_IPV4_IFADDR = 5;
const RTNLGRP_IPV4_ROUTE = 7;
const RTNLGRP_IPV4_NETCONF = 24;

/** What changed. `new` also reports a change of something that was there before. */
export type NetlinkEvent =
  | { kind: 'link'; action: 'new' | 'deleted'; link: Link }
  | { kind: 'address'; action: 'new' | 'deleted'; address: InterfaceAddress }
  | { kind: 'route'; action: 'new' | 'deleted'; route: Route }
  /** Forwarding, rp_filter or proxy_arp of a device, or of `all` (index −1) and `default` (−2). */
  | { kind: 'setting'; index: number }
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
    return address === undefined ? undefined : { kind: 'address', action, address };
  }
  if (type === RTM.NEWROUTE || type === RTM.DELROUTE) {
    const route = readRoute(payload);
    const action = type === RTM.NEWROUTE ? 'new' : 'deleted';
    return route === undefined ? undefined : { kind: 'route', action, route };
  }
  if (type === RTM.NEWNETCONF) return { kind: 'setting', index: readNetconfIndex(payload) };
  return undefined;
}

/** Subscribes in the namespace the main thread is in. Returns the function that ends it. */
export function watch(listener: (event: NetlinkEvent) => void, options: ListenOptions): () => void {
  return listen(
    [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_NETCONF],
    (message) => {
      const event = readEvent(message);
      if (event !== undefined) listener(event);
    },
    (code) => listener({ kind: 'lost', code }),
    options,
  );
}
