/**
 * ICMP errors about what we sent, read from the sockets' error queues (`IP_RECVERR` and
 * `IPV6_RECVERR`). The kernel
 * has matched addresses and ports; we believe "fragmentation needed" only about a datagram that we
 * did send, and never below the floor (RFC 5927 §4, RFC 1191 §3).
 * @module
 */
import {
  EMSGSIZE,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_ICMP6,
  SO_EE_ORIGIN_LOCAL,
} from '../../sys/libc/constants.ts';
import { eventIndex } from '../../table/counters.ts';
import { MtuSource } from '../../table/paths.ts';
import { Fault } from '../../wire/classify.ts';
import { IPV4_SOURCE_OFFSET } from '../../wire/ipv4.ts';
import { type Arena, IOVEC_BYTES, MSGHDR } from '../ground/arena.ts';
import type { DataEndpoint, DataLink } from '../ground/link.ts';
import type { PeerTable } from '../ground/peers.ts';
import { Sender } from '../ground/route.ts';
import { getSockaddrPort, SOCKADDR_BYTES } from '../ground/sockaddr.ts';

/** Errors of one socket handled in one round; more wait for the next. */
const ERRORS_PER_ROUND = 128;
/** So long after one ICMP message the error of a send may be another one's, ms. */
const ICMP_FRESH_MS = 100;
const QUOTE_BYTES = 128;
const CONTROL_BYTES = 128;
/** `struct sock_extended_err`: errno u32, origin u8, type u8, code u8, pad u8, info u32, data u32. */
const EXTENDED_ERROR_BYTES = 16;

const LOWERED = eventIndex('pmtu_lowered');
const IGNORED = eventIndex('icmp_ignored');
const PORT_UNREACHABLE = eventIndex('port_unreachable');
/** ICMP type and code of "port unreachable" in one number (RFC 792, RFC 4443 §3.1). */
const ICMP_PORT_UNREACHABLE = (3 << 8) | 3;
const ICMPV6_PORT_UNREACHABLE = (1 << 8) | 4;

/** Whether a control message of this level and type holds an error. */
function isError(level: number, type: number): boolean {
  return (
    (level === IPPROTO_IP && type === IP_RECVERR) ||
    (level === IPPROTO_IPV6 && type === IPV6_RECVERR)
  );
}

export class ErrorQueue {
  readonly #arena: Arena;
  readonly #peers: PeerTable;
  readonly #message: number;
  readonly #name: number;
  readonly #quote: number;
  readonly #control: number;
  /** Value and length of SO_ERROR. */
  readonly #pending: number;
  #icmpAtMs = Number.NEGATIVE_INFINITY;

  constructor(arena: Arena, peers: PeerTable) {
    this.#arena = arena;
    this.#peers = peers;
    this.#message = arena.allocate(64);
    const iovec = arena.allocate(IOVEC_BYTES);
    this.#name = arena.allocate(SOCKADDR_BYTES);
    this.#quote = arena.allocate(QUOTE_BYTES);
    this.#control = arena.allocate(CONTROL_BYTES);
    this.#pending = arena.allocate(8);
    arena.writeIovec(iovec, this.#quote, QUOTE_BYTES);
    arena.writePointer(this.#message + MSGHDR.NAME, this.#name);
    arena.writePointer(this.#message + MSGHDR.IOV, iovec);
    arena.view.setUint32(this.#message + MSGHDR.IOV_LENGTH, 1, true);
    arena.writePointer(this.#message + MSGHDR.CONTROL, this.#control);
  }

  /**
   * Reads what waits in the error queue of one of the endpoint's sockets. Returns whether ICMP came
   * lately: then an error of a send may have been another packet's. Not only just now, because the
   * kernel makes an error the socket's own a moment after it has put it into the queue.
   */
  drain(endpoint: DataEndpoint, socket: number, nowMs: number): boolean {
    const { view } = this.#arena;
    const link = endpoint.links[0];
    if (link === undefined) return false;
    for (let i = 0; i < ERRORS_PER_ROUND; i++) {
      view.setUint32(this.#message + MSGHDR.NAME_LENGTH, SOCKADDR_BYTES, true);
      view.setUint32(this.#message + MSGHDR.CONTROL_LENGTH, CONTROL_BYTES, true);
      view.setUint32(this.#message + MSGHDR.FLAGS, 0, true);
      const length = endpoint.underlay.readError(socket, this.#message);
      if (length < 0) return this.#isIcmpFresh(nowMs);
      const counter = this.#handle(endpoint, length, nowMs);
      link.counters[counter] = (link.counters[counter] as number) + 1;
    }
    // Taking one error makes the next the socket's pending one, which would fail the next send or
    // receive: asking for it clears it, so that a storm of ICMP holds up no packet.
    view.setUint32(this.#pending + 4, 4, true);
    endpoint.underlay.clearError(socket, this.#pending);
    return this.#isIcmpFresh(nowMs);
  }

  #isIcmpFresh(nowMs: number): boolean {
    return nowMs - this.#icmpAtMs < ICMP_FRESH_MS;
  }

  /** Judges the error that was read; returns the event to count. */
  #handle(endpoint: DataEndpoint, quoteBytes: number, nowMs: number): number {
    const { view } = this.#arena;
    const end = this.#control + view.getUint32(this.#message + MSGHDR.CONTROL_LENGTH, true);
    let entry = this.#control;
    while (entry + 16 + EXTENDED_ERROR_BYTES <= end) {
      const entryBytes = view.getUint32(entry, true);
      if (entryBytes <= 16) return IGNORED;
      if (isError(view.getInt32(entry + 8, true), view.getInt32(entry + 12, true))) {
        const error = entry + 16;
        const origin = view.getUint8(error + 4);
        const isIcmp = origin === SO_EE_ORIGIN_ICMP || origin === SO_EE_ORIGIN_ICMP6;
        if (isIcmp) this.#icmpAtMs = nowMs;
        if (isIcmp && !this.#quoteIsOurs(endpoint, quoteBytes)) return IGNORED;
        const peer =
          this.#peers.find(this.#name, endpoint.links[0]?.peerPort ?? 0) ||
          // One behind a NAT has a port of its own.
          this.#peers.find(this.#name, getSockaddrPort(this.#arena.view, this.#name));
        if (view.getUint32(error, true) === EMSGSIZE) {
          if (!isIcmp && origin !== SO_EE_ORIGIN_LOCAL) return IGNORED;
          const source = isIcmp ? MtuSource.Icmp : MtuSource.Send;
          const mtu = view.getUint32(error + 8, true);
          return this.#peers.lower(peer, mtu, nowMs, source) ? LOWERED : IGNORED;
        }
        const isUnreachable =
          isIcmp &&
          view.getUint16(error + 5) ===
            (origin === SO_EE_ORIGIN_ICMP ? ICMP_PORT_UNREACHABLE : ICMPV6_PORT_UNREACHABLE);
        // What answers go to (ingress/path-probes.ts) may be gone by then, and means nothing.
        const isPeers = getSockaddrPort(view, this.#name) === (endpoint.links[0]?.peerPort ?? 0);
        if (!isUnreachable || !isPeers) return IGNORED;
        this.#peers.notePortUnreachable(peer);
        return PORT_UNREACHABLE;
      }
      entry += (entryBytes + 7) & ~7;
    }
    return IGNORED;
  }

  /** Whether the quoted payload, as far as it goes, is something that a link of ours would send. */
  #quoteIsOurs(endpoint: DataEndpoint, quoteBytes: number): boolean {
    const { links } = endpoint;
    for (let i = 0; i < links.length; i++) {
      const link = links[i] as DataLink;
      const { view } = this.#arena;
      const name = link.ways?.nameOf(endpoint, view, this.#name) ?? this.#name;
      if (name === 0 || link.route.sender(view, name) !== Sender.Peer) continue;
      if (this.#quoteFits(link, quoteBytes)) return true;
    }
    return false;
  }

  #quoteFits(link: DataLink, quoteBytes: number): boolean {
    const { view } = this.#arena;
    const quote = this.#quote;
    const { shim, shimBytes } = link;
    if (quoteBytes >= shimBytes && shim.checkShim(view, quote, quoteBytes) !== Fault.None) {
      return false;
    }
    if (shim.hasVni && quoteBytes >= shimBytes) {
      const vni = shim.vniOf(view, quote);
      if (vni !== link.vni && link.network?.mayBearLabel() !== true) return false;
    }
    // Old routers quote eight bytes only: then the peer table alone decides.
    const l3 = link.shimBytes + link.innerHeaderBytes;
    if (quoteBytes < l3 + 20) return true;
    return link.route.isHere(view, quote + l3 + IPV4_SOURCE_OFFSET);
  }
}
