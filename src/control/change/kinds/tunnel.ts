/**
 * The TUN or TAP device with its sockets and data processes, or the device that the kernel forwards by.
 * @module
 */
import { ENCAPS, isPacketsInUdp, onTheWire } from '../../../encap/encap.ts';
import { formatHostAddress } from '../../../net/underlay-address.ts';
import type { Host } from '../../host/host.ts';
import { needsFouPort } from '../../host/kernel/fou-port.ts';
import { isDeviceOf, temporaryNameOf } from '../../plane/kernel/device.ts';
import {
  type AnySpec,
  deviceMtuOf,
  deviceQueueOf,
  isAnySpec,
  isKernels,
} from '../../store/link-spec.ts';
import { type Kind, rename, unlessGone } from './kind.ts';

/** Of either data path. */
const DEVICE_KINDS = ['tun', 'vxlan', 'ipip'];

/** The device is up and marked with `alias`. */
export type TunnelChange = { kind: 'tunnel'; spec: AnySpec; alias: string };

/** Killed between the making of a device beside another one and its marking. */
function isUnmarked(spec: AnySpec, { alias, name }: { alias: string; name: string }): boolean {
  return alias === '' && name === temporaryNameOf(spec);
}

/** What a predecessor left of a link that is not as it should be: killed while its data path became the other one. */
async function removeStrays({ spec, alias }: TunnelChange, host: Host): Promise<void> {
  if (spec.owned === true) return;
  for (const link of await host.links()) {
    const isOurs = link.alias === alias || isUnmarked(spec, link);
    if (!isOurs || !DEVICE_KINDS.includes(link.kind)) continue;
    const isKind = isKernels(spec) ? isDeviceOf(spec, link) : link.kind === 'tun';
    if (isKind && link.name === spec.device) continue;
    // Its listener holds the port that the other data path is to have.
    if (isPacketsInUdp(spec.encap) && link.ipip?.external === true)
      await host.deleteFouPort?.(spec.port);
    await unlessGone(host.deleteLink(link.index));
  }
}

export const tunnel: Kind<TunnelChange> = {
  fields: { spec: 'object', alias: 'string' },
  isWhole: ({ spec }) => isAnySpec(spec),
  describe({ spec }) {
    if (spec.owned === true)
      return `use ${spec.device}, which is this user's, from ${formatHostAddress(spec.local)}`;
    const { hasVni, device: kind } = ENCAPS[spec.encap];
    const how = [spec.encap, hasVni ? `VNI ${spec.vni}` : '', onTheWire(spec.encap, spec.port)]
      .filter(Boolean)
      .join(', ');
    const device = isKernels(spec)
      ? `the kernel's ${spec.encap.toUpperCase()}`
      : kind.toUpperCase();
    return `create ${device} ${spec.device} (${how}) from ${formatHostAddress(spec.local)}, MTU ${deviceMtuOf(spec)}`;
  },
  async apply(change, memo, { host, tunnels }) {
    const { spec, alias } = change;
    const known = (await host.links()).find((link) => link.index === memo.index);
    if (known === undefined) {
      // New, re-attached after a restart, or deleted by somebody while its sockets stayed.
      await tunnels.removeLink(spec.name);
      await removeStrays(change, host);
      memo.index = (await tunnels.addLink(spec)).ifindex;
    } else if (spec.owned !== true) {
      await rename(host, known, spec.device);
      // What hangs on the device may be what is missing.
      if (isKernels(spec)) await tunnels.addLink(spec);
    }
    if (spec.owned === true) return;
    const index = memo.index ?? spec.device;
    const txQueueLen = deviceQueueOf(spec);
    await host.setLink(index, { alias, mtu: deviceMtuOf(spec), txQueueLen });
    await host.setLink(index, { up: true });
  },
  async missing({ spec, alias }, memo, { host, tunnels }) {
    const { device } = spec;
    const mtu = deviceMtuOf(spec);
    const link = (await host.links()).find((link) => link.index === memo.index);
    if (link === undefined) return [`device ${device}`];
    if (spec.owned === true) return [];
    const lost: string[] = [];
    if (link.name !== device) lost.push(`name of ${device} (was ${link.name})`);
    if (link.alias !== alias) lost.push(`mark of ${device}`);
    if (!link.up) lost.push(`${device} being up`);
    if (link.mtu !== mtu) lost.push(`MTU ${mtu} of ${device} (was ${link.mtu})`);
    const queue = deviceQueueOf(spec);
    // The kernel's own device has none.
    if (!isKernels(spec) && link.txQueueLen !== queue) {
      lost.push(`queue of ${queue} packets of ${device} (was ${link.txQueueLen})`);
    }
    return [...lost, ...(await tunnels.missing(spec.name))];
  },
  async undo(change, memo, { host, tunnels }) {
    const { spec, alias } = change;
    await tunnels.removeLink(spec.name);
    if (spec.owned === true) return;
    // The fan's listener, too: where it had a device of the kernel's, or has what is left of one.
    let hadPort = needsFouPort(spec) && memo.index !== undefined;
    for (const link of await host.links()) {
      // Of either data path: it may have been killed while it went from one to the other.
      if (!DEVICE_KINDS.includes(link.kind)) continue;
      const isNew = memo.index === undefined && link.name === spec.device;
      // Killed between its making and its marking, the device has no alias and no known index.
      const ours = link.alias === alias || (link.alias === '' && isNew) || isUnmarked(spec, link);
      if (!ours) continue;
      hadPort ||= isPacketsInUdp(spec.encap) && link.ipip?.external === true;
      if (hadPort) await host.deleteFouPort?.(spec.port);
      await unlessGone(host.deleteLink(link.index));
    }
    if (hadPort) await host.deleteFouPort?.(spec.port);
  },
};
