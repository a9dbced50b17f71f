/**
 * What a link has sent ever, of all data processes together, as the underlay's device counts it.
 * @module
 */
import { ENCAPS } from '../../../encap/encap.ts';
import { familyOf, type UnderlayAddress } from '../../../net/underlay-address.ts';
import { egressIndex, queueIndex, sumOf } from '../../../table/counters.ts';
import { IPV4_HEADER_BYTES } from '../../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../../wire/ipv6.ts';
import { UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import type { AnySpec } from '../../store/link-spec.ts';

const PLACES = [
  ...[egressIndex('deliveredBytes'), egressIndex('delivered')],
  ...[queueIndex('entered'), queueIndex('left')],
];
const ETHERNET_BYTES = 14;

/** What a link has sent ever: bytes on the wire, packets that had to wait; and how many wait now. */
export type Traffic = { bytes: number; waited: number; waiting: number };

/** A link that runs, as far as its rate goes. */
export type RatedLink = {
  readonly id: number;
  readonly spec: AnySpec;
  /** What `auto` has found, bytes a second. */
  autoRate: number;
  /** Hosts that do not tell `auto` in which direction packets wait. */
  roundTrips: readonly UnderlayAddress[];
};

type Processes = readonly { counters(id: number): Float64Array }[];

/** What a link has sent. */
export function trafficOf({ id, spec }: RatedLink, processes: Processes): Traffic {
  const { encap, local } = spec;
  const ip = familyOf(local) === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const headers = ip + (ENCAPS[encap].udp ? UDP_HEADER_BYTES : 0) + ETHERNET_BYTES;
  const columns = processes.map((process) => process.counters(id));
  const [bytes = 0, packets = 0, waited = 0, left = 0] = sumOf(columns, PLACES);
  return { bytes: bytes + packets * headers, waited, waiting: waited - left };
}
