/**
 * The underlays of a fan beside its first. A peer's address on each is its host bits on the first, in that
 * one's network; so every host must have the same host bits everywhere, this one too.
 * @module
 */
import { type FanRequest, formatUnderlay } from '../../../config/request.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import { maskOf, networkOf } from '../../../net/prefix.ts';
import { UNDERLAY_MODE_DEFAULT, XMIT_HASH_POLICY_DEFAULT } from '../../../net/underlay-modes.ts';
import type { Snapshot } from '../../host/snapshot.ts';
import { type FurtherUnderlay, underlaysOf, type WireSpec } from '../../store/link-spec.ts';
import {
  formatHost,
  isResolved,
  type Refusal,
  type ResolvedUnderlay,
  resolveUnderlay,
} from './resolve.ts';

/** What a link with several underlays has of them; nothing where there is one. */
export type ResolvedUnderlays = Pick<
  WireSpec,
  'further' | 'underlayDevice' | 'underlayMode' | 'xmitHashPolicy'
>;

/** What a request's further underlays are on this host, or what is wrong with each of them. */
export function furtherOf(
  request: FanRequest,
  first: ResolvedUnderlay,
  snapshot: Snapshot,
): (ResolvedUnderlays & { underlayMtu: number }) | { refusals: Refusal[] } {
  const { mtu } = first.device;
  if (request.further === undefined) return { underlayMtu: mtu };
  const refusals: Refusal[] = [];
  const further: FurtherUnderlay[] = [];
  const mtus = [mtu];
  for (const selector of request.further) {
    const found = resolveUnderlay(selector, snapshot);
    const one = isResolved(found) ? place(found, formatUnderlay(selector)) : found;
    const refusal = 'code' in one ? one : mismatch(first, further, one);
    if (refusal !== undefined) refusals.push(refusal);
    else if (!('code' in one)) further.push(one);
    if (isResolved(found)) mtus.push(found.device.mtu);
  }
  if (refusals.length > 0) return { refusals };
  return {
    further,
    underlayDevice: first.device.name,
    underlayMode: request.underlayMode ?? UNDERLAY_MODE_DEFAULT,
    xmitHashPolicy: request.xmitHashPolicy ?? XMIT_HASH_POLICY_DEFAULT,
    underlayMtu: Math.min(...mtus),
  };
}

/** @param asked as it was written */
function place(found: ResolvedUnderlay, asked: string): FurtherUnderlay | Refusal {
  const { local, underlay, device } = found;
  if (typeof local !== 'number' || typeof underlay.address !== 'number') {
    return { code: 'underlay-family', message: `${asked}: several underlays are of IPv4` };
  }
  return {
    local,
    underlay: { address: underlay.address, length: underlay.length },
    device: device.name,
  };
}

function mismatch(
  first: ResolvedUnderlay,
  others: readonly FurtherUnderlay[],
  one: FurtherUnderlay,
): Refusal | undefined {
  const { local, underlay } = first;
  const at = `${formatIpv4(one.local)}/${one.underlay.length} on ${one.device}`;
  if (typeof local !== 'number') {
    return {
      code: 'underlay-family',
      message: 'several underlays are of IPv4, and the first is IPv6',
    };
  }
  if (one.underlay.length !== underlay.length) {
    return {
      code: 'underlay-width',
      message: `${at}: all underlays of a fan have the width of the first, /${underlay.length}`,
    };
  }
  const network = networkOf({ address: one.local, length: one.underlay.length });
  const networks = [underlay.address, ...others.map((other) => other.underlay.address)];
  if (networks.includes(network)) {
    return {
      code: 'underlay-same',
      message: `${at} is in the network of another underlay of this fan: each is a network of its own`,
    };
  }
  const hostBits = ~maskOf(underlay.length);
  const wanted = (network | (local & hostBits)) >>> 0;
  if (wanted === one.local) return undefined;
  return {
    code: 'underlay-host-bits',
    message: `${at}: this host is ${formatIpv4(local)} on the first underlay, so others look for it at ${formatIpv4(wanted)} here: give it that address (ip address add ${formatIpv4(wanted)}/${underlay.length} dev ${one.device})`,
  };
}

/** `172.30.0.28/16,10.31.0.28/16`: our address on each underlay, with its length. */
export function hostsOf(spec: WireSpec): string {
  return underlaysOf(spec)
    .map(({ underlay, local }) => formatHost(local, underlay.length))
    .join(',');
}

/**
 * The largest packet that every underlay of a link carries now, bytes: of the first `first`, of those
 * whose device is gone what they carried.
 */
export function lowestMtu(first: number, spec: WireSpec, { links }: Snapshot): number {
  const mtus = (spec.further ?? []).flatMap(({ device }) => {
    const link = links.find(({ name }) => name === device);
    return link === undefined ? [] : [link.mtu];
  });
  return Math.min(first, ...mtus);
}
