/**
 * The kernel's own VXLAN device in the layout of a bridged fan: a bridge with the slice's gateway,
 * the device as its port, and forwarding entries filled by the same arithmetic. The yardstick that
 * demo and benchmark put beside fanway.
 * @module
 */
import { VXLAN } from '../encap/encap.ts';
import { Netlink, NetlinkError } from '../sys/netlink/netlink.ts';
import type { NetworkNamespace } from '../sys/process/netns.ts';

/** Outer IPv4 (20) + UDP (8) + VXLAN (8) + inner Ethernet (14). RFC 7348 §5. */

/** One end of the kernel's overlay. Addresses are u32 in host order. */
export type KernelEnd = {
  namespace: NetworkNamespace;
  underlay: number;
  gateway: number;
  /** Addresses and MACs of the containers behind this end, which the others must know. */
  containers: readonly { address: number; mac: number }[];
};

export type KernelVxlanOptions = {
  bridge: string;
  device: string;
  vni: number;
  port: number;
  /** Prefix length of the gateway's address: the whole overlay's. */
  length: number;
  underlayMtu: number;
};

/**
 * The MAC that a gateway's bridge gets: the one that `fanway up` gives it too, so that a fanway and
 * a kernel with static neighbours can speak to each other.
 */
function macOf(address: number): number {
  return 0x02fa_0000_0000 + address;
}

/**
 * Makes the overlay at `ends`.
 * @param known whom they know, themselves included: more when others speak VXLAN by other means.
 * @returns undefined, or why this kernel cannot (it has no VXLAN module).
 * @throws NetlinkError for anything else.
 */
export async function addKernelVxlan(
  ends: readonly KernelEnd[],
  options: KernelVxlanOptions,
  known: readonly KernelEnd[] = ends,
): Promise<string | undefined> {
  for (const end of ends) {
    const netlink = Netlink.open(end.namespace);
    try {
      await addEnd(netlink, end, known, options);
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'EOPNOTSUPP') {
        return 'this kernel has no VXLAN device';
      }
      throw error;
    } finally {
      netlink.close();
    }
  }
  return undefined;
}

async function addEnd(
  netlink: Netlink,
  end: KernelEnd,
  ends: readonly KernelEnd[],
  options: KernelVxlanOptions,
): Promise<void> {
  const { bridge, device, vni, port, length, underlayMtu } = options;
  const mtu = underlayMtu - VXLAN.overheadBytes;
  await netlink.createVxlan(device, { vni, port, local: end.underlay, ttl: 64, mtu });
  await netlink.createBridge(bridge, { address: macOf(end.gateway), mtu });
  await netlink.setLink(device, { master: bridge, up: true });
  await netlink.setLink(bridge, { up: true });
  await netlink.addAddress(bridge, end.gateway, length);
  for (const other of ends) {
    if (other.underlay === end.underlay) continue;
    // MAC 0 is where broadcasts go: ARP of whoever has no static neighbour.
    await netlink.addFdb(device, 0, other.underlay);
    const gateway = { address: other.gateway, mac: macOf(other.gateway) };
    for (const { address, mac } of [gateway, ...other.containers]) {
      await netlink.addFdb(device, mac, other.underlay);
      await netlink.addNeighbour(bridge, address, mac);
    }
  }
}

/** Takes the overlay away again. @throws NetlinkError */
export async function removeKernelVxlan(
  ends: readonly KernelEnd[],
  options: KernelVxlanOptions,
): Promise<void> {
  for (const end of ends) {
    const netlink = Netlink.open(end.namespace);
    try {
      for (const name of [options.device, options.bridge]) {
        if ((await netlink.findLink(name)) !== undefined) await netlink.deleteLink(name);
      }
    } finally {
      netlink.close();
    }
  }
}
