/**
 * The flow of a packet that nobody has checked yet: what it says it is decides who it waits behind, and
 * nothing else. Whatever the bytes are, the answer is a bucket, and nothing beyond the packet counts.
 * @module
 */
import { flowKeyBits } from '../../net/flow-keys.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  getEtherType,
} from '../../wire/ethernet.ts';
import { absorb, finish } from '../../wire/flow-hash.ts';
import {
  getIpVersion,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  IPV4_HEADER_BYTES,
  isIpv4Fragment,
} from '../../wire/ipv4.ts';
import { getIpv6NextHeader, IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { flowKeyHash, type Sorted } from './flow-key.ts';

/**
 * Flows are told apart by so many buckets; those that share one are like one flow, so whoever shares one with a flow
 * that floods waits with it: of 64 such flows, one in 256. A power of two.
 */
export const FLOW_BUCKETS = 16_384;

const ALL_KEYS = flowKeyBits([]);

export class LooseFlow {
  readonly #view: DataView;
  readonly #seed: number;
  readonly #packet: Sorted = {
    ...{ frame: 0, l3: 0, headerBytes: 0, totalBytes: 0 },
    ...{ protocol: 0, isFragment: false, tos: 0 },
  };

  /** @param seed secret, so that nobody can choose whom it stands in front of */
  constructor(view: DataView, seed: number) {
    this.#view = view;
    this.#seed = seed;
  }

  /**
   * The bucket, below {@link FLOW_BUCKETS}, of `length` bytes at `frame`.
   * @param headerBytes an Ethernet header's, or 0 where it begins with IP
   */
  bucketOf(frame: number, length: number, headerBytes: number): number {
    const view = this.#view;
    const l3 = frame + headerBytes;
    const available = length - headerBytes;
    if (available < IPV4_HEADER_BYTES) return 0;
    if (headerBytes !== 0) {
      const etherType = getEtherType(view, frame);
      if (etherType !== ETHERTYPE_IPV4 && etherType !== ETHERTYPE_IPV6) {
        return this.#ofFrame(frame);
      }
    }
    const packet = this.#packet;
    packet.l3 = l3;
    packet.totalBytes = available;
    if (getIpVersion(view, l3) === 4) {
      packet.headerBytes = Math.max(IPV4_HEADER_BYTES, getIpv4HeaderBytes(view, l3));
      packet.protocol = getIpv4Protocol(view, l3);
      packet.isFragment = isIpv4Fragment(view, l3);
    } else {
      if (available < IPV6_HEADER_BYTES) return 0;
      packet.headerBytes = IPV6_HEADER_BYTES;
      packet.protocol = getIpv6NextHeader(view, l3);
      packet.isFragment = false;
    }
    return flowKeyHash(view, packet, ALL_KEYS, this.#seed) & (FLOW_BUCKETS - 1);
  }

  /** Of one that carries no IP: its two addresses and what it says it is. */
  #ofFrame(frame: number): number {
    let state = this.#seed;
    for (let at = 0; at < ETHERNET_HEADER_BYTES - 2; at += 4) {
      state = absorb(state, this.#view.getUint32(frame + at));
    }
    return finish(absorb(state, getEtherType(this.#view, frame))) & (FLOW_BUCKETS - 1);
  }
}
