/**
 * Whether an inner IP packet is what its headers say, and whether it is a tunnel of its own.
 * @module
 */
import {
  checkIpv4,
  checkIpv4Fragment,
  checkIpv4Options,
  checkIpv4Sum,
  checkIpv6,
  Fault,
  walkIpv6,
} from '../../wire/classify.ts';
import {
  getIpv4HeaderBytes,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES, NEXT_FRAGMENT } from '../../wire/ipv6.ts';
import { checkExtensions, isIpv6Fragment } from '../../wire/six/extensions.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../wire/udp.ts';

/** Whether the header at `l3`, of at most `available` bytes of packet, stands every check. */
export function isSoundIpv4(view: DataView, l3: number, available: number): boolean {
  return (
    checkIpv4(view, l3, available) === Fault.None &&
    checkIpv4Sum(view, l3) === Fault.None &&
    (getIpv4HeaderBytes(view, l3) === IPV4_HEADER_BYTES ||
      checkIpv4Options(view, l3) === Fault.None) &&
    (!isIpv4Fragment(view, l3) || checkIpv4Fragment(view, l3) === Fault.None)
  );
}

/** Set in what {@link soundIpv6} returns: the packet is a piece of a larger one. */
const CHAIN_FRAGMENT = 1 << 24;

/**
 * What stands before the transport header of the IPv6 packet at `l3`, of which at least a fixed header is
 * among `available` bytes: see {@link chainBytes}, {@link chainProtocol} and {@link isChainOfFragment}; −1 when
 * anything there is not as it must be.
 */
export function soundIpv6(view: DataView, l3: number, available: number): number {
  if (checkIpv6(view, l3, available) !== Fault.None) return -1;
  const chain = walkIpv6(view, l3);
  if (chain < 0) return -1;
  const headerBytes = chain & 0xffff;
  if (headerBytes === IPV6_HEADER_BYTES && chain >>> 16 !== NEXT_FRAGMENT) return chain;
  if (checkExtensions(view, l3, chain) !== Fault.None) return -1;
  return isIpv6Fragment(view, l3, headerBytes) ? chain | CHAIN_FRAGMENT : chain;
}

/** All headers before the transport's, bytes. */
export function chainBytes(chain: number): number {
  return chain & 0xffff;
}

/** The transport's protocol number. */
export function chainProtocol(chain: number): number {
  return (chain >>> 16) & 0xff;
}

export function isChainOfFragment(chain: number): boolean {
  return (chain & CHAIN_FRAGMENT) !== 0;
}

/** Whether the packet at `l3`, whose transport header is at `l4`, goes to the tunnel's own port. */
export function isToTunnel(
  view: DataView,
  l3: number,
  l4: number,
  end: number,
  protocol: number,
  tunnelPort: number,
): boolean {
  return (
    protocol === PROTOCOL_UDP &&
    tunnelPort !== 0 &&
    end - l4 >= UDP_HEADER_BYTES &&
    !isIpv4Fragment(view, l3) &&
    getUdpDestination(view, l4) === tunnelPort
  );
}
