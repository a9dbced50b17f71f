/**
 * The rules of a layer-2 network, asked for every IP packet of a network that has some, on its way out and
 * again on its way in:
 *
 *   1. what belongs to a known connection passes       shm/flow-set.ts
 *   2. what may open one does: the first rule that fits decides
 *   3. what others have opened before the rules changed is asked for by the new ones, that way round
 *   4. what a workload that has moved had open goes on, either way round; so does all of it for a while
 *      after this process has begun
 *   5. ICMP errors go with the connection that they speak of, later pieces of a packet with the first
 *
 * @module
 */
import type { FlowSet } from '../../shm/flow-set.ts';
import { FdbFlag, fdbFlags } from '../../table/fdb.ts';
import { generationOf, type PolicyReader, ruleCount, usesLabels } from '../../table/policy.ts';
import { ETHERNET_HEADER_BYTES, ETHERNET_SOURCE_OFFSET } from '../../wire/ethernet.ts';
import {
  getIcmpType,
  ICMP_HEADER_BYTES,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMPV6_INFORMATIONAL_MIN,
} from '../../wire/icmp.ts';
import {
  getIpVersion,
  getIpv4Fragment,
  getIpv4HeaderBytes,
  getIpv4Identification,
  getIpv4Protocol,
  IPV4_FRAGMENT_MASK,
  IPV4_HEADER_BYTES,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
} from '../../wire/ipv4.ts';
import { getIpv6NextHeader, IPV6_HEADER_BYTES, NEXT_FRAGMENT } from '../../wire/ipv6.ts';
import { getTcpFlags, TCP_ACK, TCP_FLAGS_OFFSET, TCP_SYN } from '../../wire/tcp.ts';
import type { Network } from '../ground/network.ts';
import { FlowKey } from './flow-key.ts';
import { Judge } from './judge.ts';

/** How long a new process lets go on what its predecessor may have known, ms. */
const BEGIN_MS = 30_000;
/** Changes of the rules that a connection outlives without a packet between them. */
const GENERATIONS = 4;
/** Of an IPv6 fragment header (RFC 8200 §4.5). */
const FRAGMENT_ID_OFFSET = 4;
const FRAGMENT_HEADER_BYTES = 8;
/** Ports behind the header of the packet that an ICMP error quotes. */
const QUOTED_BYTES = 4;

export type PolicyParts = {
  view: DataView;
  rules: PolicyReader;
  flows: FlowSet;
  /** A number for each rule of each link: how often it decided. */
  hits: Float64Array;
  /** Keys of the fingerprints, the same in all data processes. */
  keys: readonly [number, number];
  nowMs: () => number;
};

export class Policy {
  readonly #parts: PolicyParts;
  readonly #key: FlowKey;
  readonly #judge: Judge;
  readonly #beganMs: number;

  constructor(parts: PolicyParts) {
    const { view, rules, hits, keys, nowMs } = parts;
    this.#parts = parts;
    this.#key = new FlowKey(view, ...keys);
    this.#judge = new Judge(view, rules, this.#key, hits);
    this.#beganMs = nowMs();
  }

  /**
   * Whether the rules of the network let the IP packet pass that is in the frame at `frame`: `totalBytes`
   * long, its transport header `headerBytes` behind the IP header.
   */
  mayPass(
    network: Network,
    frame: number,
    headerBytes: number,
    totalBytes: number,
    protocol: number,
    isFragment: boolean,
  ): boolean {
    const { rules, flows } = this.#parts;
    const head = rules.head(network.id);
    if (ruleCount(head) === 0) return true;
    const l4 = frame + ETHERNET_HEADER_BYTES + headerBytes;
    const isLater = isFragment && this.#isLater(frame, protocol);
    if (isFragment) this.#readPieces(network.id, frame, l4, isLater, generationOf(head));
    const key = this.#key;
    if (isLater) return flows.has(key.low, key.high);
    const { low, high } = key;
    if (usesLabels(head)) this.#judge.readLabels(network.id, frame);
    const l4Bytes = totalBytes - headerBytes;
    if (!this.#connection(network, frame, l4, l4Bytes, protocol)) return false;
    if (isFragment) flows.add(low, high);
    return true;
  }

  /** The same for a packet that shows its transport header. */
  #connection(
    network: Network,
    frame: number,
    l4: number,
    l4Bytes: number,
    protocol: number,
  ): boolean {
    const { flows, view, rules } = this.#parts;
    const { id } = network;
    const key = this.#key;
    const generation = generationOf(rules.head(id));
    if (isIcmpError(view, l4, l4Bytes, protocol)) {
      return this.#quoted(id, l4 + ICMP_HEADER_BYTES, l4Bytes - ICMP_HEADER_BYTES, generation);
    }
    key.read(frame + ETHERNET_HEADER_BYTES, l4, l4Bytes, protocol);
    const isTcp = protocol === PROTOCOL_TCP && l4Bytes > TCP_FLAGS_OFFSET;
    const opens = isTcp && (getTcpFlags(view, l4) & (TCP_SYN | TCP_ACK)) === TCP_SYN;
    key.ofConnection(id, generation);
    if (opens ? this.#isOpenedHere() : this.#isKnown()) return true;
    if (this.#judge.allows(id, false)) {
      flows.add(key.low, key.high | key.opener);
      return true;
    }
    if (opens || !this.#wentOn(network, frame, generation)) {
      this.#judge.countDenial(id);
      return false;
    }
    key.ofConnection(id, generation);
    flows.add(key.low, key.high | (key.opener ^ 1));
    return true;
  }

  /** Whether the source of the packet in hand has opened its connection. */
  #isOpenedHere(): boolean {
    const { low, high, opener } = this.#key;
    return this.#parts.flows.has(low, high | opener);
  }

  /** Whether either end has. */
  #isKnown(): boolean {
    const { low, high, opener } = this.#key;
    const { flows } = this.#parts;
    return flows.has(low, high | opener) || flows.has(low, high | (opener ^ 1));
  }

  /**
   * Whether the other end may open the connection of the packet in hand, and may well have done so: it was
   * known under earlier rules, or where one of both was before.
   */
  #wentOn(network: Network, frame: number, generation: number): boolean {
    const { flows } = this.#parts;
    const key = this.#key;
    if (!this.#judge.allows(network.id, true)) return false;
    if (this.#hasMoved(network, frame) || this.#hasMoved(network, frame + ETHERNET_SOURCE_OFFSET)) {
      return true;
    }
    if (this.#parts.nowMs() - this.#beganMs < BEGIN_MS) return true;
    for (let back = 1; back <= GENERATIONS && back < generation; back++) {
      key.ofConnection(network.id, generation - back);
      if (flows.has(key.low, key.high | (key.opener ^ 1))) return true;
    }
    return false;
  }

  #hasMoved(network: Network, mac: number): boolean {
    const { view } = this.#parts;
    const { fdb } = network.tables;
    const entry = fdb.find(network.id, view.getUint16(mac), view.getUint32(mac + 2));
    return (fdbFlags(entry) & FdbFlag.Moved) !== 0;
  }

  /** Whether the connection of the packet that an ICMP error quotes is known, or may be. */
  #quoted(link: number, l3: number, bytes: number, generation: number): boolean {
    const { view } = this.#parts;
    if (bytes < IPV4_HEADER_BYTES + QUOTED_BYTES) return false;
    const isSix = getIpVersion(view, l3) === 6;
    const headerBytes = isSix ? IPV6_HEADER_BYTES : getIpv4HeaderBytes(view, l3);
    if (bytes < headerBytes + QUOTED_BYTES) return false;
    const protocol = isSix ? getIpv6NextHeader(view, l3) : getIpv4Protocol(view, l3);
    const key = this.#key;
    key.read(l3, l3 + headerBytes, bytes - headerBytes, protocol);
    key.ofConnection(link, generation);
    if (this.#isKnown()) return true;
    // It comes from where the quoted packet went.
    this.#judge.swapLabels();
    return this.#judge.allows(link, false) || this.#judge.allows(link, true);
  }

  #isLater(frame: number, protocol: number): boolean {
    const { view } = this.#parts;
    const l3 = frame + ETHERNET_HEADER_BYTES;
    if (getIpVersion(view, l3) === 6) return protocol === NEXT_FRAGMENT;
    return (getIpv4Fragment(view, l3) & IPV4_FRAGMENT_MASK) !== 0;
  }

  /** Makes the fingerprint of all pieces of the packet that the one in hand is a piece of. */
  #readPieces(link: number, frame: number, l4: number, isLater: boolean, generation: number): void {
    const { view } = this.#parts;
    const key = this.#key;
    const l3 = frame + ETHERNET_HEADER_BYTES;
    key.read(l3, l4, 0, 0);
    if (!key.isSix) return key.ofPieces(link, generation, getIpv4Identification(view, l3));
    const header = isLater ? l4 : l4 - FRAGMENT_HEADER_BYTES;
    key.ofPieces(link, generation, view.getInt32(header + FRAGMENT_ID_OFFSET));
  }
}

/** Whether it is an error that quotes a packet (RFC 792, RFC 4443 §2.1). */
function isIcmpError(view: DataView, l4: number, bytes: number, protocol: number): boolean {
  if (bytes < ICMP_HEADER_BYTES) return false;
  if (protocol === PROTOCOL_ICMPV6) return getIcmpType(view, l4) < ICMPV6_INFORMATIONAL_MIN;
  if (protocol !== PROTOCOL_ICMP) return false;
  const type = getIcmpType(view, l4);
  return (
    type === ICMP_UNREACHABLE || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETER_PROBLEM
  );
}
