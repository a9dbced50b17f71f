/**
 * The changes that fanway makes to a host, as data: a plan is a list of them, the journal keeps
 * them, and each can be undone.
 * @module
 */
import { formatIpv4 } from '../net/ipv4.ts';
import { formatMac } from '../net/mac.ts';
import { formatPrefix, type Prefix } from '../net/prefix.ts';
import { deviceMtuOf, type LinkSpec } from './link-spec.ts';

export type Change =
  /** A kernel setting; `shared` ones belong to the host and are restored with the last fan. */
  | { kind: 'sysctl'; key: string; value: string; shared: boolean }
  | { kind: 'bridge'; name: string; alias: string; mac: number; mtu: number }
  | { kind: 'address'; device: string; address: number; length: number }
  /** The TUN/TAP device with its sockets and data processes, up and marked with `alias`. */
  | { kind: 'tunnel'; spec: LinkSpec; alias: string }
  | { kind: 'port'; device: string; bridge: string }
  | { kind: 'route'; destination: Prefix; device: string; source: number }
  | { kind: 'masquerade'; link: string; slice: Prefix; overlay: Prefix; bridge: string }
  | { kind: 'dhcp'; dhcp: DhcpSpec };

/** What dnsmasq hands out. Addresses are u32 in host order. */
export type DhcpSpec = {
  bridge: string;
  gateway: number;
  first: number;
  last: number;
  /** Length of the mask that containers get, bits. */
  length: number;
  /** Option 26, bytes. */
  mtu: number;
};

/** One change as a line for people. */
export function describeChange(change: Change, now?: string | null): string {
  switch (change.kind) {
    case 'sysctl': {
      const state =
        now === undefined || now === null
          ? ''
          : now === change.value
            ? ' (is so)'
            : ` (now ${now})`;
      return `set sysctl ${change.key.replaceAll('/', '.')} = ${change.value}${state}`;
    }
    case 'bridge':
      return `create bridge ${change.name}, MTU ${change.mtu}, MAC ${formatMac(change.mac)}`;
    case 'address':
      return `add address ${formatIpv4(change.address)}/${change.length} to ${change.device}`;
    case 'tunnel': {
      const { spec } = change;
      const how =
        spec.encap === 'vxlan'
          ? `vxlan, VNI ${spec.vni}, UDP port ${spec.port}`
          : spec.encap === 'fou'
            ? `fou, UDP port ${spec.port}`
            : 'ipip, IP protocol 4';
      const device = spec.encap === 'vxlan' ? 'TAP' : 'TUN';
      return `create ${device} ${spec.device} (${how}) from ${formatIpv4(spec.local)}, MTU ${deviceMtuOf(spec)}`;
    }
    case 'port':
      return `make ${change.device} a port of ${change.bridge}`;
    case 'route':
      return `add route ${formatPrefix(change.destination)} dev ${change.device} src ${formatIpv4(change.source)}`;
    case 'masquerade':
      return `masquerade ${formatPrefix(change.slice)} to everywhere but ${formatPrefix(change.overlay)}`;
    case 'dhcp':
      return `start dnsmasq on ${change.dhcp.bridge}: ${formatIpv4(change.dhcp.first)} to ${formatIpv4(change.dhcp.last)}, MTU ${change.dhcp.mtu}`;
  }
}
