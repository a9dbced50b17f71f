/**
 * Whether a packet can go to its peer at all: not one of this very tunnel, a super-packet that we can cut,
 * no longer than the way there carries. Its sender hears of what does not fit.
 * @module
 */
import { egressIndex } from '../../../table/counters.ts';
import { checkVirtioNet, Fault } from '../../../wire/classify.ts';
import { PROTOCOL_UDP } from '../../../wire/ipv4.ts';
import { getUdpDestination, UDP_HEADER_BYTES } from '../../../wire/udp.ts';
import { VIRTIO_GSO_NONE, VIRTIO_NET_BYTES } from '../../../wire/virtio-net.ts';
import type { TooBig } from '../../answer/too-big.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { IP_HEADER_BYTES_MAX, l4HeaderBytes } from '../../ground/segment.ts';
import type { InHand } from '../../packet/in-hand.ts';
import type { PathMtu } from '../../send/path-mtu.ts';

/** Segments of one super-packet; a guest may ask for one-byte ones, which no buffer would hold. */
const SEGMENTS_MAX = 2048;
/** It may go: the number of no counter. */
const GOES = -1;

const MALFORMED = egressIndex('drop.malformed');
const NESTED = egressIndex('drop.nested');
const TOO_BIG = egressIndex('drop.too_big');
const UNSUPPORTED_OFFLOAD = egressIndex('drop.unsupported_offload');

export class Fit {
  readonly #view: DataView;
  readonly #paths: PathMtu;
  readonly #tooBig: TooBig;
  /** The way that the last large packet took, and what fits it inside; none after each send. */
  #link: DataLink | undefined;
  #peer = 0;
  #mtu = 0;

  constructor(arena: Arena, paths: PathMtu, tooBig: TooBig) {
    this.#view = arena.view;
    this.#paths = paths;
    this.#tooBig = tooBig;
  }

  /** Looks at paths anew: a send that was refused has told what fits. */
  forget(): void {
    this.#link = undefined;
  }

  /** The number of the counter that the packet in hand ends at, or −1; finds out whether it is cut. */
  judge(link: DataLink, hand: InHand): number {
    const view = this.#view;
    const { gsoType } = hand;
    hand.l4Bytes = 0;
    hand.pieces = hand.segments;
    if (this.#isOwn(link, hand)) return NESTED;
    if (
      link.vnetHeader &&
      !hand.isWrapped &&
      checkVirtioNet(view, hand.frame - VIRTIO_NET_BYTES, hand.byteCount) !== Fault.None
    ) {
      return gsoType === VIRTIO_GSO_NONE ? MALFORMED : UNSUPPORTED_OFFLOAD;
    }
    if (gsoType === VIRTIO_GSO_NONE) return GOES;
    const { l3, headerBytes } = hand;
    const available = hand.totalBytes - headerBytes;
    const l4Bytes = l4HeaderBytes(view, l3 + headerBytes, available, hand.protocol, gsoType);
    if (l4Bytes === 0 || hand.segments > SEGMENTS_MAX || headerBytes > IP_HEADER_BYTES_MAX) {
      return UNSUPPORTED_OFFLOAD;
    }
    hand.l4Bytes = l4Bytes;
    return GOES;
  }

  /** Whether a packet is one of this very tunnel: a routing loop, or somebody's attempt. */
  #isOwn(link: DataLink, hand: InHand): boolean {
    const l4 = hand.l3 + hand.headerBytes;
    return (
      hand.protocol === PROTOCOL_UDP &&
      hand.totalBytes - hand.headerBytes >= UDP_HEADER_BYTES &&
      link.peerPort !== 0 &&
      getUdpDestination(this.#view, l4) === link.peerPort &&
      !hand.isFragment
    );
  }

  /**
   * Whether the packet in hand, longer than what surely fits, or each segment of it fits the way to its peer;
   * else it ends here.
   */
  fits(link: DataLink, hand: InHand, nowMs: number): boolean {
    const { peer, totalBytes, l4Bytes } = hand;
    const bytes = l4Bytes === 0 ? totalBytes : hand.headerBytes + l4Bytes + hand.gsoBytes;
    if (bytes <= link.sureBytes) return true;
    if (peer !== this.#peer || link !== this.#link) this.#findPath(link, peer, nowMs);
    const mtu = this.#mtu;
    if (bytes <= mtu || totalBytes <= mtu) return true;
    hand.drop(link, TOO_BIG);
    this.#tooBig.answer(link, hand.frame, hand.l3, totalBytes, mtu, nowMs);
    return false;
  }

  #findPath(link: DataLink, peer: number, nowMs: number): void {
    this.#link = link;
    this.#peer = peer;
    this.#mtu = this.#paths.innerMtu(link, peer, nowMs);
  }
}
