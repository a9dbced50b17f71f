/**
 * Masquerading of containers to everywhere but the overlay, in a table of the link's own.
 * @module
 */
import { formatPrefix, type Prefix } from '../../../../net/prefix.ts';
import { checkDevice, tableOf } from '../../../../sys/host/nft.ts';
import type { Kind } from '../kind.ts';
import { lostChains, type OwnChain, tryChains, unloadChains } from './chains.ts';

export type MasqueradeChange = {
  kind: 'masquerade';
  link: string;
  slice: Prefix;
  overlay: Prefix;
  bridge: string;
};

/** The chain that does it; for tests too. */
export function masqueradeChain({ link, slice, overlay, bridge }: MasqueradeChange): OwnChain {
  const from = formatPrefix(slice);
  return {
    ...{ family: 'ip', table: tableOf(link), name: 'postrouting' },
    hook: 'type nat hook postrouting priority 100',
    rules: [
      `ip saddr ${from} ip daddr != ${formatPrefix(overlay)} oifname != "${checkDevice(bridge)}" ip daddr != 224.0.0.0/4 masquerade`,
    ],
    what: `masquerading of ${from}`,
  };
}

export const masquerade: Kind<MasqueradeChange> = {
  fields: { link: 'string', slice: 'object', overlay: 'object', bridge: 'string' },
  describe({ slice, overlay }) {
    return `masquerade ${formatPrefix(slice)} to everywhere but ${formatPrefix(overlay)}`;
  },
  async apply(change, memo, context) {
    const cost = `containers of ${formatPrefix(change.slice)} reach nothing outside of the overlay`;
    await tryChains([masqueradeChain(change)], memo, context, cost);
  },
  async missing(change, memo, { host }) {
    return lostChains([masqueradeChain(change)], memo, host);
  },
  async undo(change, _memo, { host }) {
    await unloadChains([masqueradeChain(change)], host);
  },
};
