/**
 * What the data process keeps of each link and endpoint: plain numbers, read once from shared
 * memory, so that the loop never looks anything up by name.
 * @module
 */

import { type Encap, encapById, overheadOf } from '../../encap/encap.ts';
import type { Layout } from '../../shm/layout.ts';
import type { MacRing } from '../../shm/mac-ring.ts';
import { LinkKind } from '../../shm/network.ts';
import { eventIndex } from '../../table/counters.ts';
import { FdbReader } from '../../table/fdb.ts';
import { FloodReader } from '../../table/flood.ts';
import {
  EndpointKind,
  type EndpointRecord,
  type LinkRecord,
  Offload,
} from '../../table/links/links.ts';
import { LocalMacs } from '../../table/local-macs.ts';
import { NeighbourReader } from '../../table/neighbours.ts';
import { PeerReader } from '../../table/peers.ts';
import { PrefixReader } from '../../table/prefixes.ts';
import type { TableSegment } from '../../table/segment.ts';
import { Prefix6Reader } from '../../table/six/prefixes.ts';
import { VtepReader } from '../../table/vteps.ts';
import { ETHERNET_SOURCE_OFFSET } from '../../wire/ethernet.ts';
import { IPV4_HEADER_BYTES, IPV4_PACKET_BYTES_MAX } from '../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { type EntryTables, FanRoute } from './fan.ts';
import { FanRoute6 } from './fan6.ts';
import { UnderlayHosts } from './hosts.ts';
import { Network, type NetworkTables } from './network.ts';
import { PATH_MTU_FLOOR_BYTES, PATH_MTU_FLOOR_IPV6_BYTES, type PeerTable } from './peers.ts';
import type { Device, Ports, Underlay } from './ports.ts';
import type { PeerRoute, Ways } from './route.ts';

const MACS_FORGOTTEN = eventIndex('local_macs_forgotten');

/** Underlay sockets on one local address and port, and the links that they serve. */
export class DataEndpoint {
  /** Its number among the endpoints. */
  readonly index: number;
  readonly kind: number;
  /** Its sockets are of IPv6. */
  readonly isIpv6: boolean;
  readonly record: EndpointRecord;
  readonly localPort: number;
  readonly sockets: readonly number[];
  /** Those of them that datagrams come by: the first, and of raw ones also that of IPv6 inside. */
  readonly listeners: readonly number[];
  readonly underlay: Underlay;
  /** The sockets know UDP_SEGMENT; whether a path carries it the peer table says. */
  segment: boolean;
  readonly gro: boolean;
  /**
   * We tell the flow label of each packet, by its inner flow: where no source port tells flows apart.
   * Over UDP the kernel makes the label of the ports, among others.
   */
  saysFlowLabel: boolean;
  /** Receives that failed since the last that did not. */
  receiveErrors = 0;
  readonly #links: DataLink[] = [];
  /** The same by VNI: with 256 links a search would cost more than all the rest of a packet. */
  readonly #byVni = new Map<number, DataLink[]>();

  /** @param underlay where its sockets are */
  constructor(record: EndpointRecord, underlay: Underlay, index = 0) {
    this.index = index;
    this.record = record;
    this.underlay = underlay;
    this.kind = record.kind;
    this.isIpv6 = record.isIpv6 === 1;
    this.localPort = record.localPort;
    this.sockets = record.sockets;
    this.listeners = this.isRaw ? record.sockets : record.sockets.slice(0, 1);
    this.saysFlowLabel = this.isIpv6 && (this.isRaw || record.sockets.length <= 1);
    this.segment = (record.offloads & Offload.Segment) !== 0;
    this.gro = (record.offloads & Offload.Gro) !== 0;
  }

  /** Links by falling overlay prefix length: the first that contains an address is its longest. */
  get links(): readonly DataLink[] {
    return this.#links;
  }

  /** Those of one VNI in the same order, or undefined; overlays such as 10/8 and 10.0/16 share it. */
  linksOf(vni: number): readonly DataLink[] | undefined {
    return this.#byVni.get(vni);
  }

  /** Serves one more link. */
  add(link: DataLink): void {
    this.#links.push(link);
    this.#links.sort((a, b) => b.route.overlayLength - a.route.overlayLength);
    this.sort();
  }

  /** A link has another network, or one more: finds them by VNI anew. */
  sort(): void {
    this.#byVni.clear();
    for (const link of this.#links) {
      for (const vni of new Set(link.six === undefined ? [link.vni] : [link.vni, link.vni6])) {
        const known = this.#byVni.get(vni) ?? [];
        this.#byVni.set(vni, known);
        known.push(link);
      }
    }
  }

  /** Serves one link less. */
  remove(link: DataLink): void {
    const index = this.#links.indexOf(link);
    if (index >= 0) this.#links.splice(index, 1);
    this.sort();
  }

  get isRaw(): boolean {
    return this.kind === EndpointKind.Ipip;
  }

  /** The IP version that the protocol of a raw socket says of what is inside; 0 where none does. */
  versionInside(socket: number): number {
    if (!this.isRaw) return 0;
    return socket === this.sockets[1] ? 6 : 4;
  }

  /** What is received begins with the outer header: raw sockets of IPv4 alone give it (raw(7)). */
  get showsOuterHeader(): boolean {
    return this.isRaw && !this.isIpv6;
  }

  /** What the kernel puts before our datagrams, bytes: an IP header, and UDP's where it is UDP. */
  get outerHeaderBytes(): number {
    const ip = this.isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES;
    return this.isRaw ? ip : ip + UDP_HEADER_BYTES;
  }

  /** Every path carries packets of this length at least, bytes. */
  get pathMtuFloorBytes(): number {
    return this.isIpv6 ? PATH_MTU_FLOOR_IPV6_BYTES : PATH_MTU_FLOOR_BYTES;
  }
}

/**
 * The first of `links` whose overlay contains the address at arena offset `address`: the closest, as
 * an endpoint keeps them by falling prefix length.
 */
export function ownerOf(
  links: readonly DataLink[],
  view: DataView,
  address: number,
): DataLink | undefined {
  for (let i = 0; i < links.length; i++) {
    const link = links[i] as DataLink;
    if (link.route.contains(view, address)) return link;
  }
  return undefined;
}

/** The same for an IPv6 address; the closest of all, in whichever order they are. */
export function ownerOf6(
  links: readonly DataLink[],
  view: DataView,
  address: number,
): DataLink | undefined {
  let owner: DataLink | undefined;
  for (let i = 0; i < links.length; i++) {
    const link = links[i] as DataLink;
    const { six } = link;
    if (six === undefined || !six.contains(view, address)) continue;
    if (owner?.six === undefined || six.overlayLength > owner.six.overlayLength) owner = link;
  }
  return owner;
}

/** What control has said of who is where, as the loop looks it up. */
export function readTables(segment: TableSegment): EntryTables & NetworkTables {
  const peers = new PeerReader(segment);
  return {
    peers,
    prefixes: new PrefixReader(segment),
    prefixes6: new Prefix6Reader(segment),
    fdb: new FdbReader(segment),
    neighbours: new NeighbourReader(segment),
    vteps: new VtepReader(segment, peers),
    floods: new FloodReader(segment),
  };
}

/** What links have in common. */
export type LinkScene = {
  layout: Layout;
  tables: EntryTables & NetworkTables;
  peers: PeerTable;
  ports: Ports;
};

export class DataLink {
  readonly id: number;
  readonly encap: number;
  readonly deviceFd: number;
  readonly device: Device;
  readonly endpoint: DataEndpoint;
  /** Its underlays, where it has more than one, or where its peers are seen, where a NAT may be between. */
  ways: Ways | undefined;
  readonly shimBytes: number;
  readonly innerHeaderBytes: number;
  readonly overheadBytes: number;
  /** Its encapsulation's row: the shim, and what it says. */
  readonly shim: Pick<Encap, 'hasVni' | 'emitShim' | 'checkShim' | 'vniOf'>;
  readonly vnetHeader: boolean;
  readonly uso: boolean;
  readonly #tables: EntryTables;
  /** Those that may be its peers. */
  readonly hosts: UnderlayHosts;
  /** Where its peers are. */
  readonly route: PeerRoute;
  /** What it knows as a layer-2 network; undefined = it is a fan. */
  readonly network: Network | undefined;
  /** Where its IPv6 peers are; undefined = it carries no IPv6. */
  six: FanRoute6 | undefined;
  readonly vni: number;
  /** Network of its IPv6 overlay; 0 where there is none, or the encapsulation has no networks. */
  vni6 = 0;
  readonly peerPort: number;
  /** Largest inner IP packet, bytes; control lowers and raises it while we run. */
  innerMtu = 0;
  /** MTU of the underlay's device, bytes. */
  underlayMtu = 0;
  /** Inner packets up to this length fit every path, bytes. */
  sureBytes = 0;
  dscpMode: 0 | 1;
  /** What it may send in a second, bytes; 0 = no limit. */
  rateBytes: number;
  /** Fields by which its flows are told apart (net/flow-keys.ts). */
  flowKeys: number;
  /** Hosts that have a rate of their own. */
  peerRates: number;
  readonly counters: Float64Array;
  /** MACs of containers follow from their addresses. */
  readonly derivesMacs: boolean;
  readonly #gateway: number;
  #superBytesToHost: number;
  #superBytesToPorts: number;
  /** MACs behind our own bridge's other ports; only bridged links have any. */
  readonly #localMacs: LocalMacs | undefined;
  readonly #claims: MacRing;
  /** Reads from the device that failed since the last that did not. */
  readErrors = 0;

  constructor(record: LinkRecord, endpoint: DataEndpoint, scene: LinkScene) {
    const { layout, tables, peers, ports } = scene;
    this.#tables = tables;
    const encap = encapById(record.encap);
    this.id = record.id;
    this.encap = record.encap;
    this.deviceFd = record.deviceFd;
    this.device = ports.device(record.deviceFd);
    this.endpoint = endpoint;
    this.shimBytes = encap.shimBytes;
    this.innerHeaderBytes = encap.innerHeaderBytes;
    this.overheadBytes = overheadOf(encap, endpoint.isIpv6 ? 6 : 4);
    this.shim = encap;
    this.vnetHeader = (record.offloads & Offload.VnetHeader) !== 0;
    this.uso = (record.offloads & Offload.Uso) !== 0;
    this.vni = record.vni;
    this.peerPort = encap.udp ? record.peerPort : 0;
    this.hosts = new UnderlayHosts(endpoint.record, this.peerPort, peers);
    this.network =
      record.kind === LinkKind.Vni
        ? new Network(record, endpoint.record, this.peerPort, tables, peers)
        : undefined;
    this.route = this.network ?? new FanRoute(record, tables, this.hosts);
    this.#setSix(record);
    this.#setMtu(record);
    this.derivesMacs = record.derivesMacs === 1;
    this.#gateway = record.gateway;
    this.#superBytesToHost = record.superBytesToHost;
    this.#superBytesToPorts = record.superBytesToPorts;
    this.dscpMode = record.dscpUniform === 1 ? 1 : 0;
    this.rateBytes = record.rateBytes ?? 0;
    this.flowKeys = record.flowKeys ?? 0;
    this.peerRates = record.peerRates ?? 0;
    this.counters = layout.counters(record.id);
    this.#claims = layout.claims;
    // What a network knows of MACs stands in the tables.
    const keepsMacs = encap.innerHeaderBytes !== 0 && this.network === undefined;
    this.#localMacs = keepsMacs ? new LocalMacs() : undefined;
  }

  /** Remembers the Ethernet source of a frame at `frame` that our own slice sent for `address`. */
  noteSender(view: DataView, frame: number, address: number, nowMs: number): void {
    const source = frame + ETHERNET_SOURCE_OFFSET;
    this.#localMacs?.note(view.getUint16(source), view.getUint32(source + 2), address, nowMs);
  }

  /** The same for a frame that says no IPv4 address. */
  noteMac(view: DataView, frame: number, nowMs: number): void {
    const source = frame + ETHERNET_SOURCE_OFFSET;
    this.#localMacs?.noteMac(view.getUint16(source), view.getUint32(source + 2), nowMs);
  }

  /**
   * Whether the frame at `frame`, from the underlay, claims the MAC of a port of our own bridge,
   * which would then believe that the port's owner has moved to the tunnel. Perhaps it has: control
   * is told, and asks the bridge. Where the owner's address is known to be elsewhere, it has.
   */
  claimsLocalMac(view: DataView, frame: number, nowMs: number): boolean {
    const macs = this.#localMacs;
    if (macs === undefined) return false;
    const source = frame + ETHERNET_SOURCE_OFFSET;
    const high = view.getUint16(source);
    const low = view.getUint32(source + 2);
    if (!macs.has(high, low, nowMs)) return false;
    const address = macs.addressOf(high, low);
    // Who has spoken IPv6 alone is here until control has asked the bridge.
    if (address !== 0 && !this.route.isOurs(address)) return false;
    if (macs.isClaimNews(high, low, nowMs)) this.#claims.push(this.id, high, low);
    return true;
  }

  /** A local port has lost this MAC, says control. */
  forgetMac(high: number, low: number): void {
    if (this.#localMacs?.forget(high, low) !== true) return;
    this.counters[MACS_FORGOTTEN] = (this.counters[MACS_FORGOTTEN] as number) + 1;
  }

  /** Whether the destination of the frame at `frame`, from the underlay, answers nobody any more. */
  isUnanswered(view: DataView, frame: number, nowMs: number): boolean {
    const macs = this.#localMacs;
    if (macs === undefined) return false;
    return macs.isUnanswered(view.getUint16(frame), view.getUint32(frame + 2), nowMs);
  }

  /** Longest TCP packet to `destination` that the device takes in one piece, bytes (IP length). */
  superBytesMax(destination: number): number {
    return destination === this.#gateway ? this.#superBytesToHost : this.#superBytesToPorts;
  }

  /** From now on no packet is longer than IPv4 can say; control may think of others later. */
  shortenSuperPackets(): void {
    this.#superBytesToHost = Math.min(this.#superBytesToHost, IPV4_PACKET_BYTES_MAX);
    this.#superBytesToPorts = Math.min(this.#superBytesToPorts, IPV4_PACKET_BYTES_MAX);
  }

  /** Takes over what control may change while we run. */
  update(record: LinkRecord): void {
    this.network?.update(record);
    this.#setSix(record);
    this.#setMtu(record);
    this.#superBytesToHost = record.superBytesToHost;
    this.#superBytesToPorts = record.superBytesToPorts;
    this.dscpMode = record.dscpUniform === 1 ? 1 : 0;
    this.rateBytes = record.rateBytes ?? 0;
    this.flowKeys = record.flowKeys ?? 0;
    this.peerRates = record.peerRates ?? 0;
  }

  /** An IPv6 overlay that comes or goes, while all else stays as it is. */
  #setSix(record: LinkRecord): void {
    const { overlay6Length = 0, vni6 = 0 } = record;
    const length = this.six?.overlayLength ?? 0;
    if (length === overlay6Length && this.vni6 === vni6) return;
    this.vni6 = vni6;
    this.six = overlay6Length === 0 ? undefined : new FanRoute6(record, this.#tables, this.hosts);
    this.endpoint.sort();
  }

  #setMtu(record: LinkRecord): void {
    this.innerMtu = record.innerMtu;
    this.underlayMtu = record.underlayMtu;
    this.sureBytes = Math.min(
      record.innerMtu,
      this.endpoint.pathMtuFloorBytes - this.overheadBytes,
    );
  }
}
