/**
 * Pieces of other programs' configuration that put a container on a fan: LXC, systemd-nspawn, and
 * flannel's CNI plugin.
 * @module
 */
import { refusedError } from '../errors.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { formatPrefix } from '../net/prefix.ts';
import type { EngineFan } from './fan.ts';

/** `250.0.28.20/8`: an address of a container with the length of its network. */
function inNetwork(address: number, fan: EngineFan): string {
  return formatPrefix({ address, length: fan.network.length });
}

/** The gateway as the host has it, with the length of its network. */
export function gatewayText(fan: EngineFan): string {
  return inNetwork(fan.gateway, fan);
}

/** @throws FanwayError (exit code 3) for an address that no container of this host may have. */
function requireOurs(address: number, fan: EngineFan): void {
  if (address >= fan.first && address <= fan.last) return;
  const range = `${formatIpv4(fan.first)} to ${formatIpv4(fan.last)}`;
  throw refusedError(
    'address-not-here',
    `${formatIpv4(address)} is no address for a container here: this host has ${range}`,
  );
}

/**
 * Lines for a container's `config` (LXC 2.1 and later; lxc.container.conf(5)).
 * @param address undefined = by DHCP, which the container then has to ask for itself
 */
export function lxcConfig(fan: EngineFan, address?: number): string {
  const lines = [
    `# On the fan of ${fan.bridge}: containers of all its hosts are one network.`,
    'lxc.net.0.type = veth',
    `lxc.net.0.link = ${fan.bridge}`,
    'lxc.net.0.flags = up',
    'lxc.net.0.name = eth0',
    `lxc.net.0.mtu = ${fan.mtu}`,
  ];
  if (address !== undefined) {
    requireOurs(address, fan);
    lines.push(
      `lxc.net.0.ipv4.address = ${inNetwork(address, fan)}`,
      `lxc.net.0.ipv4.gateway = ${formatIpv4(fan.gateway)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** A file for /etc/systemd/nspawn (systemd.nspawn(5)); addresses come by DHCP, or from inside. */
export function nspawnConfig(fan: EngineFan): string {
  return `${[
    `# On the fan of ${fan.bridge}. Inside, the interface is host0; the MTU comes by DHCP.`,
    '[Network]',
    `Bridge=${fan.bridge}`,
  ].join('\n')}\n`;
}

/**
 * What flannel's CNI plugin reads (/run/flannel/subnet.env). Only for routed fans: it gives containers
 * the slice as their network, and sends all else to the gateway.
 * @throws FanwayError (exit code 3) for a bridged fan.
 */
export function subnetEnv(fan: EngineFan): string {
  if (fan.bridged) {
    throw refusedError(
      'not-routed',
      `flannel's plugin knows routed networks only, and ${fan.bridge} is bridged: bring the fan up with --encap fou (or ipip), or use fanway cni install`,
    );
  }
  return `${[
    `FLANNEL_NETWORK=${formatPrefix(fan.overlay)}`,
    `FLANNEL_SUBNET=${gatewayText(fan)}`,
    `FLANNEL_MTU=${fan.mtu}`,
    // True: masquerading is done here, and the plugin leaves it.
    'FLANNEL_IPMASQ=true',
  ].join('\n')}\n`;
}
