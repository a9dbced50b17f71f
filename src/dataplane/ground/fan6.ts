/**
 * The IPv6 fan as a way to find peers: the bits behind the overlay's prefix are the host part of the
 * underlay address, whole (net/fan6.ts tells how), except where an entry of control's says otherwise.
 * Beside fan.ts this is the only place of the data path that knows how a fan works.
 *
 * `address` is the arena offset of the 16 bytes in question, `name` that of the socket address that a
 * datagram came from.
 * @module
 */
import { maskOf } from '../../net/prefix.ts';
import { maskOf6 } from '../../net/prefix6.ts';
import type { LinkRecord } from '../../table/links/links.ts';
import type { EntryTables } from './fan.ts';
import type { UnderlayHosts } from './hosts.ts';
import { NoPeer } from './route.ts';

/** Bits of the longest overlay: shorter slices than /126 have no room. */
const WORD_BITS = 32;

export class FanRoute6 {
  readonly overlayLength: number;
  readonly #id: number;
  readonly #tables: EntryTables;
  readonly #hosts: UnderlayHosts;
  readonly #base: readonly [number, number, number, number];
  readonly #mask: readonly [number, number, number, number];
  /** The word that the host part begins in, and how far from its first bit. */
  readonly #word: number;
  readonly #skip: number;
  readonly #hostLength: number;
  readonly #underlayBase: number;
  readonly #underlayHostMask: number;
  readonly #local: number;

  /** @param hosts of the underlay that it lies on */
  constructor(record: LinkRecord, tables: EntryTables, hosts: UnderlayHosts) {
    this.#id = record.id;
    this.#tables = tables;
    this.#hosts = hosts;
    const length = record.overlay6Length ?? 0;
    this.overlayLength = length;
    this.#mask = maskOf6(length);
    const { overlay6Word0 = 0, overlay6Word1 = 0, overlay6Word2 = 0, overlay6Word3 = 0 } = record;
    this.#base = [
      overlay6Word0 & this.#mask[0],
      overlay6Word1 & this.#mask[1],
      overlay6Word2 & this.#mask[2],
      overlay6Word3 & this.#mask[3],
    ];
    this.#word = length >>> 5;
    this.#skip = length & 31;
    const underlayMask = maskOf(record.underlayLength);
    this.#hostLength = WORD_BITS - record.underlayLength;
    this.#underlayHostMask = ~underlayMask >>> 0;
    this.#underlayBase = (record.underlayAddress & underlayMask) >>> 0;
    this.#local = record.localAddress;
  }

  #isInside(view: DataView, address: number): boolean {
    return (
      (((view.getUint32(address) & this.#mask[0]) ^ this.#base[0]) |
        ((view.getUint32(address + 4) & this.#mask[1]) ^ this.#base[1]) |
        ((view.getUint32(address + 8) & this.#mask[2]) ^ this.#base[2]) |
        ((view.getUint32(address + 12) & this.#mask[3]) ^ this.#base[3])) ===
      0
    );
  }

  /** The host that has an address of the overlay, by entry, else by arithmetic. */
  #hostOf(view: DataView, address: number): number {
    const { prefixes6, peers } = this.#tables;
    const entry = prefixes6.find(this.#id, view, address);
    return entry === 0 ? this.#hostBySlice(view, address) : this.#hosts.ofRow(peers, entry);
  }

  /** Underlay address of the host that an address of the overlay stands for. */
  #hostBySlice(view: DataView, address: number): number {
    if (this.#hostLength === 0) return this.#underlayBase;
    const at = address + 4 * this.#word;
    let bits = view.getUint32(at);
    if (this.#skip !== 0) {
      // No host part passes the end of the address: a slice has 126 bits at most.
      const next = this.#word < 3 ? view.getUint32(at + 4) : 0;
      bits = (bits << this.#skip) | (next >>> (WORD_BITS - this.#skip));
    }
    return (this.#underlayBase | (bits >>> (WORD_BITS - this.#hostLength))) >>> 0;
  }

  /** Not the network or broadcast address of the underlay (a /31 has neither, RFC 3021). */
  #isHost(host: number): boolean {
    const bits = (host & this.#underlayHostMask) >>> 0;
    return this.#underlayHostMask <= 1 || (bits !== 0 && bits !== this.#underlayHostMask);
  }

  /** Whether an address is of this link's overlay. */
  contains(view: DataView, address: number): boolean {
    return this.#isInside(view, address);
  }

  /** The peer that has an address, or one of {@link NoPeer}. */
  to(view: DataView, address: number): number {
    if (!this.#isInside(view, address)) return NoPeer.Outside;
    const host = this.#hostOf(view, address);
    if (host === this.#local) return NoPeer.Here;
    if (!this.#isHost(host)) return NoPeer.Nobody;
    return this.#hosts.intern(host);
  }

  /** Whether an address is at this host. */
  isHere(view: DataView, address: number): boolean {
    return this.#isInside(view, address) && this.#hostOf(view, address) === this.#local;
  }

  /** Whether an address is at the host that sent. */
  isFrom(view: DataView, address: number, name: number): boolean {
    return (
      this.#isInside(view, address) && this.#hostOf(view, address) === this.#hosts.at(view, name)
    );
  }

  /** Whether a packet would be honest on this link, had it come by its encapsulation. */
  couldBe(view: DataView, source: number, destination: number, name: number): boolean {
    return this.isFrom(view, source, name) && this.isHere(view, destination);
  }

  /** Writes the first address of the slice of a host, 16 bytes, to `out`. */
  #emitGateway(view: DataView, host: number, out: number): void {
    const bits = this.#hostLength === 0 ? 0 : (host & this.#underlayHostMask) >>> 0;
    // Where the host part ends in its word: it may reach into the next one.
    const end = this.#skip + this.#hostLength;
    for (let i = 0; i < 4; i++) {
      let word = this.#base[i] as number;
      if (i === this.#word)
        word |= end <= WORD_BITS ? shift(bits, WORD_BITS - end) : bits >>> (end - WORD_BITS);
      else if (i === this.#word + 1 && end > WORD_BITS) word |= shift(bits, 2 * WORD_BITS - end);
      if (i === 3) word |= 1;
      view.setUint32(out + 4 * i, word);
    }
  }

  /** Writes the overlay address of the router that a datagram came from to `out`. */
  homeOf(view: DataView, name: number, out: number): void {
    this.#emitGateway(view, this.#hosts.at(view, name), out);
  }

  /** Writes the overlay address of the router at the far end of the way to an address to `out`. */
  farGateway(view: DataView, address: number, out: number): void {
    this.#emitGateway(view, this.#hostBySlice(view, address), out);
  }
}

/** `<<` that knows 32 and more. */
function shift(bits: number, places: number): number {
  return places >= WORD_BITS ? 0 : bits << places;
}
