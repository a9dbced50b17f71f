/**
 * What of this machine has to do with IPv6, through rtnetlink and packet sockets.
 * @module
 */
import { equals6, lastOf6, networkOf6 } from '../../net/prefix6.ts';
import type { Netlink, Route6 } from '../../sys/netlink/netlink.ts';
import type { Announcements } from './adverts.ts';
import type { Host6 } from './host.ts';
import { ROUTE_TABLE_MAIN } from './snapshot.ts';

export function sixOfHost(netlink: Netlink, announcements: Announcements): Host6 {
  return {
    addresses6: () => netlink.addresses6(),
    routes6: () => netlink.routes6(),
    addAddress6: (device, address, length) => netlink.addAddress6(device, address, length),
    deleteAddress6: (device, address, length) => netlink.deleteAddress6(device, address, length),
    addRoute6: ({ destination, device }) => netlink.addRoute6({ dst: destination, dev: device }),
    deleteRoute6: ({ destination, device }) =>
      netlink.deleteRoute6({ dst: destination, dev: device }),
    async hasRoute6({ destination, device }) {
      const index = (await netlink.findLink(device))?.index;
      if (index === undefined) return false;
      const isIt = ({ dst, oif, table, isUnicast }: Route6): boolean =>
        oif === index &&
        table === ROUTE_TABLE_MAIN &&
        isUnicast &&
        equals6(dst, { ...destination, address: networkOf6(destination) });
      // The last address: longer prefixes, of slices and of hosts, begin with zeros behind the overlay.
      const found = await netlink.routeMatching6(lastOf6(destination), index);
      if (found !== undefined && isIt(found)) return true;
      // Somebody may have a route to that very address: then all of them have to be read.
      return (await netlink.routes6()).some(isIt);
    },
    announce: (spec) => announcements.announce(spec),
    isAnnouncing: (spec) => announcements.isAnnouncing(spec),
    withdraw: (bridge) => announcements.withdraw(bridge),
  };
}
