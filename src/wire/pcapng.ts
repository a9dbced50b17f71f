/**
 * pcapng blocks (draft-ietf-opsawg-pcapng), little endian: enough for Wireshark and tcpdump to
 * read a live capture from a pipe. Times are microseconds since 1970, the format's default.
 * @module
 */

/** IANA registry "PCAP LinkType List", 2025-06. */
export const LINKTYPE_ETHERNET = 1;
/** A bare IPv4 or IPv6 packet. */
export const LINKTYPE_RAW = 101;

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

const OPTION_COMMENT = 1;
const OPTION_SHB_APPLICATION = 4;
const OPTION_IF_NAME = 2;
const OPTION_EPB_FLAGS = 2;

/** Which way a packet went, in the two low bits of epb_flags. */
export const PcapngDirection = { Unknown: 0, Inbound: 1, Outbound: 2 } as const;
export type PcapngDirection = (typeof PcapngDirection)[keyof typeof PcapngDirection];

/** An option is its code, its length and its bytes, filled up to four. */
type Option = { readonly code: number; readonly value: Uint8Array };

const encoder = new TextEncoder();
/** Bytes up to the next multiple of four. */
const padded = (bytes: number): number => (bytes + 3) & ~3;

/** An option's length field has 16 bits. */
const OPTION_BYTES_MAX = 0xffff;

function textOption(code: number, text: string): Option[] {
  return text === '' ? [] : [{ code, value: encoder.encode(text).subarray(0, OPTION_BYTES_MAX) }];
}

/** Options in bytes, the end mark included; 0 when there are none. */
function optionsBytes(options: readonly Option[]): number {
  if (options.length === 0) return 0;
  return options.reduce((sum, { value }) => sum + 4 + padded(value.length), 4);
}

/** One block: type, length, a body that `fill` writes, options, length again. */
function block(
  type: number,
  bodyBytes: number,
  options: readonly Option[],
  fill: (view: DataView, bytes: Uint8Array) => void,
): Uint8Array<ArrayBuffer> {
  const totalBytes = 12 + padded(bodyBytes) + optionsBytes(options);
  const bytes = new Uint8Array(totalBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, totalBytes, true);
  fill(view, bytes);
  let at = 8 + padded(bodyBytes);
  for (const { code, value } of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint32(totalBytes - 4, totalBytes, true);
  return bytes;
}

/** The block a file begins with (draft §4.1); section length unknown, as for a pipe. */
export function sectionHeaderBlock(application = ''): Uint8Array<ArrayBuffer> {
  const options = textOption(OPTION_SHB_APPLICATION, application);
  return block(SECTION_HEADER, 16, options, (view) => {
    view.setUint32(8, BYTE_ORDER_MAGIC, true);
    view.setUint16(12, 1, true);
    view.setUint16(14, 0, true);
    view.setUint32(16, 0xffffffff, true);
    view.setUint32(20, 0xffffffff, true);
  });
}

/**
 * Announces an interface (draft §4.2). Interfaces are numbered from 0 in the order of their blocks.
 * @param linkType {@link LINKTYPE_ETHERNET} or {@link LINKTYPE_RAW}
 * @param snapBytes the most that is kept of a packet; 0 for all
 */
export function interfaceBlock(
  linkType: number,
  snapBytes: number,
  name = '',
): Uint8Array<ArrayBuffer> {
  return block(INTERFACE_DESCRIPTION, 8, textOption(OPTION_IF_NAME, name), (view) => {
    view.setUint16(8, linkType, true);
    view.setUint32(12, snapBytes, true);
  });
}

/** A packet for {@link packetBlock}. */
export type CapturedPacket = {
  /** Number of the interface, in order of announcement. */
  readonly interfaceIndex: number;
  /** Microseconds since 1970; may have a fraction, which is cut off. */
  readonly timeUs: number;
  /** What was kept; copied. */
  readonly bytes: Uint8Array;
  /** Length on the wire where it is more than what was kept. */
  readonly originalBytes?: number;
  readonly direction?: PcapngDirection;
  readonly comment?: string;
};

/** One packet (draft §4.3). */
export function packetBlock(packet: CapturedPacket): Uint8Array<ArrayBuffer> {
  const { interfaceIndex, bytes, direction = PcapngDirection.Unknown, comment = '' } = packet;
  const time = Math.floor(packet.timeUs);
  const options: Option[] = textOption(OPTION_COMMENT, comment);
  if (direction !== PcapngDirection.Unknown) {
    options.push({ code: OPTION_EPB_FLAGS, value: Uint8Array.of(direction, 0, 0, 0) });
  }
  return block(ENHANCED_PACKET, 20 + bytes.length, options, (view, out) => {
    view.setUint32(8, interfaceIndex, true);
    view.setUint32(12, Math.floor(time / 0x100000000), true);
    view.setUint32(16, time >>> 0, true);
    view.setUint32(20, bytes.length, true);
    view.setUint32(24, packet.originalBytes ?? bytes.length, true);
    out.set(bytes, 28);
  });
}
