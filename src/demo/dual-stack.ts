/**
 * The IPv6 fan that the demo brings up beside the IPv4 one: containers make their addresses themselves.
 * @module
 */
import { formatAddress6 } from '../net/prefix6.ts';
import { readSysctl } from '../sys/host/sysctl.ts';
import { startTraffic } from '../traffic/run.ts';
import type { Lab, LabContainer, LabHost } from './lab.ts';
import { runFanway } from './router.ts';

export const OVERLAY6 = 'fd00:fa::/32';
const PORT = 5006;
const BYTES = 16 * 1024 * 1024;
/** Duplicate address detection and an advertisement that somebody has to wait for. */
const ADDRESS_MS_MAX = 15_000;
const LOOK_MS = 50;

/** What one container sent to another by IPv6. */
export type SixResult = {
  from: string;
  to: string;
  bytes: number;
  sha256: string;
  equal: boolean;
};

/** Whether the kernel of this machine knows IPv6. */
export function hasIpv6(): boolean {
  return readSysctl('net/ipv6/conf/all/disable_ipv6') !== null;
}

/** Brings the IPv6 fan up on the bridges of the IPv4 one. @throws RouterError */
export async function upBeside(hosts: readonly LabHost[], bridge: string, underlay: string) {
  await Promise.all(
    hosts.map((host) => runFanway(host, ['up', OVERLAY6, underlay, 'bridge', bridge])),
  );
}

/** The address that a container has made for itself. @throws Error when it has none in time */
export async function addressOf(container: LabContainer): Promise<string> {
  const deadline = performance.now() + ADDRESS_MS_MAX;
  const { index } = await container.netlink.link('eth0');
  for (;;) {
    const addresses = await container.netlink.addresses6();
    const own = addresses.find((one) => one.index === index && one.address[0] >>> 24 === 0xfd);
    if (own !== undefined) return formatAddress6(own.address);
    if (performance.now() > deadline) throw new Error(`${container.name} has no IPv6 address`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** TCP over IPv6 between containers of two hosts. @throws TrafficError */
export async function measureSix(lab: Lab): Promise<SixResult> {
  const [from, to] = [lab.container(0, 0), lab.container(1, 0)];
  const [source, address] = [await addressOf(from), await addressOf(to)];
  const server = startTraffic(to, 'six', { listen: address, port: PORT });
  await server.ready;
  const options = { from: source, connect: address, port: PORT, bytes: BYTES };
  const result = await startTraffic(from, 'six', options).result;
  server.kill();
  const { bytes, sha256, equal } = result;
  return { from: from.name, to: `${to.name} (${address})`, bytes, sha256, equal };
}
