/**
 * The IPv6 side of a fan, alone or beside IPv4 on the same bridge: where its slice is, what is in its way,
 * and the changes that make it. Pure, as plan.ts is.
 * @module
 */
import type { FanRequest } from '../../config/request.ts';
import { carriesFrames } from '../../encap/encap.ts';
import { hasIpv4, NO_OVERLAY, rulePrefixOf } from '../../net/fan.ts';
import {
  checkFan6,
  gatewayOf6,
  hostPartOf,
  lanOf6,
  linkLocalOf,
  sliceOf6,
  vniOf6,
} from '../../net/fan6.ts';
import { contains6, formatAddress6, formatPrefix6, type Prefix6 } from '../../net/prefix6.ts';
import {
  ADDRESS_BITS,
  formatHostPrefix,
  lastWordOf,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import { IPV6_MTU_MIN } from '../../wire/ipv6.ts';
import type { Change } from '../change/change.ts';
import {
  type AnyRecord,
  type FanRecord,
  IPV6_DISABLED,
  IPV6_FORCE,
  IPV6_FORWARDING,
  isFanRecord,
  type Snapshot,
} from '../host/snapshot.ts';
import type { LinkSpec, SixSpec } from '../store/link-spec.ts';
import type { Refusal } from './underlay/resolve.ts';

/** Conflicts named in one sentence. */
const SHOWN_MAX = 4;
const LINK_LOCAL_LENGTH = 64;
/** Bits of an underlay address that the data path goes by. */
const HOST_BITS_MAX = 32;

/** The IPv6 side of a fan with this overlay, on the host with the underlay address `local`. */
export function sixOf(overlay: Prefix6, underlay: UnderlayPrefix, local: UnderlayAddress): SixSpec {
  const slice = sliceOf6(overlay, hostPartOf(rulePrefixOf(underlay), lastWordOf(local)));
  return { overlay, slice, gateway: gatewayOf6(slice), vni: vniOf6(overlay) };
}

/** What is wrong with an IPv6 overlay wherever this host is. */
export function checkOverlay6(overlay: Prefix6, underlay: UnderlayPrefix): Refusal[] {
  const { length } = rulePrefixOf(underlay);
  if (length < 0) {
    const code = 'underlay-too-wide';
    const message = `the underlay ${formatHostPrefix(underlay)} leaves ${32 - length} bits to hosts, and ${HOST_BITS_MAX} are what tells them apart: name the part of it that your hosts are in, /${ADDRESS_BITS[6] - HOST_BITS_MAX} or longer`;
    return [{ code, message }];
  }
  return checkFan6(overlay, HOST_BITS_MAX - length).map(({ code, message }) => ({
    code: code.toLowerCase().replaceAll('_', '-'),
    message,
  }));
}

/** What keeps the IPv6 side from running on this host. */
export function checkSix(request: FanRequest, spec: LinkSpec, snapshot: Snapshot): Refusal[] {
  const { six } = spec;
  if (six === undefined) return [];
  const refusals: Refusal[] = [];
  const overlay = formatPrefix6(six.overlay);
  // An --mtu that is too small is too small everywhere.
  if (spec.innerMtu < IPV6_MTU_MIN && (request.mtu ?? IPV6_MTU_MIN) >= IPV6_MTU_MIN) {
    refusals.push({
      code: 'mtu-too-small-for-ipv6',
      message: `overlay ${overlay}: inside this fan packets have ${spec.innerMtu} bytes at most, and IPv6 needs ${IPV6_MTU_MIN} (RFC 8200 §5): raise the MTU of the underlay, or leave IPv6 out`,
    });
  }
  if (snapshot.sysctls[IPV6_DISABLED] === null) {
    refusals.push({
      code: 'no-ipv6',
      message: `this kernel has no IPv6 (no /proc/sys/${IPV6_DISABLED}): boot it without ipv6.disable=1, or take an IPv4 overlay`,
    });
  }
  const inside = conflictsOf(spec, six, snapshot);
  if (inside.length > 0 && !request.force) {
    refusals.push({
      code: 'overlay-in-use',
      message: `overlay ${overlay} contains ${inside.join(' and ')} of this host, which containers and this host could then no longer reach: take another overlay, or go on with --force`,
    });
  }
  return refusals;
}

/** Addresses and routes of this host inside an overlay, our own devices' left out. */
function conflictsOf(spec: LinkSpec, { overlay }: SixSpec, snapshot: Snapshot): string[] {
  const own = new Set(snapshot.fans.flatMap((fan) => [fan.spec.name, fan.spec.device]));
  for (const name of [spec.name, spec.device]) own.add(name);
  const nameOf = (index: number): string =>
    snapshot.links.find((link) => link.index === index)?.name ?? `link ${index}`;
  const { addresses, routes } = snapshot.six ?? { addresses: [], routes: [] };
  const found = [
    ...addresses
      .filter(({ address, index }) => contains6(overlay, address) && !own.has(nameOf(index)))
      .map(({ address, index }) => `the address ${formatAddress6(address)} on ${nameOf(index)}`),
    ...routes
      .filter(
        ({ dst, oif, isUnicast }) =>
          isUnicast &&
          dst.length >= overlay.length &&
          contains6(overlay, dst.address) &&
          !own.has(nameOf(oif)),
      )
      .map(({ dst, oif }) => `the route ${formatPrefix6(dst)} (${nameOf(oif)})`),
  ];
  const unique = [...new Set(found)];
  if (unique.length <= SHOWN_MAX) return unique;
  return [...unique.slice(0, SHOWN_MAX), `${unique.length - SHOWN_MAX} more`];
}

/** What is worth a sentence. */
export function notesOfSix(spec: LinkSpec, snapshot: Snapshot): string[] {
  const { six } = spec;
  if (six === undefined) return [];
  const lan = lanOf6(six.slice);
  const notes: string[] = [];
  if (lan.length !== 64) {
    notes.push(
      `containers have ${formatPrefix6(lan)}, which is no /64: they cannot make addresses for themselves (RFC 4862), give them some`,
    );
  }
  if (!carriesFrames(spec.encap) && !canForward(snapshot)) {
    notes.push(
      `IPv6 is not forwarded on this host (net.ipv6.conf.all.forwarding = 0), so containers do not reach other hosts: set it to 1 (devices that take routes from router advertisements then need accept_ra = 2), or use a bridged fan (vxlan)`,
    );
  }
  return notes;
}

/** Whether this host forwards IPv6, or can do so for single devices (Linux 6.17). */
function canForward({ sysctls }: Snapshot): boolean {
  return sysctls[IPV6_FORWARDING] === '1' || (sysctls[IPV6_FORCE] ?? null) !== null;
}

/** The changes that make the IPv6 side, after those of the link itself. */
export function changesOf6(spec: LinkSpec, bridgeMac: number): Change[] {
  const { six, name, device, innerMtu: mtu } = spec;
  if (six === undefined) return [];
  const { overlay, gateway, slice } = six;
  const bridged = carriesFrames(spec.encap);
  const lan = lanOf6(slice);
  const sysctl = (dev: string, key: string, value: string): Change => ({
    ...{ kind: 'sysctl', key: `net/ipv6/conf/${dev}/${key}`, value, shared: false },
  });
  // Only of our own devices: `all` would turn router advertisements off for the host's others.
  const forwarding = (dev: string): Change[] => [
    sysctl(dev, 'forwarding', '1'),
    sysctl(dev, 'force_forwarding', '1'),
  ];
  const changes: Change[] = [
    sysctl(name, 'disable_ipv6', '0'),
    ...forwarding(name),
    { kind: 'address6', device: name, address: linkLocalOf(bridgeMac), length: LINK_LOCAL_LENGTH },
    { kind: 'address6', device: name, address: gateway, length: lan.length },
  ];
  if (bridged) {
    changes.push({ kind: 'route6', destination: overlay, device: name });
  } else {
    changes.push(
      { kind: 'route6', destination: lan, device: name },
      sysctl(device, 'disable_ipv6', '0'),
      ...forwarding(device),
      { kind: 'route6', destination: overlay, device },
    );
  }
  const adverts = { bridge: name, mac: bridgeMac, lan, overlay, routed: !bridged, mtu };
  changes.push({ kind: 'adverts', adverts });
  return changes;
}

/** Whether a change is one of those that {@link changesOf6} makes. */
export function isOfSix(change: Change): boolean {
  switch (change.kind) {
    case 'address6':
    case 'route6':
    case 'adverts':
      return true;
    case 'sysctl':
      return /^net\/ipv6\/conf\/[^/]+\/(disable_ipv6|forwarding|force_forwarding)$/.test(
        change.key,
      );
    default:
      return false;
  }
}

/** Whether a link is a fan of both families. */
export function isDual(record: AnyRecord): record is FanRecord {
  return (
    isFanRecord(record) && record.request.overlay6 !== undefined && hasIpv4(record.request.overlay)
  );
}

/** A request with the IPv6 overlay that was brought up beside another one of the same fan. */
export function withOverlay6(request: FanRequest, { overlay6 }: FanRequest): FanRequest {
  return { ...(overlay6 !== undefined && { overlay6 }), ...request };
}

/** What is left of a fan of both families on bridge `bridge` without its IPv4 side. */
export function sixAlone(request: FanRequest, bridge: string): FanRequest {
  return { ...request, overlay: NO_OVERLAY, bridge, masquerade: false, dhcp: false };
}
