/**
 * Ethernet II frames (IEEE 802.3 §3). Addresses are 48-bit numbers, so they are read as 16 + 32
 * bits and never pass through bit operators.
 * Every function needs {@link ETHERNET_HEADER_BYTES} bytes at `offset`; `checkEthernet` in
 * classify.ts looks once.
 * @module
 */

export const ETHERNET_HEADER_BYTES = 14;
/** Extra bytes of one 802.1Q tag. */
export const VLAN_TAG_BYTES = 4;

/** IEEE 802 Numbers, IANA registry "ETHER TYPES", 2025-10. */
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_QINQ = 0x88a8;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_LLDP = 0x88cc;
/** Below this the field is a length (IEEE 802.3 §3.2.6): LLC frames such as BPDUs. */
export const ETHERTYPE_MIN = 0x0600;

export const ETHERNET_DESTINATION_OFFSET = 0;
export const ETHERNET_SOURCE_OFFSET = 6;
export const ETHERTYPE_OFFSET = 12;

const TWO_32 = 0x100000000;

/** A MAC as 48-bit number from any place, network byte order. */
export function getMac(view: DataView, offset: number): number {
  return view.getUint16(offset) * TWO_32 + view.getUint32(offset + 2);
}

/** Writes a 48-bit number as MAC. */
export function setMac(view: DataView, offset: number, mac: number): void {
  // `>>> 16` would lose the upper half: division first, then truncation.
  view.setUint16(offset, (mac / TWO_32) | 0);
  view.setUint32(offset + 2, mac >>> 0);
}

export function getEthernetDestination(view: DataView, offset: number): number {
  return getMac(view, offset);
}

export function setEthernetDestination(view: DataView, offset: number, mac: number): void {
  setMac(view, offset, mac);
}

export function getEthernetSource(view: DataView, offset: number): number {
  return getMac(view, offset + ETHERNET_SOURCE_OFFSET);
}

export function setEthernetSource(view: DataView, offset: number, mac: number): void {
  setMac(view, offset + ETHERNET_SOURCE_OFFSET, mac);
}

export function getEtherType(view: DataView, offset: number): number {
  return view.getUint16(offset + ETHERTYPE_OFFSET);
}

export function setEtherType(view: DataView, offset: number, etherType: number): void {
  view.setUint16(offset + ETHERTYPE_OFFSET, etherType);
}

/** True when the destination's group bit is set: multicast or broadcast. */
export function isGroupDestination(view: DataView, offset: number): boolean {
  return (view.getUint8(offset) & 1) === 1;
}

/** True for ff:ff:ff:ff:ff:ff as destination. */
export function isBroadcastDestination(view: DataView, offset: number): boolean {
  return view.getUint32(offset) === 0xffffffff && view.getUint16(offset + 4) === 0xffff;
}

/** True when the *source* has the group bit: never valid (IEEE 802.3 §3.2.3). */
export function isGroupSource(view: DataView, offset: number): boolean {
  return (view.getUint8(offset + ETHERNET_SOURCE_OFFSET) & 1) === 1;
}

/** Writes a whole header. */
export function emitEthernet(
  view: DataView,
  offset: number,
  destination: number,
  source: number,
  etherType: number,
): void {
  setMac(view, offset, destination);
  setMac(view, offset + ETHERNET_SOURCE_OFFSET, source);
  view.setUint16(offset + ETHERTYPE_OFFSET, etherType);
}
