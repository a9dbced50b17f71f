/**
 * The datagram that ingress has in hand: where it came from, and what the stages have found out about it so
 * far. One object for all datagrams, so that nothing is allocated. Offsets are the arena's.
 * @module
 */
import {
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4TotalBytes,
  isIpv4Fragment,
} from '../../wire/ipv4.ts';
import { getIpv6PayloadBytes, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import { chainBytes, chainProtocol, isChainOfFragment, isSoundIpv4, soundIpv6 } from './sound.ts';

/** No cell of the ECN table: datagrams with the same headers have no short way. */
export const NO_CELL = -1;

export class Arrival {
  /** What it came by, and its source's socket address, as it came and by the name that it goes by. */
  endpoint: DataEndpoint | undefined = undefined;
  source = 0;
  name = 0;
  /** TOS byte or traffic class of the outer header. */
  outerTos = 0;
  /** Of raw sockets: what the outer protocol says that is inside, 4 or 6; 0 = it says nothing. */
  versionInside = 0;
  /** The network that its shim names. */
  vni = 0;
  /** The inner frame (bridged) or packet (routed), and its end. */
  frame = 0;
  end = 0;
  /** The inner IP header, how long it is with all that stands before the transport header, bytes. */
  l3 = 0;
  headerBytes = 0;
  /** Length of the inner IP packet, bytes. */
  totalBytes = 0;
  /** The transport's protocol number. */
  protocol = 0;
  /** A piece of a larger packet. */
  isFragment = false;
  /** Its cell of the ECN table, where others with the same headers may follow by the short way. */
  cell: number = NO_CELL;
  /** Time of the batch in hand, ms on the loop's clock. */
  nowMs = 0;

  /** Takes what the IPv4 header says, of which the fixed part is there; false when it cannot be so. */
  takeIpv4(view: DataView): boolean {
    const { l3 } = this;
    if (!isSoundIpv4(view, l3, this.end - l3)) return false;
    this.headerBytes = getIpv4HeaderBytes(view, l3);
    this.totalBytes = getIpv4TotalBytes(view, l3);
    this.protocol = getIpv4Protocol(view, l3);
    this.isFragment = isIpv4Fragment(view, l3);
    return true;
  }

  /** The same for IPv6. */
  takeIpv6(view: DataView): boolean {
    const { l3 } = this;
    const chain = soundIpv6(view, l3, this.end - l3);
    if (chain < 0) return false;
    this.headerBytes = chainBytes(chain);
    this.totalBytes = IPV6_HEADER_BYTES + getIpv6PayloadBytes(view, l3);
    this.protocol = chainProtocol(chain);
    this.isFragment = isChainOfFragment(chain);
    return true;
  }

  /** Ends it at a drop counter. */
  drop(link: Pick<DataLink, 'counters'>, counter: number): void {
    this.cell = NO_CELL;
    link.counters[counter] = (link.counters[counter] as number) + 1;
  }
}
