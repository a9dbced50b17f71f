/**
 * A link some of whose peers may be behind a NAT. Everything else of the data path knows such a peer by
 * its own address; here alone it is exchanged for the one that it is seen at, both ways, and its own
 * address is a stranger's as long as it is seen elsewhere.
 *
 * A NAT lets in only what comes from where something went out to: packets to such a peer leave from the
 * port that listens, whatever their flow.
 * @module
 */
import type { Seat, SeatReader } from '../../table/links/seats.ts';
import type { DataEndpoint } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import type { Ways } from '../ground/route.ts';
import {
  emitSockaddr,
  getSockaddrIpv4,
  getSockaddrPort,
  isSockaddrIpv6,
} from '../ground/sockaddr.ts';

/** No host has it, so nobody's rule holds for it. */
const NOBODY = 0;

export class Seats implements Ways {
  readonly endpoints: readonly DataEndpoint[];
  readonly endpoint: DataEndpoint;
  readonly hasNat = true;
  isFixed = false;
  readonly #link: number;
  readonly #reader: SeatReader;
  readonly #peers: PeerTable;
  /** Arena offset of room for a socket address. */
  readonly #scratch: number;
  #version = -1;
  #seats: readonly Seat[] = [];

  constructor(parts: {
    link: number;
    endpoint: DataEndpoint;
    reader: SeatReader;
    peers: PeerTable;
    scratch: number;
  }) {
    this.endpoint = parts.endpoint;
    this.endpoints = [parts.endpoint];
    this.#link = parts.link;
    this.#reader = parts.reader;
    this.#peers = parts.peers;
    this.#scratch = parts.scratch;
  }

  /** Reads the table again where it has changed, which is seldom. */
  #refresh(): void {
    if (this.#reader.version === this.#version) return;
    const read = this.#reader.read(this.#link);
    // Control was stopped while it wrote: what we have holds.
    if (read === undefined) return;
    this.#version = read.version;
    this.#seats = read.seats;
  }

  nameOf(_endpoint: DataEndpoint, view: DataView, name: number): number {
    this.#refresh();
    const seats = this.#seats;
    if (seats.length === 0 || isSockaddrIpv6(view, name)) return name;
    const address = getSockaddrIpv4(view, name);
    const port = getSockaddrPort(view, name);
    let isElsewhere = false;
    for (let i = 0; i < seats.length; i++) {
      const seat = seats[i] as Seat;
      if (seat.address === address && seat.port === port) {
        emitSockaddr(view, this.#scratch, seat.peer, port);
        return this.#scratch;
      }
      if (seat.peer === address) isElsewhere = true;
    }
    if (!isElsewhere) return name;
    emitSockaddr(view, this.#scratch, NOBODY, port);
    return this.#scratch;
  }

  choose(_view: DataView, _frame: number, peer: number): number {
    return this.usual(peer);
  }

  usual(peer: number): number {
    this.#refresh();
    this.isFixed = false;
    const seats = this.#seats;
    if (seats.length === 0) return peer;
    const { view } = this.#peers;
    const name = this.#peers.nameOf(peer);
    if (isSockaddrIpv6(view, name)) return peer;
    const address = getSockaddrIpv4(view, name);
    for (let i = 0; i < seats.length; i++) {
      const seat = seats[i] as Seat;
      if (seat.peer !== address) continue;
      this.isFixed = true;
      return this.#peers.intern(seat.address, seat.port);
    }
    return peer;
  }

  endpointTo(): DataEndpoint {
    return this.endpoint;
  }

  endpointOf(): DataEndpoint {
    return this.endpoint;
  }
}
