/**
 * Keeping router advertisements of containers away from each other: whoever believes one sends his
 * IPv6 traffic to a stranger. They are stopped as they come in by a port of the bridge, and counted;
 * those that this host itself sends go out. What else containers say to each other in IPv6 crosses.
 * @module
 */
import { checkDevice } from '../../../../sys/host/nft.ts';
import type { Host } from '../../../host/host.ts';
import { STOPPED_CHAIN } from '../../../host/packet-filter.ts';
import type { PacketFilter } from '../../../host/snapshot.ts';
import type { Kind } from '../kind.ts';
import {
  dropIfThere,
  isOutdated,
  loadChains,
  lostChains,
  type OwnChain,
  portsTableOf,
  tryChains,
} from './chains.ts';

export type GuardChange = { kind: 'guard'; link: string; bridge: string };

/** Ports beyond this many are not guarded: the Linux bridge itself takes 1,024 (BR_MAX_PORTS). */
const PORTS_MAX = 1024;

/**
 * The chains for the ports that are there now. Which bridge a frame is in, a rule of the kernel's
 * bridge family can ask by name only where the module nft_meta_bridge is; ports can be named on all.
 */
export function guardChains(
  { link, bridge }: GuardChange,
  ports: readonly string[],
): [stopped: OwnChain, prerouting: OwnChain] {
  checkDevice(bridge);
  const table = portsTableOf(link);
  const names = ports.map((port) => `"${port}"`).join(', ');
  const what = `the stop of router advertisements between ports of ${bridge}`;
  return [
    { family: 'bridge', table, name: STOPPED_CHAIN, hook: '', rules: ['counter drop'], what },
    {
      ...{ family: 'bridge', table, name: 'prerouting' },
      // Where a frame comes in, each is seen once, and not once for every port that it would leave by.
      hook: 'type filter hook prerouting priority -300',
      // What is no such message is through after its first comparison, however many ports there are.
      rules:
        ports.length === 0
          ? []
          : [`icmpv6 type nd-router-advert iifname { ${names} } goto ${STOPPED_CHAIN}`],
      what,
    },
  ];
}

/** The names of a bridge's ports that a rule can hold, in an order that stays. */
export async function portsOf(bridge: string, host: Host): Promise<string[]> {
  const links = await host.links();
  const index = links.find((link) => link.name === bridge)?.index;
  if (index === undefined) return [];
  return links
    .filter(({ master, name }) => master === index && /^[a-zA-Z0-9_.-]{1,15}$/.test(name))
    .sort((a, b) => a.index - b.index)
    .slice(0, PORTS_MAX)
    .map(({ name }) => name);
}

/** Frames that rules for a link's ports stopped; undefined where nothing counts them. */
export function stoppedFrames(link: string, filter: PacketFilter): number | undefined {
  const table = portsTableOf(link);
  return filter.rules.find((rule) => rule.table === table && rule.chain === STOPPED_CHAIN)?.packets;
}

export const guard: Kind<GuardChange> = {
  fields: { link: 'string', bridge: 'string' },
  describe({ bridge }) {
    return `stop router advertisements between ports of ${bridge}`;
  },
  async apply(change, memo, context) {
    const chains = guardChains(change, await portsOf(change.bridge, context.host));
    const cost = `router advertisements of containers on ${change.bridge} reach their neighbours`;
    await tryChains(chains, memo, context, cost);
  },
  async refresh(change, memo, { host }) {
    if (memo.foreign === true) return false;
    const [stopped, prerouting] = guardChains(change, await portsOf(change.bridge, host));
    // Ports come and go; the chain that counts stays.
    if (!isOutdated(prerouting, memo)) return false;
    if ((await lostChains([stopped], memo, host)).length > 0) return false;
    await loadChains([prerouting], memo, host);
    return true;
  },
  async missing(change, memo, { host }) {
    return lostChains(guardChains(change, await portsOf(change.bridge, host)), memo, host);
  },
  async undo(change, _memo, { host }) {
    await dropIfThere('bridge', portsTableOf(change.link), host);
  },
};
