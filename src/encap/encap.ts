/**
 * The encapsulations, and what each costs. Bytes on the wire, outermost first:
 *
 * ```
 *          outer IPv4   UDP   VXLAN   inner Ethernet   inner IP packet
 *   vxlan      20        8      8           14          <= innerMtu
 *   fou        20        8      -            -          <= innerMtu
 *   ipip       20        -      -            -          <= innerMtu
 * ```
 *
 * `innerMtu = underlayMtu - overheadBytes`, so nothing we emit is ever fragmented.
 * @module
 */
import { LinkEncap } from '../shm/layout.ts';
import { VXLAN_PORT } from '../wire/vxlan.ts';

export type EncapName = 'vxlan' | 'ipip' | 'fou';

export type Encap = {
  readonly name: EncapName;
  /** The number that stands for it in shared memory. */
  readonly id: number;
  /** Everything between the underlay MTU and the inner IP packet, bytes. */
  readonly overheadBytes: number;
  /** Header between UDP (or outer IP) and the inner frame or packet, bytes. */
  readonly shimBytes: number;
  /** Inner link-layer header, bytes: 14 where frames are carried, 0 where packets are. */
  readonly innerHeaderBytes: number;
  /** `tap` is bridged, `tun` routed. */
  readonly device: 'tap' | 'tun';
  /** Runs over UDP, hence has ports and can be sent in trains. */
  readonly udp: boolean;
  /** UDP destination port unless configured; 0 where there is none. */
  readonly defaultPort: number;
};

/** RFC 7348. */
export const VXLAN: Encap = {
  name: 'vxlan',
  id: LinkEncap.Vxlan,
  overheadBytes: 50,
  shimBytes: 8,
  innerHeaderBytes: 14,
  device: 'tap',
  udp: true,
  defaultPort: VXLAN_PORT,
};

/** RFC 2003: IP in IP, protocol 4. */
export const IPIP: Encap = {
  name: 'ipip',
  id: LinkEncap.Ipip,
  overheadBytes: 20,
  shimBytes: 0,
  innerHeaderBytes: 0,
  device: 'tun',
  udp: false,
  defaultPort: 0,
};

/** IP directly in UDP, as Linux's "foo over UDP" does. */
export const FOU: Encap = {
  name: 'fou',
  id: LinkEncap.Fou,
  overheadBytes: 28,
  shimBytes: 0,
  innerHeaderBytes: 0,
  device: 'tun',
  udp: true,
  defaultPort: 5555,
};

export const ENCAPS: Readonly<Record<EncapName, Encap>> = { vxlan: VXLAN, ipip: IPIP, fou: FOU };

/**
 * The encapsulation with the number `id`.
 * @throws RangeError for a number that no encapsulation has.
 */
export function encapById(id: number): Encap {
  for (const encap of Object.values(ENCAPS)) if (encap.id === id) return encap;
  throw new RangeError(`no encapsulation has the number ${id}`);
}
