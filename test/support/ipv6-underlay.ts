/**
 * An underlay of IPv6 alone for a lab: each host's eth0 loses its IPv4 address and gets fd00:30::
 * with the same last 16 bits, so that slices stay the same ones.
 * @module
 */
import { spawnSync } from 'node:child_process';
import type { Lab, LabHost, LabNode } from '../../src/demo/lab.ts';
import {
  lastWordOf,
  parseHostAddress,
  type UnderlayAddress,
  withLastWord,
} from '../../src/net/underlay-address.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

export const IPV6_UNDERLAY = 'fd00:30::';
export const IPV6_LENGTH = 112;
const NETWORK = parseHostAddress(IPV6_UNDERLAY);

/** Runs `ip ARGS` in a node's namespace. @throws Error with what it said */
export function ip(node: Pick<LabNode, 'run'>, ...args: string[]): string {
  const { status, error, stdout, stderr } = node.run(() =>
    spawnSync('ip', args, { encoding: 'utf8' }),
  );
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/** Why such a lab cannot be had here, or false. */
export function skipWithoutIpv6(): string | false {
  const reason = skipWithoutTun();
  if (reason !== false) return reason;
  return spawnSync('ip', ['-V']).status === 0 ? false : 'needs ip of iproute2';
}

/** A host's address on the underlay of IPv6. */
export function ipv6Of(host: Pick<LabHost, 'address'>): UnderlayAddress {
  return withLastWord(NETWORK, host.address & 0xffff);
}

/** Lets IPv6 be on a node, as it is on hosts. */
export function turnOnIpv6(node: LabNode): void {
  node.run(() => {
    for (const scope of ['all', 'default', 'lo', 'eth0']) {
      writeSysctl(`net/ipv6/conf/${scope}/disable_ipv6`, '0');
    }
    // A router that advertises itself there is none, and solicitations are noise.
    writeSysctl('net/ipv6/conf/eth0/accept_ra', '0');
  });
}

/** Turns the hosts of a lab over, before a router runs on them. */
export async function moveToIpv6(lab: Lab): Promise<void> {
  for (const host of lab.hosts) {
    turnOnIpv6(host);
    await host.netlink.deleteAddress('eth0', host.address, host.length);
    giveIpv6(host, `${textOf(ipv6Of(host))}/${IPV6_LENGTH}`);
  }
}

export function giveIpv6(node: LabNode, address: string, device = 'eth0'): void {
  ip(node, '-6', 'address', 'add', address, 'dev', device, 'nodad');
}

function textOf(address: UnderlayAddress): string {
  return `${IPV6_UNDERLAY}${lastWordOf(address).toString(16)}`;
}
