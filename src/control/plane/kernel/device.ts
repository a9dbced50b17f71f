/**
 * The device by which the kernel forwards for a fan: of all networks of a UDP port, or of all that is IP in IP.
 * @module
 */
import { carriesFrames } from '../../../encap/encap.ts';
import type { Link, Netlink } from '../../../sys/netlink/netlink.ts';
import { deviceMtuOf, type LinkSpec } from '../../store/link-spec.ts';

type Wire = Pick<LinkSpec, 'encap' | 'port'>;

/** Whether a device is such a one as a fan needs. */
export function isDeviceOf(
  { encap, port }: Wire,
  { vxlan, ipip }: Pick<Link, 'vxlan' | 'ipip'>,
): boolean {
  if (!carriesFrames(encap)) return ipip?.external === true;
  return vxlan?.external === true && vxlan.port === port;
}

/** Makes it under a name, down. @throws NetlinkError EEXIST where there is one already */
export function makeDevice(netlink: Netlink, spec: LinkSpec, name: string): Promise<void> {
  const mtu = deviceMtuOf(spec);
  if (!carriesFrames(spec.encap)) return netlink.createExternalIpip(name, { mtu });
  return netlink.createExternalVxlan(name, { port: spec.port, mtu });
}
