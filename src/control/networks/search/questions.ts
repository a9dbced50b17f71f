/**
 * Frames that control itself says to the ports of a network: whether a silent station is still there, who
 * has an address, and that an address belongs to another MAC now.
 *
 * A question to a station goes out of its own port and to its own MAC, so that nobody else hears it; one
 * for an address that nobody is known to have goes to everybody behind a port. In ARP its sender is
 * nobody (RFC 5227 §2.1.1), so that nobody learns anything from it. In Neighbour Discovery it has an
 * address: the same question from nobody is duplicate address detection (RFC 4862 §5.4.3), and would
 * take its address from a station that is about to have it.
 *
 * Answers go to {@link SEARCHER_MAC}, which the bridge has behind our own device: there the data path
 * hears them like any other word of a station.
 * @module
 */
import { linkLocalOf } from '../../../net/fan6.ts';
import { bytesOfIpv6 } from '../../../net/prefix6.ts';
import { hostBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { ARP_BYTES, ARP_REPLY, ARP_REQUEST, emitArp, setArpTarget } from '../../../wire/arp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  emitEthernet,
} from '../../../wire/ethernet.ts';
import { emitNeighbourSolicit, NEIGHBOUR_SOLICIT_PACKET_BYTES } from '../../../wire/six/nd-link.ts';

/** IEEE 802.3: shorter frames are padded. */
const FRAME_BYTES_MIN = 60;
const MAC_BROADCAST = 0xffff_ffff_ffff;
/** Groups of IPv6 on Ethernet (RFC 2464 §7): 33:33 and the last four bytes. */
const MAC_GROUP6 = 0x3333_0000_0000;
/** Solicited-node groups (RFC 4291 §2.7.1) end in ff and the last three bytes of the address. */
const SOLICITED_NODE = 0xff00_0000;
const THREE_BYTES = 2 ** 24;

/** Who asks: locally administered, the same on every host and network, never on the underlay. */
export const SEARCHER_MAC = 0x02fb_ff5e_a4c4;
const SEARCHER_ADDRESS = bytesOfIpv6(linkLocalOf(SEARCHER_MAC));

/** "Are you there?" to one station. */
export function questionFor(mac: number, address: UnderlayAddress): Uint8Array {
  return typeof address === 'number' ? arpQuestion(mac, address) : ndQuestion(mac, address);
}

/** "Who has this address?" to everybody. */
export function searchFor(address: UnderlayAddress): Uint8Array {
  if (typeof address === 'number') return arpQuestion(MAC_BROADCAST, address);
  const last = Number.parseInt(address.slice(-6), 16);
  return ndQuestion(MAC_GROUP6 + SOLICITED_NODE + (last % THREE_BYTES), address);
}

/** "This address is at this MAC", to everybody (RFC 5227 §3): caches follow. */
export function announcementOf(mac: number, address: number, from: number): Uint8Array {
  const subject = { mac, address };
  return arpFrame(MAC_BROADCAST, from, ARP_REPLY, subject, { mac: MAC_BROADCAST, address });
}

function arpQuestion(to: number, address: number): Uint8Array {
  const nobody = { mac: SEARCHER_MAC, address: 0 };
  return arpFrame(to, SEARCHER_MAC, ARP_REQUEST, nobody, { mac: 0, address });
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
  emitArp(view, ETHERNET_HEADER_BYTES, operation, sender.mac, sender.address);
  setArpTarget(view, ETHERNET_HEADER_BYTES, target.mac, target.address);
  return frame;
}

function ndQuestion(to: number, address: string): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HEADER_BYTES + NEIGHBOUR_SOLICIT_PACKET_BYTES);
  const view = new DataView(frame.buffer);
  emitEthernet(view, 0, to, SEARCHER_MAC, ETHERTYPE_IPV6);
  const target = hostBytes(address);
  emitNeighbourSolicit(view, ETHERNET_HEADER_BYTES, SEARCHER_ADDRESS, target, SEARCHER_MAC);
  return frame;
}
