/**
 * The underlays of a link beside its first. A peer's address on each is the one that it tells of itself, else
 * its host bits on the first, in that one's network: a host with other ones is found by members alone.
 * @module
 */

import {
  type UnderlaySide,
  type UnderlaysRequest,
  underlayMismatch,
} from '../../../config/link/underlays.ts';
import {
  familyOf,
  formatHostAddress,
  sameHostIn,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
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
  request: UnderlaysRequest,
  first: ResolvedUnderlay,
  snapshot: Snapshot,
): (ResolvedUnderlays & { underlayMtu: number; notes: string[] }) | { refusals: Refusal[] } {
  const { mtu } = first.device;
  if (request.further === undefined) return { underlayMtu: mtu, notes: [] };
  const refusals: Refusal[] = [];
  const further: FurtherUnderlay[] = [];
  const mtus = [mtu];
  for (const selector of request.further) {
    const found = resolveUnderlay(selector, snapshot);
    if (!isResolved(found)) {
      refusals.push(found);
      continue;
    }
    const { local, underlay, device } = found;
    const one = { local, underlay, device: device.name };
    const before = [{ ...first, device: first.device.name }, ...further].map(sideOf);
    const refusal = underlayMismatch(sideOf(one), before);
    if (refusal === undefined) further.push(one);
    else refusals.push(refusal);
    mtus.push(device.mtu);
  }
  if (refusals.length > 0) return { refusals };
  return {
    further,
    underlayDevice: first.device.name,
    underlayMode: request.underlayMode ?? UNDERLAY_MODE_DEFAULT,
    xmitHashPolicy: request.xmitHashPolicy ?? XMIT_HASH_POLICY_DEFAULT,
    underlayMtu: Math.min(...mtus),
    notes: [
      ...further.flatMap((one) => hostBitsNote(first.local, one) ?? []),
      ...(request.underlayMode === 'balance-rr' ? [REORDERS] : []),
    ],
  };
}

const REORDERS =
  'balance-rr: packets of one connection overtake each other; with many connections balance-xor is faster, and keeps their order';

/** One underlay of a link, as it is compared with the others. */
function sideOf({ local, underlay, device }: FurtherUnderlay): UnderlaySide {
  const { address: network, length } = underlay;
  const at = `${formatHost(local, length)} on ${device}`;
  return { at, family: familyOf(local), length, network };
}

/** What it means that this host has other host bits there than on the first underlay; undefined = it has not. */
function hostBitsNote(local: UnderlayAddress, one: FurtherUnderlay): string | undefined {
  const wanted = sameHostIn(one.underlay, local);
  if (wanted === one.local) return undefined;
  const [here, there] = [formatHostAddress(local), formatHostAddress(wanted)];
  const at = `${formatHost(one.local, one.underlay.length)} on ${one.device}`;
  return `${at}: only members of the cluster find this host there (fanway join): it is ${here} on the first underlay, so others look for it at ${there} (ip address add ${there}/${one.underlay.length} dev ${one.device})`;
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
