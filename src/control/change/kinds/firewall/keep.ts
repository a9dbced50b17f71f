/**
 * What no masquerading of others may rewrite: the outer packets of the tunnel, whose source tells
 * the far end which slice they come from, and on routed fans the inner ones, whose source is the
 * container. A chain one step ahead of everybody's translates such flows to themselves; the rules
 * that come later find them settled. Their rules are not touched.
 * @module
 */

import type { Encap } from '../../../../config/request.ts';
import { carriesFrames, ENCAPS } from '../../../../encap/encap.ts';
import { formatIpv4 } from '../../../../net/ipv4.ts';
import { formatPrefix, type Prefix } from '../../../../net/prefix.ts';
import { tableOf } from '../../../../sys/host/nft.ts';
import type { Kind } from '../kind.ts';
import { lostChains, type OwnChain, tryChains, unloadChains } from './chains.ts';

export type KeepChange = {
  kind: 'keep';
  link: string;
  encap: Encap;
  /** Our underlay address, u32, and the UDP port of the tunnel, 0 for ipip. */
  local: number;
  port: number;
  slice: Prefix;
  overlay: Prefix;
};

/** The chain that does it; for tests too. */
export function keepChain(change: KeepChange): OwnChain {
  const { link, encap, local, port, slice, overlay } = change;
  const outer = ENCAPS[encap].udp ? `udp dport ${port}` : 'ip protocol 4';
  const address = formatIpv4(local);
  const inner = `ip saddr ${formatPrefix(slice)} ip daddr ${formatPrefix(overlay)} snat to ip saddr`;
  return {
    ...{ family: 'ip', table: tableOf(link), name: 'keep' },
    // NF_IP_PRI_NAT_SRC is 100, and everybody's masquerading is there.
    hook: 'type nat hook postrouting priority 99',
    rules: [
      `ip saddr ${address} ${outer} snat to ${address}`,
      ...(carriesFrames(encap) ? [] : [inner]),
    ],
    what: `untranslated sources of ${link}`,
  };
}

export const keep: Kind<KeepChange> = {
  fields: {
    ...{ link: 'string', encap: 'string', local: 'number', port: 'number' },
    ...{ slice: 'object', overlay: 'object' },
  },
  describe({ encap, local, slice, overlay }) {
    const inner = carriesFrames(encap)
      ? ''
      : ` and from ${formatPrefix(slice)} to ${formatPrefix(overlay)}`;
    return `keep others from masquerading the tunnel's packets from ${formatIpv4(local)}${inner}`;
  },
  async apply(change, memo, context) {
    const cost = `masquerading of others may rewrite the tunnel's packets`;
    await tryChains([keepChain(change)], memo, context, cost);
  },
  async missing(change, memo, { host }) {
    return lostChains([keepChain(change)], memo, host);
  },
  async undo(change, _memo, { host }) {
    await unloadChains([keepChain(change)], host);
  },
};
