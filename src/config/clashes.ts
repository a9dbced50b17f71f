/**
 * What two links of one file must not share, as far as no host has to be asked.
 * @module
 */
import { ENCAPS, VXLAN } from '../encap/encap.ts';
import { hasIpv4 } from '../net/fan.ts';
import { vniOf6 } from '../net/fan6.ts';
import { overlaps } from '../net/prefix.ts';
import { overlaps6 } from '../net/prefix6.ts';
import { impossibleFan } from './link/impossible.ts';
import { formatUnderlays } from './link/underlays.ts';
import type { NetworkRequest } from './network.ts';
import { type FanRequest, joinFans, portOf } from './request.ts';

type At<T> = { request: T; line: number };
type Problem = { line: number; message: string };

/** What a fan and those before it must not share. */
export function fanClashes(
  { request, line }: At<FanRequest>,
  before: readonly At<FanRequest>[],
): Problem[] {
  return before.flatMap((other) => {
    const [names, wire] = [sameNames(request, other), sameWire(request, other)];
    return told([...names, ...wire, ...asOne(request, other.request)], line);
  });
}

/** What a network and the fans of its file must not share. */
export function networkFanClashes(
  { request, line }: At<NetworkRequest>,
  fans: readonly At<FanRequest>[],
): Problem[] {
  const port = request.port ?? VXLAN.defaultPort;
  return fans.flatMap(({ request: fan, line: at }) => {
    const messages: string[] = [];
    if (request.bridge === fan.bridge) {
      messages.push(`this network has the bridge ${fan.bridge} of the fan on line ${at}`);
    }
    if (fan.off || request.off || portOf(fan) !== port) return told(messages, line);
    if (fan.datapath === 'kernel' || (request.datapath === 'kernel' && ENCAPS[fan.encap].udp)) {
      messages.push(kernelPort(port, at, 'fan'));
    } else if (isThere(request, fan) && vniOf(fan) === request.vni && ENCAPS[fan.encap].hasVni) {
      messages.push(`this network has VNI ${request.vni} of the fan on line ${at}: choose another`);
    } else if (isThere(request, fan) && ENCAPS[fan.encap].udp && !ENCAPS[fan.encap].hasVni) {
      messages.push(otherEncap(port, fan, at));
    }
    return told(messages, line);
  });
}

function told(messages: readonly string[], line: number): Problem[] {
  return messages.map((message) => ({ line, message }));
}

function kernelPort(port: number, line: number, what: 'fan' | 'network'): string {
  return `UDP port ${port} is that of the ${what} on line ${line}, and what the kernel forwards has a port that it needs alone: give one of them another port`;
}

/** Two networks of one port, of which the kernel forwards one at least. */
export function networkPortClashes(
  { request, line }: At<NetworkRequest>,
  others: readonly At<NetworkRequest>[],
): Problem[] {
  const portOfNetwork = (one: NetworkRequest): number => one.port ?? VXLAN.defaultPort;
  const port = portOfNetwork(request);
  return others.flatMap(({ request: other, line: at }) => {
    const isKernels = request.datapath === 'kernel' || other.datapath === 'kernel';
    if (!isKernels || request.off || other.off || portOfNetwork(other) !== port) return [];
    return told([kernelPort(port, at, 'network')], line);
  });
}

function otherEncap(port: number, { encap }: FanRequest, line: number): string {
  return `UDP port ${port} carries ${encap} for the fan on line ${line}: give one of them another port`;
}

/** Whether a network is at the address of a fan for sure. */
function isThere({ underlay, further }: NetworkRequest, fan: FanRequest): boolean {
  if (underlay === null) return false;
  return formatUnderlays({ underlay, ...(further && { further }) }) === formatUnderlays(fan);
}

/** The VXLAN network that a fan's packets are in. */
function vniOf({ vni, overlay, overlay6 }: FanRequest): number {
  if (hasIpv4(overlay) || overlay6 === undefined) return vni ?? overlay.address >>> 8;
  return vni ?? vniOf6(overlay6);
}

/** Whether two fans have one overlay. */
function isSameOverlay(one: FanRequest, other: FanRequest): boolean {
  const [a, b] = [one.overlay6, other.overlay6];
  if (a !== undefined && b !== undefined) return a.length === b.length && overlaps6(a, b);
  const [c, d] = [one.overlay, other.overlay];
  return hasIpv4(c) && hasIpv4(d) && c.length === d.length && overlaps(c, d);
}

/** An IPv6 fan may have the bridge of an IPv4 one, and is of its link then. */
function areBeside(one: FanRequest, other: FanRequest): boolean {
  return hasIpv4(one.overlay) !== hasIpv4(other.overlay);
}

/** Whether one of them may become the other's IPv6 side, which is of one link with it. */
function mayJoin(one: FanRequest, other: FanRequest): boolean {
  const { bridge } = hasIpv4(one.overlay) ? other : one;
  return areBeside(one, other) && bridge !== null;
}

function sameNames(fan: FanRequest, { request: other, line }: At<FanRequest>): string[] {
  const messages: string[] = [];
  if (isSameOverlay(fan, other)) {
    messages.push(`this fan has the overlay of the one on line ${line}`);
  }
  if (!areBeside(fan, other) && fan.bridge !== null && fan.bridge === other.bridge) {
    messages.push(`this fan has the bridge name of the one on line ${line}`);
  }
  return messages;
}

/** Packets of one that could not be told from those of the other. */
function sameWire(fan: FanRequest, { request: other, line }: At<FanRequest>): string[] {
  const port = portOf(fan);
  const areApart = fan.off || other.off || port === 0 || port !== portOf(other);
  if (areApart || mayJoin(fan, other)) return [];
  if (fan.datapath === 'kernel' || other.datapath === 'kernel')
    return [kernelPort(port, line, 'fan')];
  if (formatUnderlays(fan) !== formatUnderlays(other)) return [];
  if (fan.encap !== other.encap) return [otherEncap(port, other, line)];
  if (!ENCAPS[fan.encap].hasVni || vniOf(fan) !== vniOf(other)) return [];
  return [
    `this fan has VNI ${vniOf(fan)} of the one on line ${line}: choose another with vni, the same on every host`,
  ];
}

/** What is wrong with the two families of a fan only when they are together. */
function asOne(fan: FanRequest, other: FanRequest): string[] {
  const [joined, ...more] = joinFans([fan, other]);
  if (joined === undefined || more.length > 0) return [];
  return impossibleFan(joined).map(({ message }) => message);
}
