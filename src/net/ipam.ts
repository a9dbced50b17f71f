/**
 * Which addresses of a network's prefix one host hands out: a slice that follows from the host's own
 * underlay address, as a fan's does. Hosts of one underlay have different addresses, so their slices never
 * meet, whoever hears of whom and however the network is torn.
 * @module
 */
import { hostMaskOf, networkOf, type Prefix } from './prefix.ts';
import { ADDRESS_BITS, familyOf, lastWordOf, type UnderlayPrefix } from './underlay-address.ts';

/** Addresses of the smallest slice that is worth having: eight. */
const SLICE_LENGTH_MAX = 29;
/** Hosts of an underlay that is wider than this would leave nothing of any IPv4 prefix. */
const HOST_BITS_MAX = 24;

/** What of a network this host hands out. */
export type Ipam = { prefix: Prefix; slice: Prefix };

/** Bits that tell the hosts of an underlay apart. */
function hostBitsOf({ address, length }: UnderlayPrefix): number {
  return ADDRESS_BITS[familyOf(address)] - length;
}

/**
 * Length of each host's slice of a prefix where so many bits tell the hosts of an underlay apart; undefined
 * when it is too small for all.
 */
export function ipamLength(prefix: Prefix, hostBits: number): number | undefined {
  const length = prefix.length + hostBits;
  return hostBits > HOST_BITS_MAX || length > SLICE_LENGTH_MAX ? undefined : length;
}

/** The longest prefix that has a slice for every host of such an underlay; below 0 when none has. */
export function ipamLengthMax(hostBits: number): number {
  return SLICE_LENGTH_MAX - hostBits;
}

/** The slice of the host at `local`; undefined when the prefix is too small. */
export function ipamOf(
  prefix: Prefix,
  underlay: UnderlayPrefix,
  local: UnderlayPrefix['address'],
): Ipam | undefined {
  const length = ipamLength(prefix, hostBitsOf(underlay));
  if (length === undefined) return undefined;
  const host = lastWordOf(local) & hostMaskOf(32 - hostBitsOf(underlay));
  const at = host * 2 ** (32 - length);
  const address = (networkOf(prefix) + at) >>> 0;
  return {
    prefix: { address: networkOf(prefix), length: prefix.length },
    slice: { address, length },
  };
}
