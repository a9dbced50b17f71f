/**
 * The encapsulations, and what each costs. Bytes on the wire, outermost first:
 *
 * ```
 *          outer IPv4 or IPv6   UDP   VXLAN   inner Ethernet   inner IP packet
 *   vxlan      20    40          8      8           14          <= innerMtu
 *   fou        20    40          8      -            -          <= innerMtu
 *   ipip       20    40          -      -            -          <= innerMtu
 * ```
 *
 * `innerMtu = underlayMtu - overheadOf(...)`, so nothing we emit is ever fragmented.
 * @module
 */
import { checkVxlan, Fault } from '../wire/classify.ts';
import { PROTOCOL_IPIP, PROTOCOL_IPV6 } from '../wire/ipv4.ts';
import { emitVxlan, getVni, VXLAN_PORT, VXLAN_PORT_LINUX } from '../wire/vxlan.ts';

/** Numbers that stand for encapsulations in shared memory. */
export const LinkEncap = { Vxlan: 1, Ipip: 2, Fou: 3 } as const;

export type EncapName = 'vxlan' | 'ipip' | 'fou';

export type Encap = {
  readonly name: EncapName;
  /** The number that stands for it in shared memory. */
  readonly id: number;
  /** Everything between the MTU of an IPv4 underlay and the inner IP packet, bytes. */
  readonly overheadBytes: number;
  /** The same over IPv6. */
  readonly overheadIpv6Bytes: number;
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
  /** UDP destination port of other implementations' older habit. */
  readonly lxdPort: number;
  /** Packets say which network they belong to: a number of 24 bits. */
  readonly hasVni: boolean;
  /** Writes the shim at `offset`. */
  emitShim(view: DataView, offset: number, vni: number): void;
  /** What is wrong with the shim at `offset`, of which `length` bytes may be read. */
  checkShim(view: DataView, offset: number, length: number): Fault;
  /** The network of a packet with this shim; meaningless without {@link hasVni}. */
  vniOf(view: DataView, offset: number): number;
};

/** Where nothing stands between UDP (or outer IP) and the inner packet. */
const NO_SHIM = {
  emitShim: (): void => {},
  checkShim: (): Fault => Fault.None,
  vniOf: (): number => 0,
};

/** RFC 7348. */
export const VXLAN: Encap = {
  name: 'vxlan',
  id: LinkEncap.Vxlan,
  overheadBytes: 50,
  overheadIpv6Bytes: 70,
  shimBytes: 8,
  innerHeaderBytes: 14,
  device: 'tap',
  udp: true,
  defaultPort: VXLAN_PORT,
  lxdPort: VXLAN_PORT_LINUX,
  hasVni: true,
  emitShim: emitVxlan,
  checkShim: checkVxlan,
  vniOf: getVni,
};

/** RFC 2003, RFC 2473: IP in IP, protocol 4; IPv6 inside (RFC 4213) is protocol 41, on a socket of its own. */
export const IPIP: Encap = {
  name: 'ipip',
  id: LinkEncap.Ipip,
  overheadBytes: 20,
  overheadIpv6Bytes: 40,
  shimBytes: 0,
  innerHeaderBytes: 0,
  device: 'tun',
  udp: false,
  defaultPort: 0,
  lxdPort: 0,
  hasVni: false,
  ...NO_SHIM,
};

/** IP directly in UDP, as Linux's "foo over UDP" does. */
export const FOU: Encap = {
  name: 'fou',
  id: LinkEncap.Fou,
  overheadBytes: 28,
  overheadIpv6Bytes: 48,
  shimBytes: 0,
  innerHeaderBytes: 0,
  device: 'tun',
  udp: true,
  defaultPort: 5555,
  lxdPort: 5555,
  hasVni: false,
  ...NO_SHIM,
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

/** Everything between the MTU of an underlay of this family and the inner IP packet, bytes. */
export function overheadOf(
  encap: Pick<Encap, 'overheadBytes' | 'overheadIpv6Bytes'>,
  underlay: 4 | 6,
): number {
  return underlay === 6 ? encap.overheadIpv6Bytes : encap.overheadBytes;
}

/** Whether links of this encapsulation carry frames of a bridge, not routed packets. */
export function carriesFrames(name: EncapName): boolean {
  return ENCAPS[name].device === 'tap';
}

/** Whether links of this encapsulation carry packets in UDP, without frames. */
export function isPacketsInUdp(name: EncapName): boolean {
  return ENCAPS[name].udp && !carriesFrames(name);
}

/** What its packets are on the wire, in words: `UDP port 4789`. */
export function onTheWire(name: EncapName, port: number): string {
  return ENCAPS[name].udp
    ? `UDP port ${port}`
    : `IP protocols ${PROTOCOL_IPIP} and ${PROTOCOL_IPV6}`;
}
