/**
 * ARP for IPv4 over Ethernet (RFC 826): 28 bytes behind the Ethernet header.
 * Accessors need {@link ARP_BYTES} bytes at `offset`.
 * @module
 */
import { getMac, setMac } from './ethernet.ts';

export const ARP_BYTES = 28;

/** IANA registry "ARP Parameters", 2024-01. */
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

/** Hardware Ethernet (1) and protocol IPv4 (0x0800) in one word. */
export const ARP_ETHERNET_IPV4_WORD = 0x00010800;
/** Address lengths 6 and 4 in one half word. */
export const ARP_LENGTHS_WORD = 0x0604;

export const ARP_LENGTHS_OFFSET = 4;
export const ARP_OPERATION_OFFSET = 6;
export const ARP_SENDER_MAC_OFFSET = 8;
export const ARP_SENDER_ADDRESS_OFFSET = 14;
export const ARP_TARGET_MAC_OFFSET = 18;
export const ARP_TARGET_ADDRESS_OFFSET = 24;

export function getArpOperation(view: DataView, offset: number): number {
  return view.getUint16(offset + ARP_OPERATION_OFFSET);
}

export function getArpSenderMac(view: DataView, offset: number): number {
  return getMac(view, offset + ARP_SENDER_MAC_OFFSET);
}

export function getArpSenderAddress(view: DataView, offset: number): number {
  return view.getUint32(offset + ARP_SENDER_ADDRESS_OFFSET);
}

export function getArpTargetMac(view: DataView, offset: number): number {
  return getMac(view, offset + ARP_TARGET_MAC_OFFSET);
}

export function getArpTargetAddress(view: DataView, offset: number): number {
  return view.getUint32(offset + ARP_TARGET_ADDRESS_OFFSET);
}

/** Writes a whole message to nobody; {@link setArpTarget} says whom it is for. */
export function emitArp(
  view: DataView,
  offset: number,
  operation: number,
  senderMac: number,
  senderAddress: number,
): void {
  view.setUint32(offset, ARP_ETHERNET_IPV4_WORD);
  view.setUint16(offset + ARP_LENGTHS_OFFSET, ARP_LENGTHS_WORD);
  view.setUint16(offset + ARP_OPERATION_OFFSET, operation);
  setMac(view, offset + ARP_SENDER_MAC_OFFSET, senderMac);
  view.setUint32(offset + ARP_SENDER_ADDRESS_OFFSET, senderAddress);
  setArpTarget(view, offset, 0, 0);
}

/** Whom a message asks for, or answers. */
export function setArpTarget(view: DataView, offset: number, mac: number, address: number): void {
  setMac(view, offset + ARP_TARGET_MAC_OFFSET, mac);
  view.setUint32(offset + ARP_TARGET_ADDRESS_OFFSET, address);
}
