/**
 * Whether the inner IPv4 packet of a peer is what it says, and whether it is a tunnel of its own.
 * @module
 */
import {
  checkIpv4,
  checkIpv4Fragment,
  checkIpv4Options,
  checkIpv4Sum,
  Fault,
} from '../../wire/classify.ts';
import {
  getIpv4HeaderBytes,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
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
