/**
 * The fan: arithmetic between an underlay host and its slice of the overlay, for any widths.
 *
 * With `ow`, `uw` the overlay and underlay prefix lengths, that of an IPv6 underlay less 96, for the
 * rule sees the last 32 bits of its addresses:
 *   forward  slice = overlay | hostbits << (uw - ow),  slice length = ow + 32 - uw
 *   reverse  peer  = underlay | (inner & ~overlay mask) >>> (uw - ow)
 * The workload's own bits fall off the right in the reverse rule, so every address of a slice
 * leads to the same host.
 * @module
 */
import { AddressError } from './address-error.ts';
import { formatIpv4 } from './ipv4.ts';
import {
  broadcastOf,
  formatPrefix,
  isNetwork,
  maskOf,
  networkOf,
  overlaps,
  type Prefix,
} from './prefix.ts';
import {
  ADDRESS_BITS,
  familyOf,
  formatHostAddress,
  formatHostPrefix,
  holdsHost,
  hostNetworkOf,
  isLinkLocal,
  isMartianHost,
  lastWordOf,
  type UnderlayAddress,
  type UnderlayPrefix,
  withLastWord,
} from './underlay-address.ts';

/** One fan. Bits below either mask are ignored by the arithmetic and refused by `checkFan`. */
export type FanMap = { readonly overlay: Prefix; readonly underlay: UnderlayPrefix };
/** A fan over IPv4. */
export type Ipv4FanMap = FanMap & { readonly underlay: Prefix };

/** Why a fan is refused. `message` says what is wrong and what would work. */
export type FanProblem = { readonly code: FanProblemCode; readonly message: string };
export type FanProblemCode =
  | 'LENGTH'
  | 'OVERLAY_BITS'
  | 'UNDERLAY_BITS'
  | 'OVERLAY_RESERVED'
  | 'UNDERLAY_RESERVED'
  | 'OVERLAY_WIDER_NEEDED'
  | 'NO_USABLE_HOST'
  | 'SELF_CONTAINED'
  | 'HOST_OUTSIDE_UNDERLAY';

/** Linux holds 16 bytes for an interface name, one of them the final NUL (IFNAMSIZ). */
export const INTERFACE_NAME_CHARS_MAX = 15;

/** Bits of an underlay's addresses that the rule sees, its prefix's among them: all 32 of IPv4. */
const RULE_BITS = 32;

/** The part of an underlay's prefix that the rule sees. A wide IPv6 one is `checkFan`'s matter. */
export function rulePrefixOf({ address, length }: UnderlayPrefix): Prefix {
  return {
    address: lastWordOf(address),
    length: length - ADDRESS_BITS[familyOf(address)] + RULE_BITS,
  };
}

/** What a fan without IPv4 has in the place of an overlay: an address that no workload can have. */
export const NO_OVERLAY: Prefix = { address: 0xffffffff, length: 32 };

/** Whether there is IPv4 in an overlay. */
export function hasIpv4(overlay: Prefix): boolean {
  return overlay.length !== NO_OVERLAY.length || overlay.address !== NO_OVERLAY.address;
}

/** How far host bits move to the left on the way into the overlay: 0 to 32 for a sound map. */
export function shiftOf(map: FanMap): number {
  return rulePrefixOf(map.underlay).length - map.overlay.length;
}

/** The length of every slice of this map, in bits. Above 30 there is no usable host. */
export function sliceLengthOf(map: FanMap): number {
  return map.overlay.length + RULE_BITS - rulePrefixOf(map.underlay).length;
}

/** The slice of the host with this underlay address. The map must have passed `checkFan`. */
export function sliceOf(map: FanMap, hostAddress: UnderlayAddress): Prefix {
  const hostBits = (lastWordOf(hostAddress) & ~maskOf(rulePrefixOf(map.underlay).length)) >>> 0;
  // A shift of 32 is only possible under a /32, where there are no host bits, so `<<` is safe.
  return {
    address: (networkOf(map.overlay) | (hostBits << shiftOf(map))) >>> 0,
    length: sliceLengthOf(map),
  };
}

/**
 * The underlay address of the host whose slice holds `innerAddress` (u32).
 * The caller has made sure that the address lies in the overlay.
 */
export function peerOf(map: Ipv4FanMap, innerAddress: number): number;
export function peerOf(map: FanMap, innerAddress: number): UnderlayAddress;
export function peerOf(map: FanMap, innerAddress: number): UnderlayAddress {
  const shift = shiftOf(map);
  const inside = (innerAddress & ~maskOf(map.overlay.length)) >>> 0;
  // `>>> 32` would be `>>> 0`: a /0 overlay over a /32 has one host and no host bits.
  const hostBits = shift >= 32 ? 0 : inside >>> shift;
  const network = networkOf(rulePrefixOf(map.underlay));
  return withLastWord(map.underlay.address, network | hostBits);
}

function isIpv4Map(map: FanMap): map is Ipv4FanMap {
  return familyOf(map.underlay.address) === 4;
}

/** Networks that can never be an overlay, and why. */
const RESERVED: readonly { prefix: Prefix; why: string }[] = [
  { prefix: { address: 0, length: 8 }, why: '0.0.0.0/8 means "this network" and is not routed' },
  { prefix: { address: 0x7f000000, length: 8 }, why: '127.0.0.0/8 never leaves a host' },
  { prefix: { address: 0xe0000000, length: 4 }, why: '224.0.0.0/4 is multicast' },
];

const TRY_OVERLAY = 'take class E such as 250.0.0.0/8, or any /8 that you need not reach';

/** Problems of one side: its length, stray bits below the mask, and reserved ranges. */
function checkSide(side: 'overlay' | 'underlay', prefix: Prefix): FanProblem[] {
  const problems: FanProblem[] = [];
  const upper = side === 'overlay' ? 'OVERLAY' : 'UNDERLAY';
  if (!Number.isInteger(prefix.length) || prefix.length < 0 || prefix.length > 32) {
    return [
      { code: 'LENGTH', message: `${side} length ${prefix.length} is not a length; use 0 to 32` },
    ];
  }
  if (!isNetwork(prefix)) {
    const network = formatPrefix({ address: networkOf(prefix), length: prefix.length });
    problems.push({
      code: `${upper}_BITS`,
      message: `${side} ${formatPrefix(prefix)} has bits set below its mask; write ${network}`,
    });
  }
  for (const { prefix: reserved, why } of RESERVED) {
    if (!overlaps(prefix, reserved)) continue;
    const advice = side === 'overlay' ? TRY_OVERLAY : 'name the network your hosts are really on';
    problems.push({
      code: `${upper}_RESERVED`,
      message: `${side} ${formatPrefix(prefix)} is not possible: ${why}; ${advice}`,
    });
  }
  return problems;
}

/** The same of an underlay of IPv6. */
function checkIpv6Underlay(underlay: UnderlayPrefix): FanProblem[] {
  const { address, length } = underlay;
  if (!Number.isInteger(length) || length < 0 || length > ADDRESS_BITS[6]) {
    return [{ code: 'LENGTH', message: `underlay length ${length} is not a length; use 0 to 128` }];
  }
  const problems: FanProblem[] = [];
  const network = hostNetworkOf(underlay);
  if (network !== address) {
    problems.push({
      code: 'UNDERLAY_BITS',
      message: `underlay ${formatHostPrefix(underlay)} has bits set below its mask; write ${formatHostPrefix({ address: network, length })}`,
    });
  }
  if (isLinkLocal(address)) {
    problems.push({
      code: 'UNDERLAY_RESERVED',
      message: `underlay ${formatHostPrefix(underlay)} is not possible: link-local addresses mean something on one link only; give the hosts addresses of a prefix of their own, such as fd00::/112`,
    });
  } else if (isMartianHost(address)) {
    problems.push({
      code: 'UNDERLAY_RESERVED',
      message: `underlay ${formatHostPrefix(underlay)} is not possible: no host has such addresses; name the network your hosts are really on`,
    });
  }
  return problems;
}

/** Problems of the two lengths together. */
function checkLengths({ overlay, underlay }: FanMap): FanProblem[] {
  const bits = ADDRESS_BITS[familyOf(underlay.address)];
  const sliceLength = overlay.length + bits - underlay.length;
  if (sliceLength <= 30) return [];
  // Two ways out: a shorter overlay (a /0 or /1 always covers a reserved range), or a longer underlay.
  const widest = underlay.length - (bits - RULE_BITS) - 2;
  const longest = overlay.length + 2;
  const ways = [
    ...(widest >= 2 ? [`an overlay of /${widest} or shorter`] : []),
    ...(longest <= 32 ? [`an underlay of /${longest + bits - RULE_BITS} or longer`] : []),
  ].join(', or ');
  const pair = `overlay ${formatPrefix(overlay)} over underlay ${formatHostPrefix(underlay)}`;
  if (sliceLength > 32) {
    return [
      {
        code: 'OVERLAY_WIDER_NEEDED',
        message:
          `${pair}: the overlay has fewer addresses than the underlay has hosts, ` +
          `so there is no slice for each; use ${ways}`,
      },
    ];
  }
  return [
    {
      code: 'NO_USABLE_HOST',
      message: `${pair} gives each host a /${sliceLength}, which has no address for a container; use ${ways}`,
    },
  ];
}

/**
 * Everything that makes this map useless or dangerous on the host with `hostAddress`; an empty list
 * means that it is sound. All problems are told at once.
 */
export function checkFan(map: FanMap, hostAddress: UnderlayAddress): FanProblem[] {
  const { overlay, underlay } = map;
  const problems = checkSide('overlay', overlay);
  if (isIpv4Map(map)) problems.push(...checkSide('underlay', map.underlay));
  else problems.push(...checkIpv6Underlay(underlay));
  if (problems.some((problem) => problem.code === 'LENGTH')) return problems;
  problems.push(...checkLengths(map));
  if (isIpv4Map(map) && overlaps(overlay, map.underlay)) {
    problems.push({
      code: 'SELF_CONTAINED',
      message:
        `overlay ${formatPrefix(overlay)} and underlay ${formatHostPrefix(underlay)} overlap, ` +
        `so the hosts could no longer reach each other; ${TRY_OVERLAY}`,
    });
  }
  if (!holdsHost(underlay, hostAddress)) {
    const { length } = underlay;
    const network = { address: hostNetworkOf({ address: hostAddress, length }), length };
    problems.push({
      code: 'HOST_OUTSIDE_UNDERLAY',
      message:
        `this host's address ${formatHostAddress(hostAddress)} is not in the underlay ` +
        `${formatHostPrefix(underlay)}; use ${formatHostPrefix(network)}, or the host's address inside it`,
    });
  }
  return problems;
}

/** `250.0.28.0` → `250-0-28`: dashes, up to three trailing zero octets dropped (fanctl 0.3.0). */
function nameSuffix(slice: Prefix): string {
  return formatIpv4(networkOf(slice))
    .replace(/(\.0){1,3}$/, '')
    .replaceAll('.', '-');
}

/**
 * The bridge of a slice, named as fanctl 0.3.0 names it: `fan-250-0-28`.
 * @throws AddressError `ERR_NAME_TOO_LONG` for slices longer than /24 whose name passes 15 chars.
 */
export function bridgeNameOf(slice: Prefix): string {
  const name = `fan-${nameSuffix(slice)}`;
  if (name.length > INTERFACE_NAME_CHARS_MAX) {
    throw new AddressError(
      'ERR_NAME_TOO_LONG',
      `the bridge of slice ${formatPrefix(slice)} would be called ${name}, but an interface name ` +
        `holds at most ${INTERFACE_NAME_CHARS_MAX} characters; choose one with: bridge NAME`,
    );
  }
  return name;
}

/**
 * The tunnel device of a slice: `fw-250-0-28`; where that passes 15 characters, the slice's
 * address in hexadecimal (`fw-fafffff0`). It always fits, because nobody is asked to choose it.
 */
export function deviceNameOf(slice: Prefix): string {
  const name = `fw-${nameSuffix(slice)}`;
  if (name.length <= INTERFACE_NAME_CHARS_MAX) return name;
  return `fw-${networkOf(slice).toString(16).padStart(8, '0')}`;
}

/** The slice's gateway (u32): its first usable address, .1. */
export function gatewayOf(slice: Prefix): number {
  return (networkOf(slice) | 1) >>> 0;
}

/**
 * The addresses (u32) of a slice that can be somebody's. On a bridged fan the overlay is one network,
 * in which .0 and .255 of a slice are ordinary; on a routed one the slice is a network of its own.
 */
export function hostRangeOf(slice: Prefix, bridged: boolean): { first: number; last: number } {
  const edge = bridged ? 0 : 1;
  return { first: networkOf(slice) + edge, last: broadcastOf(slice) - edge };
}
