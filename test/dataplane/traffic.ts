/**
 * Streams of inner packets that mostly run in order, with every accident that a network has.
 * @module
 */
import { TCP_ACK, TCP_FIN, TCP_PSH } from '../../src/wire/tcp.ts';
import type { Random } from '../fuzz/mutate.ts';
import { packet } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { finishPacket } from './oracle.ts';

/** What the next packet of a flow continues from. */
type Flow = {
  readonly tcp: boolean;
  readonly port: number;
  readonly df: boolean;
  readonly options: number;
  readonly tos: number;
  sequence: number;
  id: number;
  size: number;
};

/** Each kind of accident happens once in so many packets. */
const ACCIDENT_ODDS = 24;

export class Traffic {
  readonly #random: Random;
  readonly #flows: Flow[];
  readonly #odds: number;

  /** @param odds of 13 kinds of accident, each happens once in so many packets */
  constructor(random: Random, flowsMax = 4, odds = ACCIDENT_ODDS) {
    this.#random = random;
    this.#odds = odds;
    this.#flows = Array.from({ length: 1 + random.below(flowsMax) }, (_, index) => ({
      tcp: random.below(3) > 0,
      port: 1000 + index,
      sequence: random.below(4) === 0 ? 0xfffff000 : random.next(),
      id: random.next() & 0xffff,
      size: 1 + random.below(random.below(2) === 0 ? 40 : 1300),
      df: random.below(3) > 0,
      options: random.below(2) * 12,
      tos: random.pick([0, 0, 2, 1, 3, 0xb8]),
    }));
  }

  /** The next packet of a random flow. */
  next(): Uint8Array<ArrayBuffer> {
    const random = this.#random;
    const flow = random.pick(this.#flows);
    const accident = random.below(this.#odds);
    if (accident === 0) flow.sequence = (flow.sequence + random.below(5000)) >>> 0;
    if (accident === 1) flow.id = random.next() & 0xffff;
    if (accident === 2) flow.size = 1 + random.below(1300);
    const size = accident === 3 ? 1 + random.below(flow.size) : accident === 4 ? 0 : flow.size;
    const head = flow.tcp ? 20 + flow.options : 8;
    const payload = new Uint8Array(head + size);
    const view = viewOf(payload);
    for (let at = head; at < payload.length; at++) payload[at] = random.next() & 255;
    view.setUint16(0, flow.port);
    view.setUint16(2, 80);
    if (flow.tcp) {
      view.setUint32(4, flow.sequence);
      view.setUint32(8, accident === 5 ? 2 : 1);
      const extra = accident === 6 ? TCP_FIN : accident === 7 || accident === 8 ? TCP_PSH : 0;
      view.setUint16(12, (head << 10) | TCP_ACK | extra);
      view.setUint16(14, accident === 9 ? 1000 : 2000);
      if (flow.options > 0) view.setUint32(20, 0x0101080a);
      if (flow.options > 0) view.setUint32(24, accident === 10 ? 8 : 7);
      flow.sequence = (flow.sequence + size) >>> 0;
    } else {
      view.setUint16(4, payload.length);
    }
    const bytes = packet({
      protocol: flow.tcp ? 6 : 17,
      payload: Buffer.from(payload).toString('hex'),
      tos: accident === 11 ? flow.tos ^ 2 : flow.tos,
      ttl: accident === 12 ? 9 : 64,
      fragment: flow.df ? 0x4000 : 0,
    });
    viewOf(bytes).setUint16(4, flow.id);
    flow.id = (flow.id + 1) & 0xffff;
    finishPacket(bytes);
    return bytes;
  }
}
