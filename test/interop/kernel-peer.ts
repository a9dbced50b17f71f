/**
 * A lab host whose overlay is the kernel's own: a stock VXLAN device without learning, a bridge and
 * one container, every forwarding entry filled by the fan's arithmetic.
 * @module
 */
import type { LabContainer, LabHost } from '../../src/demo/lab.ts';
import { peerOf, sliceOf } from '../../src/net/fan.ts';
import { NetlinkError } from '../../src/sys/netlink/netlink.ts';
import { FAN, workloadOf } from './fan-host.ts';

const BRIDGE = 'kernel-fan';
const DEVICE = 'kernel-vxlan';
/** Outer IPv4, UDP, VXLAN, inner Ethernet. RFC 7348 §5. */
const OVERHEAD_BYTES = 50;

/** An overlay address behind another host, and the MAC that answers for it. */
export type FarAddress = { address: number; mac: number };

/** The fan's VNI, as LXD chooses it. */
export const VNI = FAN.overlay.address >>> 8;

/**
 * Makes the device and the bridge.
 * @returns why this kernel cannot, undefined when it could.
 * @throws NetlinkError for any other reason.
 */
export async function addKernelFan(host: LabHost, port: number): Promise<string | undefined> {
  const { netlink, address: local } = host;
  const mtu = (await netlink.link('eth0')).mtu - OVERHEAD_BYTES;
  try {
    await netlink.createVxlan(DEVICE, { vni: VNI, port, local, ttl: 64, mtu, learning: false });
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'EOPNOTSUPP') {
      return 'this kernel has no VXLAN device (module vxlan)';
    }
    throw error;
  }
  const slice = sliceOf(FAN, local);
  await netlink.createBridge(BRIDGE, { mtu });
  await netlink.setLink(DEVICE, { master: BRIDGE, up: true });
  await netlink.setLink(BRIDGE, { up: true });
  await netlink.addAddress(BRIDGE, slice.address + 1, FAN.overlay.length);
  return undefined;
}

/** Plugs the container into the kernel's bridge. */
export async function attachToKernelFan(container: LabContainer): Promise<void> {
  const underlay = container.host.address;
  await container.attach({
    bridge: BRIDGE,
    address: workloadOf(underlay),
    length: FAN.overlay.length,
  });
}

/**
 * Forwarding entries for what lies behind other hosts: MAC → the underlay host that the fan
 * computes. `resolve` says how the container learns the MACs: `static` neighbours, or `flood`, an
 * entry for the all-zero MAC that carries its broadcast ARP to those hosts.
 */
export async function addFarAddresses(
  container: LabContainer,
  far: readonly FarAddress[],
  resolve: 'static' | 'flood',
): Promise<void> {
  const { netlink } = container.host;
  const hosts = new Set(far.map(({ address }) => peerOf(FAN, address)));
  if (resolve === 'flood') for (const host of hosts) await netlink.addFdb(DEVICE, 0, host);
  for (const { address, mac } of far) {
    await netlink.addFdb(DEVICE, mac, peerOf(FAN, address));
    if (resolve === 'flood') continue;
    await netlink.addNeighbour(BRIDGE, address, mac);
    await container.netlink.addNeighbour('eth0', address, mac);
  }
}

/** What the kernel's device dropped or could not read. */
export async function kernelErrors(host: LabHost): Promise<Record<string, number>> {
  const { statistics } = await host.netlink.link(DEVICE);
  const { rxErrors, txErrors, rxDropped, txDropped } = statistics;
  return { rxErrors, txErrors, rxDropped, txDropped };
}

export async function removeKernelFan(container: LabContainer): Promise<void> {
  const { netlink } = container.host;
  await container.detach();
  for (const name of [DEVICE, BRIDGE]) {
    if ((await netlink.findLink(name)) !== undefined) await netlink.deleteLink(name);
  }
  for (const { address, mac } of await container.netlink.neighbours()) {
    if (mac !== 0) await container.netlink.deleteNeighbour('eth0', address).catch(() => undefined);
  }
}
