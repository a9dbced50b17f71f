/**
 * A fan on a device that root made for an ordinary user (`ip tuntap add ... user U`): the user's router
 * opens it, and nothing else of the host is changed. What root has to have made beside it is told where it
 * is missing, with the lines to type.
 * @module
 */
import type { FanRequest } from '../../config/request.ts';
import { ENCAPS } from '../../encap/encap.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { addressLengthOf } from '../host/bridge/adoption.ts';
import type { Obstacle } from '../host/forwarding.ts';
import type { Snapshot } from '../host/snapshot.ts';
import { deviceMtuOf, isBridged, type LinkSpec } from '../store/link-spec.ts';
import type { Plan } from './plan.ts';
import { changesOf } from './plan-changes.ts';
import type { Keep, Refusal } from './underlay/resolve.ts';

/** Refusals of a fan with a bridge of its own that mean nothing where the device is all there is. */
const NOT_OURS = new Set(['overlay-in-use', 'name-taken']);

/** Plans a fan that makes its own device. */
type PlanPlain = (request: FanRequest, snapshot: Snapshot, keep?: Keep) => Plan;

/** What `up` would do for a request that names its device. */
export function planOwned(
  request: FanRequest & { device: string },
  snapshot: Snapshot,
  plain: PlanPlain,
  keep?: Keep,
): Plan {
  const { device, ...rest } = request;
  const running = snapshot.fans.find(({ spec }) => spec.device === device);
  const plan = plain({ ...rest, force: true, masquerade: false }, snapshot, keep);
  if (plan.outcome === 'same') return plan;
  if (plan.outcome === 'refused') {
    const refusals = plan.refusals.filter(({ code }) => !NOT_OURS.has(code));
    return { outcome: 'refused', refusals: refusals.length > 0 ? refusals : plan.refusals };
  }
  const spec: LinkSpec = { ...plan.spec, device, owned: true };
  const refusals = deviceRefusals(spec, snapshot, running !== undefined);
  if (refusals.length > 0) return { outcome: 'refused', refusals };
  const warnings = ownedObstacles(spec, snapshot).map(({ message }) => message);
  return { outcome: 'changes', spec, changes: changesOf(request, spec, snapshot), warnings };
}

function deviceRefusals(spec: LinkSpec, { links }: Snapshot, isRunning: boolean): Refusal[] {
  const { device } = spec;
  if (isRunning) {
    return [{ code: 'name-taken', message: `${device} carries another fan already` }];
  }
  const link = links.find(({ name }) => name === device);
  if (link?.kind === 'tun') return [];
  const what = link === undefined ? 'there is no' : 'it is no TUN or TAP, the';
  const kind = ENCAPS[spec.encap].device;
  return [
    {
      code: 'no-device',
      message: `${what} device ${device} here: as root, ip tuntap add dev ${device} mode ${kind} user NAME; ${rootLines(spec).join('; ')}`,
    },
  ];
}

/** What root types besides, so that this host has its address in the overlay. */
function rootLines(spec: LinkSpec): string[] {
  const { device, overlay, gateway, innerMtu } = spec;
  const up = `ip link set ${device} mtu ${innerMtu} up`;
  if (!hasIpv4(overlay)) return [up];
  const address = formatPrefix({ address: gateway, length: addressLengthOf(spec) });
  const add = `ip address add ${address} dev ${device}`;
  if (isBridged(spec)) return [add, up];
  return [add, up, `ip route add ${formatPrefix(overlay)} dev ${device}`];
}

/** What root has not made, or somebody undid; fanway may not. */
export function ownedObstacles(spec: LinkSpec, { links, addresses }: Snapshot): Obstacle[] {
  if (spec.owned !== true) return [];
  const { device, gateway, overlay } = spec;
  const link = links.find(({ name }) => name === device);
  // A device that is gone is told by whoever tries to open it again.
  if (link === undefined) return [];
  const obstacles: Obstacle[] = [];
  if (!link.up) {
    obstacles.push({
      code: 'device-down',
      message: `${device} is down: as root, ip link set ${device} up`,
    });
  }
  const isThere = !hasIpv4(overlay) || addresses.some(({ address }) => address === gateway);
  if (!isThere) {
    const lines = rootLines(spec);
    obstacles.push({
      code: 'no-address',
      message: `this host has no address in the overlay: as root, ${lines.join('; ')}`,
    });
  }
  const carrier = links.find(({ index }) => index === link.master) ?? link;
  if (isThere && carrier.mtu > spec.innerMtu && carrier.mtu !== deviceMtuOf(spec)) {
    obstacles.push({
      code: 'device-mtu',
      message: `${carrier.name} has MTU ${carrier.mtu} and ${spec.innerMtu} gets through: as root, ip link set ${carrier.name} mtu ${spec.innerMtu}`,
    });
  }
  return obstacles;
}
