/**
 * The device by which the kernel forwards for a link: of all networks of a UDP port, or of all that is IP in IP.
 * @module
 */
import { createHash } from 'node:crypto';
import { carriesFrames } from '../../../encap/encap.ts';
import type { Link, Netlink } from '../../../sys/netlink/netlink.ts';
import { deviceMtuOf, type WireSpec } from '../../store/link-spec.ts';

type Wire = Pick<WireSpec, 'encap' | 'port'>;

/** Whether a device is such a one as a link needs. */
export function isDeviceOf(
  { encap, port }: Wire,
  { vxlan, ipip }: Pick<Link, 'vxlan' | 'ipip'>,
): boolean {
  if (!carriesFrames(encap)) return ipip?.external === true;
  return vxlan?.external === true && vxlan.port === port;
}

/** Makes it under a name, down. @throws NetlinkError EEXIST where there is one already */
export function makeDevice(netlink: Netlink, spec: WireSpec, name: string): Promise<void> {
  const mtu = deviceMtuOf(spec);
  if (!carriesFrames(spec.encap)) return netlink.createExternalIpip(name, { mtu });
  return netlink.createExternalVxlan(name, { port: spec.port, mtu });
}

/**
 * What a link's device is called beside another one that has its name: always the same, as a successor knows it by
 * this before it bears a mark.
 */
export function temporaryNameOf({ name }: Pick<WireSpec, 'name'>): string {
  return `fw-${createHash('sha256').update(name).digest('hex').slice(0, 10)}`;
}
