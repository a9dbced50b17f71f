/**
 * Which ports of a bridge may be passed to and from without it: those where the bridge, and whoever has a
 * say there, would do nothing but forward. And where packets may leave the host straight from there: where nobody
 * has a say of what this host itself sends.
 * @module
 */

import { STRAIGHT_MTU } from '../../../bpf/port/straight.ts';
import type { BridgeSettings, Link, PortSettings } from '../../../sys/netlink/netlink.ts';
import type { NftChain } from '../../../sys/netlink/nf/tables.ts';
import {
  HOOK_FORWARD,
  HOOK_OUTPUT,
  HOOK_POSTROUTING,
  HOOK_PREROUTING,
  PORTS_TABLE,
} from '../../host/packet-filter.ts';

/** A bridge that forgets sooner is not followed. */
const AGEING_MS_MIN = 30_000;
/** Tables of ours: what they do with addresses of a fan is to leave them alone. */
const OWN_TABLES = 'fanway';
/** Hooks for IPv4 that a bridged packet comes by. */
const BRIDGED_HOOKS: readonly number[] = [HOOK_PREROUTING, HOOK_FORWARD, HOOK_POSTROUTING];

/** Hooks for IPv4 that a packet of this host's comes by as it leaves. */
const LEAVING_HOOKS: readonly number[] = [HOOK_OUTPUT, HOOK_POSTROUTING];
const ARPHRD_ETHER = 1;

export type BypassFacts = {
  bridge: BridgeSettings | undefined;
  /** ifindex of the tunnel's device. */
  tunnel: number;
  chains: readonly NftChain[];
  /** Packets in bridged frames meet the rules for IPv4, those of iptables and of nftables alike. */
  meetsIpRules: boolean;
  /** Tables of iptables and ebtables of the old kind that are in use here. */
  oldTables: { ip: readonly string[]; bridge: readonly string[] };
};

/** Whose rules have a say in what the bridge forwards, '' = nobody's. */
function whoJudges(
  { chains, oldTables }: Pick<BypassFacts, 'chains' | 'oldTables'>,
  meetsIpRules: boolean,
): string {
  const isJudge = ({ family, table, base }: NftChain): boolean => {
    if (base === undefined) return false;
    if (family === 'netdev') return true;
    // Ours at ports are about router advertisements, which never take this way.
    if (family === 'bridge') return !table.startsWith(PORTS_TABLE);
    if (!meetsIpRules || table.startsWith(OWN_TABLES)) return false;
    return (family === 'ip' || family === 'inet') && BRIDGED_HOOKS.includes(base.hook);
  };
  const chain = chains.find(isJudge);
  if (chain !== undefined) return `the chain ${chain.family} ${chain.table} ${chain.name}`;
  const [ebtables] = oldTables.bridge;
  if (ebtables !== undefined) return `ebtables (${ebtables})`;
  const [iptables] = meetsIpRules ? oldTables.ip : [];
  return iptables === undefined ? '' : `iptables (${iptables})`;
}

/** What is in the way at the bridge itself, '' = nothing. */
export function whyNoBypass({ bridge, tunnel, ...rules }: BypassFacts): string {
  if (bridge === undefined) return 'there is no bridge';
  if (bridge.vlanFiltering) return 'the bridge knows VLANs';
  if (bridge.spanningTree) return 'the bridge speaks the spanning tree protocol';
  if (bridge.ageingMs < AGEING_MS_MIN) {
    return `the bridge forgets MACs after ${bridge.ageingMs / 1000} s`;
  }
  const judge = whoJudges(rules, rules.meetsIpRules || bridge.callsIptables);
  if (judge !== '') return `what it forwards is judged by ${judge}`;
  const device = bridge.ports.find(({ index }) => index === tunnel);
  if (device === undefined) return 'its device is no port of the bridge';
  return device.setting === '' ? '' : `its device ${device.setting}`;
}

/** What is in the way at a port, '' = nothing. @param isProgrammed programs of others are there */
export function whyNotPort(port: PortSettings, isProgrammed: boolean): string {
  if (port.kind !== 'veth') return 'is no veth';
  if (!port.isElsewhere) return 'has its other end here';
  if (port.setting !== '') return port.setting;
  if (port.queues.length > 0) return `has ${port.queues.join(' and ')} of tc`;
  return isProgrammed ? 'has programs of others' : '';
}

export type StraightFacts = Pick<BypassFacts, 'chains' | 'oldTables'> & {
  /** The device that has the host's address on the underlay. */
  device: Pick<Link, 'name' | 'hardwareType' | 'master'> | undefined;
  /** Policies of IPsec about what leaves. */
  policies: number;
  /** No path is believed to be smaller than this, bytes. */
  pathMtuMin: number;
};

/** What is in the way of packets that leave straight from a port, '' = nothing. */
export function whyNotStraight(facts: StraightFacts): string {
  const { chains, oldTables, device, policies, pathMtuMin } = facts;
  if (device === undefined) return 'no device has its underlay address';
  if (device.hardwareType !== ARPHRD_ETHER) return `${device.name} is no Ethernet device`;
  if (device.master !== 0) return `${device.name} belongs to another device`;
  if (policies > 0) return 'there are policies of IPsec';
  if (pathMtuMin < STRAIGHT_MTU) return `paths may be below ${STRAIGHT_MTU} bytes (min_pmtu)`;
  const chain = chains.find(
    ({ family, table, base }) =>
      (family === 'ip' || family === 'inet') &&
      !table.startsWith(OWN_TABLES) &&
      base !== undefined &&
      LEAVING_HOOKS.includes(base.hook),
  );
  if (chain !== undefined) return `the chain ${chain.family} ${chain.table} ${chain.name}`;
  const [iptables] = oldTables.ip;
  return iptables === undefined ? '' : `iptables (${iptables})`;
}
