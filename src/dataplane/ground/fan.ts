/**
 * The fan as a way to find peers: an overlay address says its host, by arithmetic (net/fan.ts tells
 * how), except where an entry of control's says otherwise.
 *
 * A host is a number of 32 bits here (hosts.ts); an overlay of IPv4 has no room for more.
 *
 * This is the only place of the data path that knows how a fan works.
 * @module
 */
import { encapById } from '../../encap/encap.ts';
import { maskOf } from '../../net/prefix.ts';
import type { LinkRecord } from '../../table/links/links.ts';
import type { PeerReader } from '../../table/peers.ts';
import type { PrefixReader } from '../../table/prefixes.ts';
import type { Prefix6Reader } from '../../table/six/prefixes.ts';
import type { UnderlayHosts } from './hosts.ts';
import { NoPeer, type PeerRoute, Sender } from './route.ts';

/** Who is where, as far as control has said so. */
export type EntryTables = { prefixes: PrefixReader; prefixes6: Prefix6Reader; peers: PeerReader };

export class FanRoute implements PeerRoute {
  readonly overlayLength: number;
  readonly #id: number;
  readonly #overlayBase: number;
  readonly #overlayMask: number;
  readonly #underlayBase: number;
  readonly #underlayMask: number;
  readonly #underlayHostMask: number;
  /** How far host bits move left into the overlay. */
  readonly #shift: number;
  readonly #sliceMask: number;
  /** Host bits of the network that workloads are in: which of them are no workload's. */
  readonly #segmentHostMask: number;
  readonly #local: number;
  readonly #localSlice: number;
  readonly #tables: EntryTables;
  readonly #hosts: UnderlayHosts;

  /** @param hosts of the underlay that it lies on */
  constructor(record: LinkRecord, tables: EntryTables, hosts: UnderlayHosts) {
    this.#hosts = hosts;
    this.#id = record.id;
    this.#tables = tables;
    this.overlayLength = record.overlayLength;
    this.#overlayMask = maskOf(record.overlayLength);
    this.#overlayBase = (record.overlayAddress & this.#overlayMask) >>> 0;
    this.#underlayMask = maskOf(record.underlayLength);
    this.#underlayHostMask = ~this.#underlayMask >>> 0;
    this.#underlayBase = (record.underlayAddress & this.#underlayMask) >>> 0;
    this.#shift = record.underlayLength - record.overlayLength;
    this.#sliceMask = maskOf(record.overlayLength + 32 - record.underlayLength);
    // Bridged, the whole overlay is one segment, and only its own first and last address are special;
    // .0 and .255 of a slice are addresses like others there (Docker's first container gets .0).
    const isBridged = encapById(record.encap).device === 'tap';
    this.#segmentHostMask = ~(isBridged ? this.#overlayMask : this.#sliceMask) >>> 0;
    this.#local = record.localAddress;
    this.#localSlice = this.#sliceOf(record.localAddress);
  }

  /** Network address of the slice of an underlay host. */
  #sliceOf(host: number): number {
    return (this.#overlayBase | ((host & this.#underlayHostMask) << this.#shift)) >>> 0;
  }

  /** Underlay address of the host whose slice contains the overlay address `inner`. */
  #hostBySlice(inner: number): number {
    return (this.#underlayBase | ((inner & ~this.#overlayMask) >>> this.#shift)) >>> 0;
  }

  /** The same by entry, else by arithmetic. Meaningless outside the overlay. */
  #hostOf(inner: number): number {
    const { prefixes, peers } = this.#tables;
    const entry = prefixes.find(this.#id, inner);
    if (entry === 0) return this.#hostBySlice(inner);
    return this.#hosts.ofRow(peers, entry);
  }

  /** Not the network or broadcast address of the underlay (a /31 has neither, RFC 3021). */
  #isHost(address: number): boolean {
    const host = (address & this.#underlayHostMask) >>> 0;
    return this.#underlayHostMask <= 1 || (host !== 0 && host !== this.#underlayHostMask);
  }

  #isInside(inner: number): boolean {
    return (inner & this.#overlayMask) >>> 0 === this.#overlayBase;
  }

  contains(view: DataView, address: number): boolean {
    return this.#isInside(view.getUint32(address));
  }

  to(view: DataView, address: number): number {
    const inner = view.getUint32(address);
    if (!this.#isInside(inner)) return NoPeer.Outside;
    const host = this.#hostOf(inner);
    if (host === this.#local) return NoPeer.Here;
    if (!this.#isHost(host)) return NoPeer.Nobody;
    return this.#hosts.intern(host);
  }

  isWorkload(view: DataView, address: number): boolean {
    const workload = (view.getUint32(address) & this.#segmentHostMask) >>> 0;
    return workload !== 0 && workload !== this.#segmentHostMask;
  }

  isHere(view: DataView, address: number): boolean {
    return this.isOurs(view.getUint32(address));
  }

  isOurs(inner: number): boolean {
    return this.#isInside(inner) && this.#hostOf(inner) === this.#local;
  }

  isFrom(view: DataView, address: number, name: number): boolean {
    const inner = view.getUint32(address);
    return this.#isInside(inner) && this.#hostOf(inner) === this.#hosts.at(view, name);
  }

  sender(view: DataView, name: number): Sender {
    const host = this.#hosts.at(view, name);
    if (host === this.#local) return Sender.Ourselves;
    if (host < 0 || (host & this.#underlayMask) >>> 0 !== this.#underlayBase)
      return Sender.Stranger;
    // The underlay's network and broadcast address are nobody's, so no slice belongs to them.
    return this.#isHost(host) ? Sender.Peer : Sender.Stranger;
  }

  couldBe(view: DataView, source: number, destination: number, name: number): boolean {
    const host = this.#hosts.at(view, name);
    return (
      host >= 0 &&
      (view.getUint32(source) & this.#sliceMask) >>> 0 === this.#sliceOf(host) &&
      (view.getUint32(destination) & this.#sliceMask) >>> 0 === this.#localSlice
    );
  }

  farGateway(view: DataView, address: number): number {
    return (this.#sliceOf(this.#hostBySlice(view.getUint32(address))) | 1) >>> 0;
  }
}
