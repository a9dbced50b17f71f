/**
 * What a host behind a NAT sends from its tunnel's own port, so that the NAT keeps the way in open and
 * the other side sees by which address and port it goes; and the answer, which says what was seen. An
 * Ethernet frame in the link's encapsulation, of the type that path probes have too: whoever knows
 * nothing of it drops it.
 *
 * ```
 * behind the Ethernet header:
 * 0   'fank'   u32
 * 4   kind     u8: 1 = keep-alive, 2 = answer
 * 6   seat     u16: who sends, by a number that the answering side gave out
 * 8   number   u32: one more each time; the answer has the same
 * 12  port     u16: in an answer, the outer source port that was seen
 * 16  address  u32: the outer source address likewise
 * 20  tag      12 bytes that nobody can make without the seat's secret
 * 32
 * ```
 * @module
 */
import { ETHERNET_HEADER_BYTES, emitEthernet, getEtherType } from '../ethernet.ts';
import { emitVxlan, VXLAN_HEADER_BYTES } from '../vxlan.ts';
import { ETHERTYPE_PATH_PROBE } from './path-probe.ts';

export const KeepAliveKind = { None: 0, Alive: 1, Answer: 2 } as const;

const MAGIC = 0x66616e6b;
/** MACs of nobody, locally administered (IEEE 802 §8.4): no bridge learns from it, should it get to one. */
const FROM_MAC = 0x02_00_00_00_00_03;
const TO_MAC = 0x02_00_00_00_00_04;
const KIND = ETHERNET_HEADER_BYTES + 4;
/** Seat and number, as the MAC of an event (48 bits). */
export const KEEP_ALIVE_SEAT_OFFSET = ETHERNET_HEADER_BYTES + 6;
const NUMBER = KEEP_ALIVE_SEAT_OFFSET + 2;
export const KEEP_ALIVE_PORT_OFFSET = ETHERNET_HEADER_BYTES + 12;
/** Address and tag in one piece, as the address of an event (16 bytes). */
export const KEEP_ALIVE_ADDRESS_OFFSET = ETHERNET_HEADER_BYTES + 16;
const TAG = KEEP_ALIVE_ADDRESS_OFFSET + 4;
export const KEEP_ALIVE_TAG_BYTES = 12;
/** The frame, Ethernet header included. */
export const KEEP_ALIVE_BYTES = TAG + KEEP_ALIVE_TAG_BYTES;

/** What one says. `address` is an IPv4 address, u32. */
export type KeepAlive = {
  kind: number;
  seat: number;
  number: number;
  /** As seen, in an answer; 0 otherwise. */
  port: number;
  address: number;
};

/** The datagram of a VXLAN link: `tag` has {@link KEEP_ALIVE_TAG_BYTES}. */
export function keepAliveDatagram(
  vni: number,
  { kind, seat, number, port, address }: KeepAlive,
  tag: Uint8Array,
): Buffer<ArrayBuffer> {
  const datagram = Buffer.alloc(VXLAN_HEADER_BYTES + KEEP_ALIVE_BYTES);
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  emitVxlan(view, 0, vni);
  const frame = VXLAN_HEADER_BYTES;
  emitEthernet(view, frame, TO_MAC, FROM_MAC, ETHERTYPE_PATH_PROBE);
  view.setUint32(frame + ETHERNET_HEADER_BYTES, MAGIC);
  view.setUint8(frame + KIND, kind);
  view.setUint16(frame + KEEP_ALIVE_SEAT_OFFSET, seat);
  view.setUint32(frame + NUMBER, number);
  view.setUint16(frame + KEEP_ALIVE_PORT_OFFSET, port);
  view.setUint32(frame + KEEP_ALIVE_ADDRESS_OFFSET, address);
  datagram.set(tag.subarray(0, KEEP_ALIVE_TAG_BYTES), frame + TAG);
  return datagram;
}

/** What the frame at `frame`, `length` bytes long, is; {@link KeepAliveKind.None} for any other frame. */
export function keepAliveKind(view: DataView, frame: number, length: number): number {
  if (length !== KEEP_ALIVE_BYTES || getEtherType(view, frame) !== ETHERTYPE_PATH_PROBE) return 0;
  if (view.getUint32(frame + ETHERNET_HEADER_BYTES) !== MAGIC) return 0;
  const kind = view.getUint8(frame + KIND);
  return kind === KeepAliveKind.Alive || kind === KeepAliveKind.Answer ? kind : 0;
}
