/**
 * Reads the picture of the host that a plan looks at.
 * @module
 */
import type { Host } from './host.ts';
import { type FanRecord, HOST_SYSCTLS, type Snapshot } from './snapshot.ts';

/** Everything a plan needs, `fans` being what already runs. */
export async function readSnapshot(host: Host, fans: FanRecord[]): Promise<Snapshot> {
  const [links, addresses, routes] = await Promise.all([
    host.links(),
    host.addresses(),
    host.routes(),
  ]);
  return {
    links,
    addresses,
    routes,
    sysctls: Object.fromEntries(HOST_SYSCTLS.map((key) => [key, host.readSysctl(key)])),
    fans,
    tools: { nft: host.hasNft(), dnsmasq: host.hasDnsmasq() },
  };
}
