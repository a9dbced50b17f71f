/**
 * More underlays for the hosts of a lab: each has a segment of its own, on which every host has the host
 * bits that it has on the first.
 * @module
 */
import type { Lab, LabHost, LabNode } from '../../../src/demo/lab.ts';

const SWITCH = 'sw';
/** Network of the second underlay and the next ones: 172.31.0.0/16, 172.32.0.0/16, … */
const NETWORK = 0xac1e0000;
const NETWORK_STEP = 0x10000;

/** Address (u32) of a host on the underlay number `underlay`, 0 being the lab's own. */
export function addressOn(underlay: number, host: LabHost): number {
  return ((NETWORK + underlay * NETWORK_STEP) | (host.address & 0xffff)) >>> 0;
}

/** The middle's end of a host's cable on an underlay. */
export const portOn = (underlay: number, host: LabHost): string =>
  underlay === 0 ? `p${host.index}` : `q${underlay}p${host.index}`;

/** Gives hosts `eth1`, `eth2`, … on `count` further underlays; `mtu` in bytes. */
export async function addUnderlays(
  lab: Lab,
  count: number,
  hosts: readonly LabHost[] = lab.hosts,
  mtu = 1500,
): Promise<void> {
  const { netlink } = lab.middle;
  for (let underlay = 1; underlay <= count; underlay++) {
    const bridge = `${SWITCH}${underlay}`;
    await netlink.createBridge(bridge, { mtu, up: true });
    for (const host of hosts) {
      const port = portOn(underlay, host);
      const device = `eth${underlay}`;
      await netlink.createVeth(port, device, { peerNetnsFd: host.namespace.fd, mtu });
      await netlink.setLink(port, { up: true, master: bridge });
      await host.netlink.setLink(device, { up: true });
      await host.netlink.addAddress(device, addressOn(underlay, host), 16);
    }
  }
}

/** Runs `nft` in a namespace. @throws Error with what it says */
export function nft(node: LabNode, rules: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = node.spawn('nft', ['-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint += chunk.toString();
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`nft: ${complaint}`));
    });
    child.stdin?.end(rules);
  });
}

/** Silently drops everything that a host sends on an underlay, in the middle, or lets it through again. */
export async function silence(
  lab: Lab,
  host: LabHost,
  underlay: number,
  isSilent: boolean,
): Promise<void> {
  const port = portOn(underlay, host);
  const table = `netdev silent_${port}`;
  await nft(
    lab.middle,
    isSilent
      ? `table ${table} { chain mute { type filter hook ingress device "${port}" priority 0; policy drop;\n }\n}\n`
      : `delete table ${table}`,
  );
}
