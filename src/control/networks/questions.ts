/**
 * Frames that control itself says to the ports of a network: whether a silent station is still there,
 * and that an address belongs to another MAC now.
 *
 * A question goes out of the station's own port and to its own MAC, so that nobody else hears it; its
 * sender is nobody (RFC 5227 §2.1.1; RFC 4862 §5.4.2), so that nobody learns anything from it. The
 * answer is not read: the bridge learns its sender, and that is all that was asked.
 * @module
 */
import { hostBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import { ARP_BYTES, ARP_REPLY, ARP_REQUEST, emitArp } from '../../wire/arp.ts';
import { addToSum, finishSum } from '../../wire/checksum.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  emitEthernet,
} from '../../wire/ethernet.ts';
import { ICMP_CHECKSUM_OFFSET } from '../../wire/icmp.ts';
import { emitIpv6, IPV6_DESTINATION_OFFSET, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';

/** IEEE 802.3: shorter frames are padded. */
const FRAME_BYTES_MIN = 60;
const MAC_BROADCAST = 0xffff_ffff_ffff;
/** RFC 4861 §4.3: neighbour solicitation without options. */
const SOLICITATION_BYTES = 24;
const ICMPV6_SOLICITATION = 135;
const NEXT_HEADER_ICMPV6 = 58;
/** RFC 4861 §7.1.1: anything less was forwarded by a router. */
const HOP_LIMIT = 255;
const TARGET_OFFSET = 8;

/** "Are you there?" to one station; `from` is the MAC that the answer goes to. */
export function questionFor(mac: number, address: UnderlayAddress, from: number): Uint8Array {
  return typeof address === 'number'
    ? arpFrame(mac, from, ARP_REQUEST, { mac: from, address: 0 }, { mac: 0, address })
    : solicitation(mac, hostBytes(address), from);
}

/** "This address is at this MAC", to everybody (RFC 5227 §3): caches follow. */
export function announcementOf(mac: number, address: number, from: number): Uint8Array {
  const subject = { mac, address };
  return arpFrame(MAC_BROADCAST, from, ARP_REPLY, subject, { mac: MAC_BROADCAST, address });
}

type Side = { mac: number; address: number };

function arpFrame(
  to: number,
  from: number,
  operation: number,
  sender: Side,
  target: Side,
): Uint8Array {
  const frame = new Uint8Array(Math.max(FRAME_BYTES_MIN, ETHERNET_HEADER_BYTES + ARP_BYTES));
  const view = new DataView(frame.buffer);
  emitEthernet(view, 0, to, from, ETHERTYPE_ARP);
  emitArp(
    view,
    ETHERNET_HEADER_BYTES,
    operation,
    sender.mac,
    sender.address,
    target.mac,
    target.address,
  );
  return frame;
}

/**
 * Neighbour solicitation from nobody, as duplicate address detection sends it, but to one station: it
 * answers to all nodes that the address is its own.
 */
function solicitation(to: number, address: Uint8Array, from: number): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + SOLICITATION_BYTES);
  const view = new DataView(frame.buffer);
  const ip = ETHERNET_HEADER_BYTES;
  const icmp = ip + IPV6_HEADER_BYTES;
  emitEthernet(view, 0, to, from, ETHERTYPE_IPV6);
  emitIpv6(view, ip, 0, 0, SOLICITATION_BYTES, NEXT_HEADER_ICMPV6, HOP_LIMIT);
  // The solicited-node address (RFC 4291 §2.7.1): ff02::1:ff and the last three bytes.
  frame.set([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff], ip + IPV6_DESTINATION_OFFSET);
  frame.set(address.subarray(13), ip + IPV6_DESTINATION_OFFSET + 13);
  view.setUint8(icmp, ICMPV6_SOLICITATION);
  frame.set(address, icmp + TARGET_OFFSET);
  const pseudo = addToSum(view, ip + 8, 32, NEXT_HEADER_ICMPV6 + SOLICITATION_BYTES);
  const sum = finishSum(addToSum(view, icmp, SOLICITATION_BYTES, pseudo));
  view.setUint16(icmp + ICMP_CHECKSUM_OFFSET, sum);
  return frame;
}
