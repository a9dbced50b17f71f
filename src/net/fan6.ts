/**
 * The IPv6 fan: arithmetic between an underlay host, of either family, and its slice of an IPv6
 * overlay. The host part of the underlay address follows the overlay's prefix, whole (as in 6rd,
 * RFC 5969 §7.1.1, but without a mask to agree on):
 *
 *   forward  slice = overlay | hostpart << (128 - ow - hw),  slice length = ow + hw
 *   reverse  hostpart = (address & ~overlay mask) >>> (128 - ow - hw)
 *
 * `ow` is the overlay's length and `hw` the bits that the underlay leaves to hosts. The containers of
 * a host are in the first /64 of its slice, which is what SLAAC takes (RFC 4862 §5.5.3), or in the
 * slice itself where that is smaller.
 * @module
 */
import { type FanProblem, INTERFACE_NAME_CHARS_MAX, rulePrefixOf } from './fan.ts';
import { hostMaskOf, type Prefix } from './prefix.ts';
import {
  formatAddress6,
  formatPrefix6,
  IPV6_BITS,
  type Ipv6,
  isNetwork6,
  maskOf6,
  networkOf6,
  or6,
  overlaps6,
  type Prefix6,
  parsePrefix6,
  shiftLeft6,
  shiftRight6,
  without6,
} from './prefix6.ts';
import {
  hostNetworkOf,
  lastWordOf,
  type UnderlayAddress,
  type UnderlayPrefix,
  withLastWord,
} from './underlay-address.ts';

/** What tells a host from the others of its underlay: `bits` at the end of the words, `length` of them. */
export type HostPart = { readonly bits: Ipv6; readonly length: number };

/** Bits of a network with addresses that a host makes for itself (RFC 4862, RFC 7421). */
export const SLAAC_LENGTH = 64;
/** A slice of this length still has a gateway and a container. */
const SLICE_LENGTH_MAX = 126;

/** The host part of an IPv4 underlay address (u32). */
export function hostPartOf(underlay: Prefix, host: number): HostPart {
  const bits = (host & hostMaskOf(underlay.length)) >>> 0;
  return { bits: [0, 0, 0, bits], length: 32 - underlay.length };
}

/** The host part of an IPv6 underlay address. */
export function hostPartOf6(underlay: Prefix6, host: Ipv6): HostPart {
  return {
    bits: without6(host, maskOf6(underlay.length)),
    length: IPV6_BITS - underlay.length,
  };
}

/** The slice of the host with this part. The fan must have passed {@link checkFan6}. */
export function sliceOf6(overlay: Prefix6, part: HostPart): Prefix6 {
  const length = overlay.length + part.length;
  return {
    address: or6(networkOf6(overlay), shiftLeft6(part.bits, IPV6_BITS - length)),
    length,
  };
}

/**
 * The host part that an overlay address stands for, of `hostLength` bits. The caller has made sure that
 * the address lies in the overlay.
 */
export function hostPartIn(overlay: Prefix6, hostLength: number, address: Ipv6): HostPart {
  const inside = without6(address, maskOf6(overlay.length));
  return {
    bits: shiftRight6(inside, IPV6_BITS - overlay.length - hostLength),
    length: hostLength,
  };
}

/** Underlay address of the host that an address of the overlay stands for. */
export function peerOf6(
  overlay: Prefix6,
  underlay: UnderlayPrefix,
  address: Ipv6,
): UnderlayAddress {
  const part = hostPartIn(overlay, 32 - rulePrefixOf(underlay).length, address);
  const network = hostNetworkOf(underlay);
  return withLastWord(network, lastWordOf(network) | part.bits[3]);
}

/** The network that a host's containers are in. */
export function lanOf6(slice: Prefix6): Prefix6 {
  return { address: networkOf6(slice), length: Math.max(slice.length, SLAAC_LENGTH) };
}

/** The host's own address in the overlay: its slice's ::1. */
export function gatewayOf6(slice: Prefix6): Ipv6 {
  return or6(networkOf6(slice), [0, 0, 0, 1]);
}

/** Networks that can never be an overlay, and why. */
const RESERVED: readonly (readonly [prefix: Prefix6, why: string])[] = [
  [parsePrefix6('::/8'), '::/8 holds the loopback and the unspecified address'],
  [parsePrefix6('fe80::/10'), 'fe80::/10 is what every link has for itself'],
  [parsePrefix6('ff00::/8'), 'ff00::/8 is multicast'],
];

const TRY_OVERLAY = 'take one of the unique local addresses, such as fd00:fa::/32 (RFC 4193)';

/**
 * Everything that makes an overlay useless or dangerous for an underlay with `hostLength` host bits;
 * an empty list means that it is sound. All problems are told at once.
 */
export function checkFan6(overlay: Prefix6, hostLength: number): FanProblem[] {
  const text = formatPrefix6(overlay);
  const problems: FanProblem[] = [];
  if (!isNetwork6(overlay)) {
    const network = formatPrefix6({ ...overlay, address: networkOf6(overlay) });
    problems.push({
      code: 'OVERLAY_BITS',
      message: `overlay ${text} has bits set below its mask; write ${network}`,
    });
  }
  for (const [reserved, why] of RESERVED) {
    if (!overlaps6(overlay, reserved)) continue;
    problems.push({
      code: 'OVERLAY_RESERVED',
      message: `overlay ${text} is not possible: ${why}; ${TRY_OVERLAY}`,
    });
  }
  const longest = SLICE_LENGTH_MAX - hostLength;
  if (overlay.length > longest) {
    problems.push({
      code: 'NO_USABLE_HOST',
      message:
        `overlay ${text} has no room for the ${hostLength} bits that tell the hosts of the underlay ` +
        `apart and for containers behind them; use an overlay of /${longest} or shorter`,
    });
  }
  return problems;
}

/** Mixes an overlay into a u32 that any two overlays hardly share. */
function mixOf({ address, length }: Prefix6): number {
  let mixed = Math.imul(length + 1, 0x85ebca6b);
  for (const word of address) {
    mixed = Math.imul(mixed ^ word, 0x9e3779b1);
    mixed ^= mixed >>> 15;
  }
  return mixed >>> 0;
}

/** The VXLAN network identifier of an IPv6 fan, the same on every host. */
export function vniOf6(overlay: Prefix6): number {
  const vni = mixOf({ address: networkOf6(overlay), length: overlay.length }) >>> 8;
  // 0 is what devices without a network of their own use.
  return vni === 0 ? 1 : vni;
}

/** `PREFIX-fd00-fa-1c` where that fits into an interface's name, else a short mix of the slice. */
function nameOf6(prefix: string, slice: Prefix6): string {
  const words = formatAddress6(networkOf6(slice)).replace(/:+$/, '').replaceAll(/:+/g, '-');
  const name = `${prefix}-${words}`;
  if (name.length <= INTERFACE_NAME_CHARS_MAX) return name;
  return `${prefix}6-${mixOf(slice).toString(16).padStart(8, '0')}`;
}

/** The bridge of a slice: `fan-fd00-fa-1c`. */
export function bridgeNameOf6(slice: Prefix6): string {
  return nameOf6('fan', slice);
}

/** The tunnel device of a slice: `fw-fd00-fa-1c`. */
export function deviceNameOf6(slice: Prefix6): string {
  return nameOf6('fw', slice);
}

/** The link-local address that a MAC (a 48-bit number) makes (RFC 4291 appendix A). */
export function linkLocalOf(mac: number): Ipv6 {
  const high = Math.floor(mac / 0x1000000);
  return [
    0xfe800000,
    0,
    (((high ^ 0x020000) << 8) | 0xff) >>> 0,
    (0xfe000000 | (mac % 0x1000000)) >>> 0,
  ];
}
