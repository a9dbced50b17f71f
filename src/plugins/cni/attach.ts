/**
 * A container's interface on a fan: made, looked at, taken away. Everything here can be done again
 * after a call that died in the middle.
 * @module
 */
import { codeOf } from '../../errors.ts';
import { formatMac, macFromIpv4 } from '../../net/mac.ts';
import { Netlink } from '../../sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../sys/process/netns.ts';
import { type EngineFan, text } from '../fan.ts';
import { CniCode, CniError, type Invocation, type Result } from './protocol.ts';

/** One interface of one container. */
export type ContainerAttachment = {
  container: string;
  /** Path of a network namespace. */
  netns: string;
  ifname: string;
  /** Whether the container's default route goes by the fan. */
  isDefaultGateway: boolean;
};
/** The MAC addresses of an attachment as text. */
export type AttachedMacs = { bridge: string; outer: string; inner: string };

const NOWHERE = { address: 0, length: 0 };

/** The veth's end in the host: one name for each attachment, so that it is found again. */
export function hostEndOf(container: string, ifname: string): string {
  // FNV-1a, 44 bits of it: names hold 15 characters.
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`${container}\0${ifname}`)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return `fwc${(hash & 0xfffffffffffn).toString(16).padStart(11, '0')}`;
}

/** @throws CniError when the path is no network namespace. */
function openNamespace(path: string): NetworkNamespace {
  try {
    return NetworkNamespace.ofPath(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw new CniError(CniCode.ContainerUnknown, `there is no network namespace at ${path}`);
  }
}

/**
 * Makes the interface with its address and default route.
 * @param address u32
 * @throws CniError when the container has an interface of that name.
 */
export async function attach(
  call: ContainerAttachment,
  fan: EngineFan,
  address: number,
): Promise<AttachedMacs> {
  const namespace = openNamespace(call.netns);
  const host = Netlink.open();
  const inside = Netlink.open(namespace);
  const hostEnd = hostEndOf(call.container, call.ifname);
  try {
    if ((await inside.findLink(call.ifname)) !== undefined) {
      throw new CniError(CniCode.Failed, `the container has an interface ${call.ifname} already`);
    }
    // What a call that died left.
    if ((await host.findLink(hostEnd)) !== undefined) await host.deleteLink(hostEnd);
    try {
      const options = { peerNetnsFd: namespace.fd, mtu: fan.mtu };
      await host.createVeth(hostEnd, call.ifname, options);
      await host.setLink(hostEnd, { mtu: fan.mtu, master: fan.bridge, up: true });
      // The same address, the same MAC: caches stay right, and a fan may answer ARP by arithmetic. On a layer-2
      // network a MAC that comes back would be a move.
      if (fan.bridged && fan.busy === undefined) {
        await inside.setLink(call.ifname, { address: macFromIpv4(address) });
      }
      await inside.setLink(call.ifname, { mtu: fan.mtu, up: true });
      await inside.addAddress(call.ifname, address, fan.network.length);
      if (call.isDefaultGateway && fan.gateway !== 0) {
        await inside.addRoute({ dst: NOWHERE, via: fan.gateway, dev: call.ifname });
      }
      return {
        bridge: formatMac((await host.link(fan.bridge)).address),
        outer: formatMac((await host.link(hostEnd)).address),
        inner: formatMac((await inside.link(call.ifname)).address),
      };
    } catch (error) {
      if ((await host.findLink(hostEnd)) !== undefined) await host.deleteLink(hostEnd);
      throw error;
    }
  } finally {
    inside.close();
    host.close();
    namespace.close();
  }
}

/** What ADD answers for an attachment that was made. */
export function resultOf(
  { ifname, netns, container, config }: Invocation,
  fan: EngineFan,
  address: number,
  macs: AttachedMacs,
): Result {
  const before = config.prevResult;
  const at = before?.interfaces.length ?? 0;
  return {
    cniVersion: config.cniVersion,
    interfaces: [
      ...(before?.interfaces ?? []),
      { name: fan.bridge, mac: macs.bridge },
      { name: hostEndOf(container, ifname), mac: macs.outer },
      { name: ifname, mac: macs.inner, mtu: fan.mtu, sandbox: netns },
    ],
    ips: [
      ...(before?.ips ?? []),
      {
        address: `${text(address)}/${fan.network.length}`,
        ...(fan.gateway !== 0 && { gateway: text(fan.gateway) }),
        interface: at + 2,
      },
    ],
    routes: [
      ...(before?.routes ?? []),
      ...(config.isDefaultGateway && fan.gateway !== 0
        ? [{ dst: '0.0.0.0/0', gw: text(fan.gateway) }]
        : []),
    ],
    dns: before?.dns ?? {},
  };
}

/** Takes the interface away; harmless when it has gone, with its namespace or without. */
export async function detach(container: string, ifname: string): Promise<void> {
  const host = Netlink.open();
  try {
    const hostEnd = hostEndOf(container, ifname);
    // The other end goes with it.
    if ((await host.findLink(hostEnd)) !== undefined) await host.deleteLink(hostEnd);
  } finally {
    host.close();
  }
}

/** What is not as ADD made it, a sentence each. */
export async function differences(
  call: Invocation,
  fan: EngineFan,
  address: number,
): Promise<string[]> {
  const namespace = openNamespace(call.netns);
  const host = Netlink.open();
  const inside = Netlink.open(namespace);
  try {
    const wrong: string[] = [];
    const hostEnd = hostEndOf(call.container, call.ifname);
    const bridge = await host.findLink(fan.bridge);
    const outer = await host.findLink(hostEnd);
    if (outer === undefined) wrong.push(`the host's end ${hostEnd} is gone`);
    else if (outer.master !== bridge?.index) wrong.push(`${hostEnd} is not on ${fan.bridge}`);
    const inner = await inside.findLink(call.ifname);
    if (inner === undefined) return [...wrong, `the container has no ${call.ifname}`];
    if (!inner.up) wrong.push(`${call.ifname} is down`);
    const has = await inside.addresses(call.ifname);
    if (!has.some((one) => one.address === address && one.length === fan.network.length)) {
      wrong.push(`${call.ifname} has no longer the address ${text(address)}`);
    }
    const routes = await inside.routes();
    const isOut = routes.some(({ dst, via }) => dst.length === 0 && via === fan.gateway);
    if (call.config.isDefaultGateway && fan.gateway !== 0 && !isOut)
      wrong.push(`no default route by ${text(fan.gateway)}`);
    return wrong;
  } finally {
    inside.close();
    host.close();
    namespace.close();
  }
}
