/**
 * What a link has sent ever, of all data processes together, as the underlay's device counts it.
 * @module
 */
import { ENCAPS } from '../../../encap/encap.ts';
import { familyOf } from '../../../net/underlay-address.ts';
import { egressIndex, queueIndex } from '../../../table/counters.ts';
import { IPV4_HEADER_BYTES } from '../../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../../wire/ipv6.ts';
import { UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import type { LinkState } from '../link-state.ts';

const DELIVERED = egressIndex('delivered');
const DELIVERED_BYTES = egressIndex('deliveredBytes');
const ENTERED = queueIndex('entered');
const ETHERNET_BYTES = 14;

/** What a link has sent ever: bytes on the wire, and packets that had to wait. */
export type Traffic = { bytes: number; waited: number };

/** Adds up the columns of the link. */
export function trafficOf(
  link: LinkState,
  processes: readonly { counters(id: number): Float64Array }[],
): Traffic {
  const sum: Traffic = { bytes: 0, waited: 0 };
  const { encap, local } = link.spec;
  const ip = familyOf(local) === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const headers = ip + (ENCAPS[encap].udp ? UDP_HEADER_BYTES : 0) + ETHERNET_BYTES;
  for (const process of processes) {
    const column = process.counters(link.id);
    sum.bytes += (column[DELIVERED_BYTES] ?? 0) + (column[DELIVERED] ?? 0) * headers;
    sum.waited += column[ENTERED] ?? 0;
  }
  return sum;
}
