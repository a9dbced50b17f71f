/**
 * What `balance-xor` goes by: the fields of the inner headers that the kernel's bonding takes for each of
 * its policies (bonding.rst, `xmit_hash_policy`), and from their hash the underlay. Both directions of a
 * flow have one hash.
 *
 * The kernel takes the hash modulo the number of links, so that with one link less nearly every flow
 * moves. Here each underlay draws a lot for each flow and the highest wins (rendezvous hashing): one that
 * is lost moves its own flows and no others, and they come back to it.
 * @module
 */
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../wire/ethernet.ts';
import { absorb, finish, hasPorts } from '../../wire/flow-hash.ts';
import {
  getIpVersion,
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  getIpv4TotalBytes,
  isIpv4Fragment,
} from '../../wire/ipv4.ts';
import {
  getIpv6NextHeader,
  getIpv6PayloadBytes,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE_OFFSET,
} from '../../wire/ipv6.ts';

/** Numbers of the policies, their places in `XMIT_HASH_POLICIES`. */
export const Policy = { Layer2: 0, Layer23: 1, Layer34: 2 } as const;

/** One of a flow's lots, so that they are not alike for two underlays. */
const LOT_SEED = 0x9e3779b1;

/** Both addresses in one word, the same either way. */
function ipv6Addresses(view: DataView, l3: number): number {
  let word = 0;
  for (let at = IPV6_SOURCE_OFFSET; at < IPV6_HEADER_BYTES; at += 4) {
    word ^= view.getUint32(l3 + at);
  }
  return word;
}

/** Both ports, the same either way; 0 for what has none or is a piece of something. */
function ports(view: DataView, l3: number, isIpv6: boolean): number {
  const protocol = isIpv6 ? getIpv6NextHeader(view, l3) : getIpv4Protocol(view, l3);
  if (!hasPorts(protocol)) return 0;
  const headerBytes = isIpv6 ? IPV6_HEADER_BYTES : getIpv4HeaderBytes(view, l3);
  const length = isIpv6 ? getIpv6PayloadBytes(view, l3) : getIpv4TotalBytes(view, l3) - headerBytes;
  // The length of a super-packet may not fit its field, which is 0 then (RFC 2675 in its manner).
  if ((length < 4 && length > 0) || (!isIpv6 && isIpv4Fragment(view, l3))) return 0;
  return view.getUint16(l3 + headerBytes) ^ view.getUint16(l3 + headerBytes + 2);
}

/**
 * Hash of the Ethernet frame at `frame` by a policy (u32), or of the IP packet where links carry those,
 * which have no MACs to go by; its headers have been checked.
 */
export function xmitHash(view: DataView, frame: number, policy: number, isFrame = true): number {
  if (!isFrame) return packetHash(view, frame, 0, getIpVersion(view, frame) === 6, policy);
  const etherType = getEtherType(view, frame);
  const l3 = frame + ETHERNET_HEADER_BYTES;
  const isIpv6 = etherType === ETHERTYPE_IPV6;
  const isIp = isIpv6 || etherType === ETHERTYPE_IPV4;
  let state = 0;
  if (policy !== Policy.Layer34 || !isIp) {
    state = absorb(etherType, view.getUint16(frame) ^ view.getUint16(frame + 6));
    state = absorb(state, view.getUint32(frame + 2) ^ view.getUint32(frame + 8));
    if (policy === Policy.Layer2 || !isIp) return finish(state);
  }
  return packetHash(view, l3, state, isIpv6, policy);
}

/** Takes the IP packet at `l3` into a hash, and ends it. */
function packetHash(
  view: DataView,
  l3: number,
  begun: number,
  isIpv6: boolean,
  policy: number,
): number {
  const addresses = isIpv6
    ? ipv6Addresses(view, l3)
    : getIpv4Source(view, l3) ^ getIpv4Destination(view, l3);
  let state = absorb(begun, addresses);
  if (policy === Policy.Layer34) state = absorb(state, ports(view, l3, isIpv6));
  return finish(state);
}

/** The underlay of a flow among the `usable` ones (bits, not 0). */
export function drawLots(hash: number, usable: number): number {
  let winner = 0;
  let highest = -1;
  for (let underlay = 0; usable >>> underlay !== 0; underlay++) {
    if (((usable >>> underlay) & 1) === 0) continue;
    const lot = finish(absorb(hash, Math.imul(underlay + 1, LOT_SEED)));
    if (lot <= highest) continue;
    highest = lot;
    winner = underlay;
  }
  return winner;
}
