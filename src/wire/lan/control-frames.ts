/**
 * Frames that speak to the next switch and never pass through one: they must not cross a network that
 * looks like one wire but is not (IEEE 802.1Q §8.6.3), lest two bridges far apart believe that they are
 * neighbours.
 * @module
 */
import { ETHERTYPE_LLDP, ETHERTYPE_MIN, ETHERTYPE_QINQ, ETHERTYPE_VLAN } from '../ethernet.ts';

/** 01:80:c2:00:00:00 to 0f go no further than one link, those up to 2f to bridges and their like. */
export const RESERVED_HIGH = 0x0180;
export const RESERVED_LOW = 0xc200_0000;
export const RESERVED_COUNT = 0x30;
/** 01:00:0c: a vendor's discovery and spanning tree. */
export const VENDOR_HIGH = 0x0100;
export const VENDOR_THIRD = 0x0c;

// IANA registry "ETHER TYPES", 2025-10.
export const ETHERTYPE_PAUSE = 0x8808;
export const ETHERTYPE_SLOW = 0x8809;
export const ETHERTYPE_EAPOL = 0x888e;
export const ETHERTYPE_LOOP = 0x9000;
export const ETHERTYPE_OLD_QINQ = 0x9100;

/** Whether the frame at `frame` is such a one; frames with a length in place of a type are too. */
export function isControlFrame(view: DataView, frame: number, etherType: number): boolean {
  if (etherType < ETHERTYPE_MIN) return true;
  const high = view.getUint16(frame);
  if (high === RESERVED_HIGH && view.getUint32(frame + 2) - RESERVED_LOW < RESERVED_COUNT) {
    return view.getUint32(frame + 2) >= RESERVED_LOW;
  }
  if (high === VENDOR_HIGH && view.getUint8(frame + 2) === VENDOR_THIRD) return true;
  switch (etherType) {
    case ETHERTYPE_LLDP:
    case ETHERTYPE_PAUSE:
    case ETHERTYPE_SLOW:
    case ETHERTYPE_EAPOL:
    case ETHERTYPE_LOOP:
      return true;
    default:
      return false;
  }
}

/** Whether a frame bears a VLAN tag, which a VTEP does not carry (RFC 7348 §6.1). */
export function isTagged(etherType: number): boolean {
  return (
    etherType === ETHERTYPE_VLAN || etherType === ETHERTYPE_QINQ || etherType === ETHERTYPE_OLD_QINQ
  );
}
