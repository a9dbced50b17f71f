/**
 * Runs: datagrams of one length that continue a flow exactly are checked and joined all in one go, by the
 * packet kernel.
 * @module
 */
import {
  getIpVersion,
  getIpv4Fragment,
  getIpv4Identification,
  IPV4_CHECKSUM_OFFSET,
  IPV4_DF,
  PROTOCOL_TCP,
} from '../../../wire/ipv4.ts';
import type { Arena } from '../../ground/arena.ts';
import type { DataLink } from '../../ground/link.ts';
import { fold, pseudoSum, pseudoSum6 } from '../../ground/transport-sum.ts';
import { type OpenFlows, SEGMENTS_MAX } from './open-flows.ts';

export class Runs {
  readonly #arena: Arena;
  readonly #flows: OpenFlows;

  constructor(arena: Arena, flows: OpenFlows) {
    this.#arena = arena;
    this.#flows = flows;
  }

  /**
   * Joins, all in one go, up to `countMax` datagrams of `datagramBytes` (shim included), the first
   * at `at` and each `stride` bytes behind the one before, to the flow that is open in `slot`, as far as they
   * continue its flow exactly. Returns how many; the caller sends the others the careful way.
   */
  join(slot: number, at: number, datagramBytes: number, stride: number, countMax: number): number {
    const flows = this.#flows;
    if (flows.unfinished[slot] === 1) return 0;
    const { shimBytes } = flows.link[slot] as DataLink;
    const payloadBytes = flows.segmentBytes[slot] as number;
    const prefixBytes = (flows.prefixBytes[slot] as number) + shimBytes;
    if (prefixBytes + payloadBytes !== datagramBytes) return 0;
    const { view, kernel } = this.#arena;
    const first = (flows.frame[slot] as number) - shimBytes;
    const l3 = flows.l3[slot] as number;
    const l4 = flows.l4[slot] as number;
    const segments = flows.segments[slot] as number;
    const taken = first + prefixBytes - l3 + (flows.payloadBytes[slot] as number);
    const isTcp = flows.protocol[slot] === PROTOCOL_TCP;
    const room = Math.floor(((flows.bytesMax[slot] as number) - taken) / payloadBytes);
    const most = Math.max(0, Math.min(countMax, SEGMENTS_MAX - segments, room));
    const rest = (flows.protocol[slot] as number) + datagramBytes - (l4 - first);
    const iovec = flows.nextIovec(slot);
    if (getIpVersion(view, l3) === 6) {
      const count = kernel.joinRun6(
        first,
        l4 - first,
        prefixBytes,
        isTcp ? 1 : 0,
        datagramBytes,
        stride,
        at,
        most,
        flows.nextSequence[slot] as number,
        pseudoSum6(this.#arena, l3, rest),
        iovec,
      );
      flows.joined(slot, count);
      return count;
    }
    const id = getIpv4Identification(view, l3);
    const hasDf = (getIpv4Fragment(view, l3) & IPV4_DF) !== 0;
    const count = kernel.joinRun(
      first,
      l3 - first,
      l4 - first,
      prefixBytes,
      isTcp ? 1 : 0,
      datagramBytes,
      stride,
      at,
      most,
      hasDf ? -1 : (id + segments) & 0xffff,
      flows.nextSequence[slot] as number,
      // A right header sums to 0xffff: take out what differs between segments.
      fold(0xffff + (~id & 0xffff) + (~view.getUint16(l3 + IPV4_CHECKSUM_OFFSET) & 0xffff)),
      pseudoSum(view, l3, rest),
      iovec,
    );
    flows.joined(slot, count);
    return count;
  }
}
