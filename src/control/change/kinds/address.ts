/**
 * An IPv4 address of this host on a device of ours, with the routes that the kernel makes for it:
 * to its network (table main), to itself and to the broadcast address (table local). Somebody may
 * delete those too, and nothing but us would make them again.
 * @module
 */
import { formatIpv4 } from '../../../net/ipv4.ts';
import { broadcastOf, equals, formatPrefix, networkOf } from '../../../net/prefix.ts';
import type { Host, KernelRoute } from '../../host.ts';
import { ROUTE_TABLE_LOCAL, ROUTE_TABLE_MAIN } from '../../snapshot.ts';
import { type Kind, unlessGone, unlessThere } from '../kind.ts';

export type AddressChange = { kind: 'address'; device: string; address: number; length: number };

/** Networks of this length and shorter have a broadcast address (RFC 3021: a /31 has none). */
const BROADCAST_LENGTH_MAX = 30;

/** The table that the kernel keeps a route of each type in. */
const tableOf = {
  unicast: ROUTE_TABLE_MAIN,
  local: ROUTE_TABLE_LOCAL,
  broadcast: ROUTE_TABLE_LOCAL,
};

/** What the kernel makes when the address is added; a network's routes go with its first one. */
function kernelRoutes(change: AddressChange, secondary: boolean): KernelRoute[] {
  const { device, address: source, length } = change;
  const prefix = { address: networkOf({ address: source, length }), length };
  const own = { address: source, length: 32 };
  const broadcast = { address: broadcastOf(prefix), length: 32 };
  const routes: KernelRoute[] = [{ type: 'local', destination: own, device, source }];
  if (secondary) return routes;
  if (length < 32) routes.push({ type: 'unicast', destination: prefix, device, source });
  if (length <= BROADCAST_LENGTH_MAX) {
    routes.push({ type: 'broadcast', destination: broadcast, device, source });
  }
  return routes;
}

/** The kernel's routes of an address that are gone; undefined when the address itself is. */
async function lostRoutes(change: AddressChange, host: Host): Promise<KernelRoute[] | undefined> {
  const link = (await host.links()).find((link) => link.name === change.device);
  const present = (await host.addresses()).find(
    ({ index, address, length }) =>
      index === link?.index && address === change.address && length === change.length,
  );
  if (link === undefined || present === undefined) return undefined;
  // A device that is down has none, and gets its own back when it comes up.
  if (!link.up) return [];
  const routes = await host.routes();
  return kernelRoutes(change, present.secondary).filter(
    (wanted) =>
      !routes.some(
        (route) =>
          route.oif === link.index &&
          route.type === wanted.type &&
          route.table === tableOf[wanted.type] &&
          equals(route.dst, wanted.destination),
      ),
  );
}

const words = { unicast: 'connected route', local: 'local route', broadcast: 'broadcast route' };

export const address: Kind<AddressChange> = {
  fields: { device: 'string', address: 'number', length: 'number' },
  describe({ address, length, device }) {
    return `add address ${formatIpv4(address)}/${length} to ${device}`;
  },
  async apply(change, _memo, { host }) {
    await unlessThere(host.addAddress(change.device, change.address, change.length));
    for (const route of (await lostRoutes(change, host)) ?? []) {
      await unlessThere(host.addKernelRoute(route));
    }
  },
  async missing(change, _memo, { host }) {
    const { device, address, length } = change;
    const lost = await lostRoutes(change, host);
    if (lost === undefined) return [`address ${formatIpv4(address)}/${length} of ${device}`];
    return lost.map(
      ({ type, destination }) => `${words[type]} ${formatPrefix(destination)} of ${device}`,
    );
  },
  async undo(change, _memo, { host }) {
    const link = (await host.links()).find((link) => link.name === change.device);
    if (link?.alias.startsWith('fanway:') !== true) return;
    await unlessGone(host.deleteAddress(change.device, change.address, change.length));
  },
};
