/**
 * What no masquerading of others may rewrite: the outer packets of the tunnel, whose source tells
 * the far end which slice they come from, and on routed fans the inner ones, whose source is the
 * container. A chain one step ahead of everybody's translates such flows to themselves; the rules
 * that come later find them settled. Their rules are not touched.
 * @module
 */

import type { FanEncap } from '../../../../config/link/modes.ts';
import { carriesFrames, ENCAPS } from '../../../../encap/encap.ts';
import { formatPrefix, type Prefix } from '../../../../net/prefix.ts';
import {
  familyOf,
  formatHostAddress,
  isUnderlayAddress,
  type UnderlayAddress,
} from '../../../../net/underlay-address.ts';
import { tableOf } from '../../../../sys/host/nft.ts';
import type { Kind } from '../kind.ts';
import { lostChains, type OwnChain, tryChains, unloadChains } from './chains.ts';

export type KeepChange = {
  kind: 'keep';
  link: string;
  encap: FanEncap;
  /** Our underlay address, and the UDP port of the tunnel, 0 for ipip. */
  local: UnderlayAddress;
  port: number;
  slice: Prefix;
  overlay: Prefix;
};

/** The chains that do it, one for each family; for tests too. */
export function keepChains(change: KeepChange): OwnChain[] {
  const { link, encap, local, port, slice, overlay } = change;
  const address = formatHostAddress(local);
  const outer = ENCAPS[encap].udp ? `udp dport ${port}` : 'meta l4proto { 4, 41 }';
  const inner = carriesFrames(encap)
    ? []
    : [`ip saddr ${formatPrefix(slice)} ip daddr ${formatPrefix(overlay)} snat to ip saddr`];
  const chain = (family: 'ip' | 'ip6', rules: string[]): OwnChain => ({
    ...{ family, table: tableOf(link), name: 'keep' },
    // NF_IP_PRI_NAT_SRC is 100, and everybody's masquerading is there.
    hook: 'type nat hook postrouting priority 99',
    rules,
    what: `untranslated sources of ${link}`,
  });
  if (familyOf(local) === 4) {
    const protocol = ENCAPS[encap].udp ? outer : 'ip protocol { 4, 41 }';
    return [chain('ip', [`ip saddr ${address} ${protocol} snat to ${address}`, ...inner])];
  }
  const ipv6 = chain('ip6', [`ip6 saddr ${address} ${outer} snat to ${address}`]);
  return inner.length === 0 ? [ipv6] : [ipv6, chain('ip', inner)];
}

export const keep: Kind<KeepChange> = {
  fields: {
    ...{ link: 'string', encap: 'string', port: 'number' },
    ...{ slice: 'object', overlay: 'object' },
  },
  isWhole: ({ local }) => isUnderlayAddress(local),
  describe({ encap, local, slice, overlay }) {
    const inner = carriesFrames(encap)
      ? ''
      : ` and from ${formatPrefix(slice)} to ${formatPrefix(overlay)}`;
    return `keep others from masquerading the tunnel's packets from ${formatHostAddress(local)}${inner}`;
  },
  async apply(change, memo, context) {
    const cost = `masquerading of others may rewrite the tunnel's packets`;
    await tryChains(keepChains(change), memo, context, cost);
  },
  async missing(change, memo, { host }) {
    return lostChains(keepChains(change), memo, host);
  },
  async undo(change, _memo, { host }) {
    await unloadChains(keepChains(change), host);
  },
};
