/**
 * A rate, that of a link or of one host of it: a token bucket in bytes as the underlay's device counts them,
 * and the queues of what it does not let through. What fits goes by without waiting, whole super-packets
 * included. What goes to a host with a rate of its own takes of the link's, too.
 * @module
 */
import type { DataLink } from '../ground/link.ts';
import type { Cells } from './cells.ts';
import { TARGET_US } from './codel.ts';
import { FlowQueues, type Signals } from './flow-queues.ts';

/** A burst is so long at the rate, at most, µs; or two packets, if those take longer. */
const BURST_US = 1000;
/** While packets wait, what was earned is kept for so long, µs: this process may not have been on a core. */
const CATCH_UP_US = 4000;
/** What the queues may hold is so long at the rate, µs, between two bounds in bytes. */
const BACKLOG_US = 500_000;
const BACKLOG_BYTES_MIN = 128 * 1024;
const BACKLOG_BYTES_MAX = 12 * 1024 * 1024;
/** What a device counts of each packet beside the IP packet: an Ethernet header. */
const ETHERNET_BYTES = 14;

export class Shaper {
  readonly link: DataLink;
  /** The host that it is for; 0 = all of the link that have none of their own. */
  readonly peer: number;
  /** The link's own, which this one takes of, too. */
  readonly #parent: Shaper | undefined;
  /** What the host may be sent, bytes a second. */
  peerRateBytes = 0;
  readonly queues: FlowQueues;
  /** Most bytes that may wait. */
  backlogMax = 0;
  /** What stands in front of each datagram on the wire, bytes. */
  readonly #headerBytes: number;
  /** Bytes per second; 0 = no limit any more. */
  #rate = 0;
  #burst = 0;
  #catchUp = 0;
  readonly #tokens = new Float64Array(1);
  #refilledUs = 0;

  constructor(
    link: DataLink,
    cells: Cells,
    signals: Signals,
    { peer, parent }: { peer: number; parent?: Shaper } = { peer: 0 },
  ) {
    this.link = link;
    this.peer = peer;
    this.#parent = parent;
    this.queues = new FlowQueues(cells, signals);
    this.#headerBytes = link.endpoint.outerHeaderBytes + ETHERNET_BYTES;
  }

  /** Takes over the link's rate, should it have changed, and what has been earned since. */
  refill(nowUs: number, share: number): void {
    this.#parent?.refill(nowUs, share);
    const rate = (this.peer === 0 ? this.link.rateBytes : this.peerRateBytes) / share;
    if (rate !== this.#rate) this.#setRate(rate);
    const elapsedUs = (nowUs - this.#refilledUs) | 0;
    this.#refilledUs = nowUs;
    // After a long silence the difference means nothing, and the bucket is full anyway.
    const earned = elapsedUs < 0 ? this.#burst : (rate * elapsedUs) / 1e6;
    const most = this.queues.packets > 0 ? this.#catchUp : this.#burst;
    this.#tokens[0] = Math.min(most, (this.#tokens[0] as number) + earned);
  }

  #setRate(rate: number): void {
    const packet = this.link.underlayMtu + ETHERNET_BYTES;
    this.#rate = rate;
    this.#burst = Math.max((rate * BURST_US) / 1e6, 2 * packet);
    this.#catchUp = Math.max((rate * CATCH_UP_US) / 1e6, this.#burst);
    this.#tokens[0] = Math.min(this.#burst, this.#tokens[0] as number);
    const backlog = Math.trunc((rate * BACKLOG_US) / 1e6);
    this.backlogMax = Math.min(BACKLOG_BYTES_MAX, Math.max(BACKLOG_BYTES_MIN, backlog));
    const packetUs = rate === 0 ? 0 : Math.trunc((packet * 1e6) / rate);
    this.queues.codel.targetUs = Math.max(TARGET_US, packetUs + (packetUs >> 1));
    this.queues.shallowUs = Math.max(1000, 2 * packetUs);
  }

  /** Whether `bytes` of datagrams in `count` may go at once; they are paid for then. */
  passes(bytes: number, count: number): boolean {
    const wire = bytes + count * this.#headerBytes;
    if (this.queues.packets > 0 || !this.#has(wire)) return false;
    if (this.#parent !== undefined) {
      // Nobody of the link's own queues is overtaken by more than what their rate leaves.
      if (!this.#parent.#has(wire)) return false;
      this.#parent.#take(wire);
    }
    this.#take(wire);
    return true;
  }

  #has(wire: number): boolean {
    return this.#rate === 0 || (this.#tokens[0] as number) >= wire;
  }

  #take(wire: number): void {
    this.#tokens[0] = (this.#tokens[0] as number) - wire;
  }

  /** Whether the next packet that waits may go. */
  get mayRelease(): boolean {
    if (this.#parent?.mayRelease === false) return false;
    return (this.#tokens[0] as number) > 0 || this.#rate === 0;
  }

  /** One of `bytes` has gone. */
  pay(bytes: number): void {
    this.#parent?.pay(bytes);
    this.#take(bytes + this.#headerBytes);
  }

  /** How long until the next one may go, µs. */
  get dueUs(): number {
    const missing = -(this.#tokens[0] as number);
    const own = this.#rate === 0 || missing < 0 ? 0 : Math.ceil((missing * 1e6) / this.#rate);
    return Math.max(own, this.#parent?.dueUs ?? 0);
  }
}
