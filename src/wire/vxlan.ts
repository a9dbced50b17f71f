/**
 * The VXLAN header, 8 bytes (RFC 7348 §5):
 *   flags 8 (0x08 = VNI valid) | reserved 24 | VNI 24 | reserved 8
 * Accessors need {@link VXLAN_HEADER_BYTES} bytes at `offset`.
 * @module
 */

export const VXLAN_HEADER_BYTES = 8;
/** IANA's port (RFC 7348 §5), and the one Linux takes when none is set. */
export const VXLAN_PORT = 4789;
export const VXLAN_PORT_LINUX = 8472;
/** The highest VNI: 24 bits. */
export const VNI_MAX = 0xffffff;

/** The only flag of RFC 7348: I, the VNI is valid. */
export const VXLAN_FLAG_VNI = 0x08;
export const VXLAN_FLAGS_OFFSET = 0;
export const VNI_OFFSET = 4;
/** The first four bytes of a header that we accept and send: I set, everything reserved zero. */
export const VXLAN_FLAGS_WORD = 0x08000000;

/** Flags and the 24 reserved bits after them, as one big-endian word. */
export function getVxlanFlagsWord(view: DataView, offset: number): number {
  return view.getUint32(offset + VXLAN_FLAGS_OFFSET);
}

export function getVxlanFlags(view: DataView, offset: number): number {
  return view.getUint8(offset + VXLAN_FLAGS_OFFSET);
}

export function getVni(view: DataView, offset: number): number {
  return view.getUint32(offset + VNI_OFFSET) >>> 8;
}

/** The reserved byte behind the VNI. */
export function getVxlanReserved(view: DataView, offset: number): number {
  return view.getUint8(offset + 7);
}

/** Writes a whole header: I flag, VNI, reserved zero. */
export function emitVxlan(view: DataView, offset: number, vni: number): void {
  view.setUint32(offset, VXLAN_FLAGS_WORD);
  view.setUint32(offset + VNI_OFFSET, (vni << 8) >>> 0);
}
