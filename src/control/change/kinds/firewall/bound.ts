/**
 * A MAC belongs to the port that showed it, in a network whose ports are guarded strictly: the bridge itself
 * would take the next one that sends with it for its new place. The kernel keeps book in a table of the
 * family bridge: the first frame of a MAC binds it to the port that it came by, further ones refresh that, and
 * frames with it from another port are stopped, and counted, before the bridge learns from them.
 *
 * A binding ends when control says that the MAC is not behind its port any more (networks/local/bindings.ts),
 * or after {@link HELD} without a frame: longer than the bridge itself remembers, after which control asks for
 * the MAC. So a workload that is silent, but there, keeps it.
 * @module
 */
import { formatMac } from '../../../../net/mac.ts';
import { checkDevice } from '../../../../sys/host/nft.ts';
import type { Host } from '../../../host/host.ts';
import { STOPPED_CHAIN } from '../../../host/packet-filter.ts';
import type { Context, Kind } from '../kind.ts';
import type { Memo } from '../memo.ts';
import {
  dropIfThere,
  isOutdated,
  loadByBridge,
  loadChains,
  lostChains,
  type OwnChain,
  portsTableOf,
} from './chains.ts';
import { portsOf } from './guard.ts';
import type { BridgeFacts } from './inside.ts';

/** `link` is the network's bridge, `device` our port of it, whose frames the data path has judged. */
export type BoundChange = { kind: 'bound'; link: string; device: string };

const HELD = '10m';
/** Twice what a network may have on one host; who finds no room is bound to nothing, and passes. */
const MACS_MAX = 16_384;
const MAC_AND_PORT = 'ether saddr . meta iif';

function tableOfBound(link: string): string {
  return `bridge ${portsTableOf(link)}`;
}

/** Where the bindings are: MACs, and MACs each with the ifindex of its port. */
export function boundSets(link: string): string {
  const table = tableOfBound(link);
  const how = `size ${MACS_MAX}; flags dynamic,timeout; timeout ${HELD};`;
  return [
    `add table ${table}`,
    `add set ${table} macs { type ether_addr; ${how} }`,
    `add set ${table} bound { type ether_addr . iface_index; ${how} }`,
    '',
  ].join('\n');
}

/** What forgets bindings that may be there or not: what was added can be deleted. */
export function releaseText(link: string, bound: readonly { mac: number; port: number }[]): string {
  const table = tableOfBound(link);
  const macs = bound.map(({ mac }) => formatMac(mac)).join(', ');
  const pairs = bound.map(({ mac, port }) => `${formatMac(mac)} . ${port}`).join(', ');
  return ['add', 'delete']
    .flatMap((verb) => [
      `${verb} element ${table} macs { ${macs} }`,
      `${verb} element ${table} bound { ${pairs} }`,
    ])
    .concat('')
    .join('\n');
}

export function boundChains(
  { link, device }: BoundChange,
  { ports, byBridge }: BridgeFacts,
): OwnChain[] {
  const table = portsTableOf(link);
  const what = `the binding of MACs to ports of ${checkDevice(link)}`;
  const chain = (name: string, rules: readonly string[], hook = ''): OwnChain => {
    return { family: 'bridge', table, name, hook, rules, what };
  };
  const names = ports.filter((port) => port !== device).map((port) => `"${port}"`);
  const theirs = byBridge ? `meta ibrname "${link}"` : `iifname { ${names.join(', ')} }`;
  const isEmpty = !byBridge && names.length === 0;
  return [
    chain(STOPPED_CHAIN, ['counter drop']),
    chain('bind', [
      `${MAC_AND_PORT} @bound update @macs { ether saddr } update @bound { ${MAC_AND_PORT} } accept`,
      `ether saddr @macs goto ${STOPPED_CHAIN}`,
      `add @macs { ether saddr } add @bound { ${MAC_AND_PORT} } accept`,
    ]),
    chain(
      'prerouting',
      isEmpty ? [] : [`iifname "${checkDevice(device)}" accept`, `${theirs} goto bind`],
      'type filter hook prerouting priority -310',
    ),
  ];
}

async function chainsNow(change: BoundChange, memo: Memo, host: Host): Promise<OwnChain[]> {
  const ports = await portsOf(change.link, host);
  return boundChains(change, { ports, byBridge: memo.byBridge === true });
}

export const bound: Kind<BoundChange> = {
  fields: { link: 'string', device: 'string' },
  describe({ link }) {
    return `hold each MAC on ${link} to the port that showed it (nftables)`;
  },
  async apply(change, memo, { host, log }: Context) {
    const ports = await portsOf(change.link, host);
    await loadByBridge((byBridge) => boundChains(change, { ports, byBridge }), memo, host, {
      before: boundSets(change.link),
      problem: "a container can take another one's MAC on this host",
    });
    if (memo.problem !== undefined) log.warn(change.link, memo.problem);
  },
  async refresh(change, memo, context) {
    if (memo.foreign === true) return false;
    const chains = await chainsNow(change, memo, context.host);
    if (!chains.some((chain) => isOutdated(chain, memo))) return false;
    // Ports came or went: the chain that counts, and what is bound, stay.
    if ((await lostChains(chains.slice(0, 1), memo, context.host)).length > 0) return false;
    await loadChains(chains.slice(1), memo, context.host, boundSets(change.link));
    return true;
  },
  async missing(change, memo, { host }) {
    return lostChains(await chainsNow(change, memo, host), memo, host);
  },
  async undo({ link }, _memo, { host }) {
    await dropIfThere('bridge', portsTableOf(link), host);
  },
};
