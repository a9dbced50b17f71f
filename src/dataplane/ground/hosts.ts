/**
 * The hosts of an underlay as a fan's arithmetic sees them, by numbers of 32 bits: an IPv4 address, or
 * the last 32 bits of an IPv6 one, whose first 96 all hosts share with us.
 * @module
 */
import type { EndpointRow } from '../../table/links/links.ts';
import type { PeerReader } from '../../table/peers.ts';
import type { PeerTable } from './peers.ts';
import { getSockaddrIpv4, getSockaddrLastWord, hasPrefix96, isSockaddrIpv6 } from './sockaddr.ts';

export class UnderlayHosts {
  readonly isIpv6: boolean;
  readonly #port: number;
  readonly #peers: PeerTable;
  /** The first 96 bits of an IPv6 underlay. */
  readonly #high: readonly [number, number, number];

  /**
   * @param endpoint that we are on the underlay by
   * @param port that peers listen on, 0 where there is none
   */
  constructor(endpoint: EndpointRow, port: number, peers: PeerTable) {
    const { isIpv6 = 0, localWord0 = 0, localWord1 = 0, localWord2 = 0 } = endpoint;
    this.isIpv6 = isIpv6 === 1;
    this.#high = [localWord0, localWord1, localWord2];
    this.#port = port;
    this.#peers = peers;
  }

  /** The host that a socket address names; −1 where it is of another network than ours. */
  at(view: DataView, name: number): number {
    if (!this.isIpv6) return getSockaddrIpv4(view, name);
    const [a, b, c] = this.#high;
    const isOurs = isSockaddrIpv6(view, name) && hasPrefix96(view, name, a, b, c);
    return isOurs ? getSockaddrLastWord(view, name) : -1;
  }

  /** The host of a row of the table of peers; 0, which is nobody, where it is of another network. */
  ofRow(rows: PeerReader, index: number): number {
    return this.isIpv6 ? rows.lastWord(index, this.#high) : rows.ipv4(index);
  }

  /** The peer's number, which it has from now on. */
  intern(host: number): number {
    if (!this.isIpv6) return this.#peers.intern(host, this.#port);
    const [a, b, c] = this.#high;
    return this.#peers.internIpv6(a, b, c, host, this.#port);
  }
}
