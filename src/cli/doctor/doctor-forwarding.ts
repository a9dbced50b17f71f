/**
 * What `fanway doctor` finds about the way of forwarded packets through this host's firewalls.
 * @module
 */

import {
  acceptsDevice,
  forwardObstacles,
  isForwardDropping,
  legacyObstacles,
} from '../../control/host/forwarding.ts';
import { PacketFilterReader } from '../../control/host/packet-filter.ts';
import type { PacketFilter } from '../../control/host/snapshot.ts';
import { carriesFrames } from '../../encap/encap.ts';
import { readLegacyTables } from '../../sys/host/iptables-legacy.ts';
import { hasNft } from '../../sys/host/nft.ts';
import { readSysctl } from '../../sys/host/sysctl.ts';
import { type Link, Netlink } from '../../sys/netlink/netlink.ts';

/** What is good to know, and what stands in the way. */
export type ForwardingReport = { said: string[]; wrong: string[] };

/** The devices of the fans that are up here, a list for each; a made-up one where there are none. */
function fansOf(
  links: readonly Link[],
): { name: string; device: string; encap: 'vxlan' | 'fou' }[] {
  return links.flatMap((bridge) => {
    if (bridge.kind !== 'bridge' || !bridge.alias.startsWith('fanway:')) return [];
    const tunnel = links.find(({ kind, alias }) => kind === 'tun' && alias === bridge.alias);
    if (tunnel === undefined) return [];
    const encap = tunnel.master === bridge.index ? 'vxlan' : 'fou';
    return [{ name: bridge.name, device: tunnel.name, encap } as const];
  });
}

/** @throws Error when nftables cannot be read. */
export async function forwardingReport(): Promise<ForwardingReport> {
  const netlink = Netlink.open();
  const reader = new PacketFilterReader();
  try {
    const filter = await reader.read();
    if (!filter.readable && filter.why !== 'EPROTONOSUPPORT' && filter.why !== 'EINVAL') {
      throw new Error(`nftables cannot be read (${filter.why})`);
    }
    return report(fansOf(await netlink.links()), filter);
  } finally {
    reader.close();
    netlink.close();
  }
}

function report(fans: ReturnType<typeof fansOf>, filter: PacketFilter): ForwardingReport {
  const said: string[] = [];
  const wrong: string[] = [];
  if (isForwardDropping(filter)) {
    const shut = fans.filter(
      ({ name }) => !filter.rules.some((r) => acceptsDevice(r, 'iifname', name)),
    );
    const text = 'chain FORWARD of table ip filter has policy drop (Docker sets it so)';
    if (!hasNft()) wrong.push(text);
    else if (shut.length > 0) wrong.push(`${text}, and does not let ${shut[0]?.name} through`);
    else said.push(`${text}; fanway puts rules there that let its fans through`);
  }
  const nowhere = { address: 0, length: 32 };
  const some =
    fans.length > 0 ? fans : [{ name: 'BRIDGE', device: 'TUNNEL', encap: 'vxlan' as const }];
  for (const fan of some) {
    const spec = { ...fan, slice: nowhere };
    for (const { message } of [
      ...forwardObstacles(spec, filter, true),
      ...legacyObstacles(
        [fan.name, ...(carriesFrames(fan.encap) ? [] : [fan.device])],
        readLegacyTables().forward,
      ),
    ]) {
      if (!wrong.includes(message)) wrong.push(message);
    }
  }
  if (readSysctl('net/bridge/bridge-nf-call-iptables') === '1') {
    said.push(
      'bridged packets pass the FORWARD chain too (net.bridge.bridge-nf-call-iptables is 1)',
    );
  }
  return { said, wrong };
}
