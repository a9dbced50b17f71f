/**
 * What this host sends or forwards into the overlay from outside of it (a published port whose
 * container lives on another host, a routed client, a socket bound to the underlay address) gets
 * the slice's first address: the far end takes nothing from a source that is not of our slice, and
 * could not answer it either.
 * @module
 */
import { formatIpv4 } from '../../../../net/ipv4.ts';
import { formatPrefix, type Prefix } from '../../../../net/prefix.ts';
import { checkDevice, tableOf } from '../../../../sys/host/nft.ts';
import type { Kind } from '../kind.ts';
import { lostChains, type OwnChain, tryChains, unloadChains } from './chains.ts';

export type InwardChange = {
  kind: 'inward';
  link: string;
  slice: Prefix;
  overlay: Prefix;
  /** Where the overlay lies: the bridge, or on routed fans the tunnel device. */
  device: string;
  /** The slice's first address, u32. */
  gateway: number;
};

/** The chain that does it; for tests too. */
export function inwardChain({ link, slice, overlay, device, gateway }: InwardChange): OwnChain {
  const inside = formatPrefix(overlay);
  return {
    ...{ family: 'ip', table: tableOf(link), name: 'inward' },
    hook: 'type nat hook postrouting priority 100',
    rules: [
      // Containers of this host see who it is: nothing has to cross the underlay. And one of them
      // that sends with a foreign source is no client of ours: it must not pass for the host.
      `iifname != "${checkDevice(link)}" oifname "${checkDevice(device)}" ip saddr != ${inside} ip daddr ${inside} ip daddr != ${formatPrefix(slice)} snat to ${formatIpv4(gateway)}`,
    ],
    what: `the source ${formatIpv4(gateway)} of what comes from outside`,
  };
}

export const inward: Kind<InwardChange> = {
  fields: {
    ...{ link: 'string', slice: 'object', overlay: 'object', device: 'string' },
    gateway: 'number',
  },
  describe({ overlay, gateway }) {
    return `give what goes into ${formatPrefix(overlay)} from outside of it the source ${formatIpv4(gateway)}`;
  },
  async apply(change, memo, context) {
    const cost = `what comes from outside of ${formatPrefix(change.overlay)} is dropped as egress.drop.foreign_source`;
    await tryChains([inwardChain(change)], memo, context, cost);
  },
  async missing(change, memo, { host }) {
    return lostChains([inwardChain(change)], memo, host);
  },
  async undo(change, _memo, { host }) {
    await unloadChains([inwardChain(change)], host);
  },
};
