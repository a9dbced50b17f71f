/**
 * DHCP messages (RFC 2131 §2), as far as a switch looks into them: who asks, what was given, and by whom.
 * Accessors need {@link DHCP_BYTES_MIN} bytes at `offset`, behind the UDP header.
 * @module
 */

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
/** RFC 8415 §7.2. */
export const DHCPV6_CLIENT_PORT = 546;
export const DHCPV6_SERVER_PORT = 547;

/** Fixed fields and the magic cookie. */
export const DHCP_BYTES_MIN = 240;
const OPERATION_REPLY = 2;
const HARDWARE_ETHERNET = 1;
const MAC_BYTES = 6;
/** The magic cookie (RFC 2131 §3). */
export const DHCP_COOKIE = 0x63825363;

export const DHCP_YOUR_ADDRESS_OFFSET = 16;
export const DHCP_CLIENT_MAC_OFFSET = 28;
const COOKIE_OFFSET = 236;

export const DHCP_OPTION_PAD = 0;
export const DHCP_OPTION_END = 255;
export const DHCP_OPTION_TYPE = 53;
/** IANA registry "DHCP Message Type 53 Values", 2025-03. */
export const DHCP_ACK = 5;

/** Options that are looked at before the search is given up. */
const OPTIONS_MAX = 64;

/** Whether a DHCP message of an Ethernet client stands there. */
export function isDhcp(view: DataView, offset: number, bytes: number): boolean {
  return (
    bytes >= DHCP_BYTES_MIN &&
    view.getUint8(offset + 1) === HARDWARE_ETHERNET &&
    view.getUint8(offset + 2) === MAC_BYTES &&
    view.getUint32(offset + COOKIE_OFFSET) === DHCP_COOKIE
  );
}

/** Whether it is a server's word. */
export function isDhcpReply(view: DataView, offset: number): boolean {
  return view.getUint8(offset) === OPERATION_REPLY;
}

/** The message's type, 0 when it says none. */
export function getDhcpType(view: DataView, offset: number, bytes: number): number {
  const end = offset + bytes;
  let at = offset + DHCP_BYTES_MIN;
  for (let count = 0; at < end && count < OPTIONS_MAX; count++) {
    const option = view.getUint8(at);
    if (option === DHCP_OPTION_END) return 0;
    if (option === DHCP_OPTION_PAD) {
      at++;
      continue;
    }
    if (at + 2 > end) return 0;
    const optionBytes = view.getUint8(at + 1);
    if (option === DHCP_OPTION_TYPE)
      return at + 2 < end && optionBytes === 1 ? view.getUint8(at + 2) : 0;
    at += 2 + optionBytes;
  }
  return 0;
}
