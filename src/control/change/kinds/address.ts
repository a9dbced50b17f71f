/**
 * An IPv4 address of this host on a device of ours, with the routes that the kernel makes for it:
 * to its network (table main), to itself and to the broadcast address (table local). Somebody may
 * delete those too, and nothing but us would make them again.
 * @module
 */
import { formatIpv4 } from '../../../net/ipv4.ts';
import { broadcastOf, formatPrefix, networkOf } from '../../../net/prefix.ts';
import type { Host, KernelRoute } from '../../host/host.ts';
import { isMarked, portsBeside } from '../../host/snapshot.ts';
import { type Kind, unlessGone, unlessThere } from './kind.ts';

export type AddressChange = {
  kind: 'address';
  device: string;
  address: number;
  length: number;
  /** The device is somebody else's; `there`: the address is too. */
  borrowed?: 'device' | 'there';
};

/** Networks of this length and shorter have a broadcast address (RFC 3021: a /31 has none). */
const BROADCAST_LENGTH_MAX = 30;

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
  const lost: KernelRoute[] = [];
  for (const wanted of kernelRoutes(change, present.secondary)) {
    // Whichever of the device's addresses it bears.
    if (!(await host.hasRoute({ ...wanted, source: 0 }))) lost.push(wanted);
  }
  return lost;
}

const words = { unicast: 'connected route', local: 'local route', broadcast: 'broadcast route' };

export const address: Kind<AddressChange> = {
  fields: { device: 'string', address: 'number', length: 'number' },
  describe({ address, length, device, borrowed }) {
    if (borrowed === 'there') return `use address ${formatIpv4(address)}/${length} on ${device}`;
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
    const links = await host.links();
    const link = links.find((link) => link.name === change.device);
    if (link === undefined || !isMarked(link) || change.borrowed === 'there') return;
    // A bridge that stays for its ports keeps what these send to.
    if (change.borrowed === undefined && portsBeside(link, links).length > 0) return;
    await unlessGone(host.deleteAddress(change.device, change.address, change.length));
  },
};
