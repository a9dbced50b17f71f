/**
 * Reads the picture of the host that a plan looks at.
 * @module
 */
import type { Host } from './host.ts';
import { type FanRecord, FOREIGN_SYSCTLS, HOST_SYSCTLS, type Snapshot } from './snapshot.ts';

/** Everything a plan needs, `fans` being what already runs. */
export async function readSnapshot(host: Host, fans: FanRecord[]): Promise<Snapshot> {
  const [links, addresses, routes, filter] = await Promise.all([
    host.links(),
    host.addresses(),
    host.routes(),
    host.packetFilter(),
  ]);
  return {
    links,
    addresses,
    routes,
    sysctls: Object.fromEntries(
      [...HOST_SYSCTLS, ...FOREIGN_SYSCTLS].map((key) => [key, host.readSysctl(key)]),
    ),
    filter,
    legacy: host.legacyForward(),
    fans,
    tools: { nft: host.hasNft(), dnsmasq: host.hasDnsmasq() },
  };
}
