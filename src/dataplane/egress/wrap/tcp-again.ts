/**
 * Counts what TCP sends once more, where trains of datagrams carry it: a card that damages trains tells
 * nobody, and where no member at the other end can say what came, this alone shows it.
 *
 * One row for each slot of flows; flows that meet in one take turns, and are counted too low.
 * @module
 */
import { eventIndex } from '../../../table/counters.ts';
import { flowHash } from '../../../wire/flow-hash.ts';
import { PROTOCOL_TCP } from '../../../wire/ipv4.ts';
import { getTcpHeaderBytes, getTcpSequence, TCP_HEADER_BYTES } from '../../../wire/tcp.ts';
import type { DataLink } from '../../ground/link.ts';
import type { InHand } from '../../packet/in-hand.ts';

const SENT = eventIndex('tcp_data_sent');
const AGAIN = eventIndex('tcp_data_again');

const SLOTS = 1024;
/** Shorter packets do not fill a datagram of a train. */
const LARGE_BYTES = 600;
/** What lies further behind is no repetition but another connection of the same ports. */
const BEHIND_BYTES_MAX = 1 << 26;

export class TcpAgain {
  readonly #flows = new Int32Array(SLOTS);
  /** The sequence number after the last byte that went out. */
  readonly #ends = new Int32Array(SLOTS);

  /** Notes the packet in hand, all its checks passed, where trains go. */
  note(view: DataView, link: DataLink, hand: InHand): void {
    const { l3, headerBytes, totalBytes } = hand;
    if (totalBytes < LARGE_BYTES || hand.protocol !== PROTOCOL_TCP || hand.isFragment) return;
    if (!link.endpoint.segment || totalBytes < headerBytes + TCP_HEADER_BYTES) return;
    const tcp = l3 + headerBytes;
    const dataBytes = totalBytes - headerBytes - getTcpHeaderBytes(view, tcp);
    if (dataBytes <= 0) return;
    const { counters } = link;
    counters[SENT] = (counters[SENT] as number) + hand.segments;
    const flow = flowHash(view, l3) | 0;
    const slot = flow & (SLOTS - 1);
    const end = (getTcpSequence(view, tcp) + dataBytes) | 0;
    const ahead = (end - (this.#ends[slot] as number)) | 0;
    const isAgain = this.#flows[slot] === flow && ahead <= 0 && ahead > -BEHIND_BYTES_MAX;
    if (isAgain) {
      counters[AGAIN] = (counters[AGAIN] as number) + hand.segments;
      return;
    }
    this.#flows[slot] = flow;
    this.#ends[slot] = end;
  }
}
