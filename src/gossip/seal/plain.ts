/**
 * Plaintext mode: the same datagrams and streams, sealed with nothing. Whoever reaches the port is
 * a member and can speak in anybody's name; only what nodes sign of themselves still holds. The
 * key number is 0, and four bytes tell clusters with different labels apart by mistake, not by
 * force.
 * @module
 */
import { createHash } from 'node:crypto';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { FRAME_BYTES_MAX } from '../../wire/gossip/bounds.ts';
import {
  checkEnvelope,
  EnvelopeFault,
  EnvelopeKind,
  emitEnvelope,
  getEnvelopeKeyId,
  getEnvelopeKind,
  getEnvelopeSender,
  HEADER_BYTES,
  SESSION_NONCE_BYTES,
} from '../../wire/gossip/envelope.ts';
import { encodeFrame, FrameReader } from '../../wire/gossip/frame.ts';
import { nodeIdBytes, nodeIdOf } from '../../wire/gossip/node-id.ts';
import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import type { Counters, GossipCounter } from '../base/counters.ts';
import { NO_KEY } from '../base/keyring.ts';
import { PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import {
  type Channel,
  type ChannelStream,
  ENVELOPE_FAULTS,
  type Opened,
  StreamError,
} from './channel.ts';
import { CHALLENGE_BYTES } from './handshake.ts';
import { type Notice, Notices, type SealRefusal } from './notices.ts';
import { pad, unpad } from './padding.ts';
import { Strangers } from './strangers.ts';

const LABEL_BYTES = 4;
const CLEAR_BYTES = HEADER_BYTES + LABEL_BYTES;
const GREETING_BYTES = LABEL_BYTES + 16;
const NOTHING = new Uint8Array(0);

export type PlainOptions = {
  label: string;
  self: NodeId;
  epoch: number;
  random: (bytes: number) => Uint8Array;
  /** Monotonic. */
  nowMs: () => number;
  counters: Counters;
  notice: Notice;
};

export class PlainChannel implements Channel {
  readonly isSealed = false;
  readonly #options: PlainOptions;
  readonly #label: Uint8Array;
  readonly #session: Uint8Array;
  readonly #strangers = new Strangers();
  readonly #notices: Notices;
  #counter = 0;

  constructor(options: PlainOptions) {
    this.#options = options;
    this.#label = createHash('sha256').update(options.label).digest().subarray(0, LABEL_BYTES);
    this.#session = options.random(SESSION_NONCE_BYTES);
    this.#notices = new Notices(options.notice);
  }

  seal(_to: Endpoint, payload: Uint8Array): Uint8Array {
    if (payload.length > PAYLOAD_BYTES_MAX) {
      throw new RangeError(`a payload of ${payload.length} bytes; ${PAYLOAD_BYTES_MAX} fit`);
    }
    const { self, epoch } = this.#options;
    const body = pad(payload, CHALLENGE_BYTES);
    const datagram = new Uint8Array(CLEAR_BYTES + body.length);
    this.#counter += 1;
    emitEnvelope(new DataView(datagram.buffer), {
      kind: EnvelopeKind.Data,
      keyId: NO_KEY,
      sender: self,
      epoch,
      session: this.#session,
      counter: this.#counter,
    });
    datagram.set(this.#label, HEADER_BYTES);
    datagram.set(body, CLEAR_BYTES);
    return datagram;
  }

  open(from: Endpoint, datagram: Uint8Array): Opened | undefined {
    const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
    const fault = checkEnvelope(view);
    if (fault !== EnvelopeFault.None) return this.#refuse(ENVELOPE_FAULTS[fault]);
    if (getEnvelopeKeyId(view) !== NO_KEY) {
      this.#notices.sealed(from.address, this.#options.nowMs());
      return this.#refuse('sealed.refused.sealed');
    }
    if (getEnvelopeKind(view) !== EnvelopeKind.Data) return this.#refuse('sealed.refused.kind');
    if (Buffer.compare(datagram.subarray(HEADER_BYTES, CLEAR_BYTES), this.#label) !== 0) {
      this.#notices.label(from.address, this.#options.label, this.#options.nowMs());
      return this.#refuse('sealed.refused.label');
    }
    const payload = unpad(datagram.subarray(CLEAR_BYTES));
    if (payload === undefined) return this.#refuse('sealed.refused.content');
    this.#options.counters.count('sealed.opened');
    return { sender: getEnvelopeSender(view), payload };
  }

  admit(address: UnderlayAddress): boolean {
    if (this.#strangers.admit(address, this.#options.nowMs())) return true;
    this.#refuse('sealed.limited.strangers');
    return false;
  }

  refusals(): SealRefusal[] {
    return this.#notices.refusals(this.#options.nowMs());
  }

  connect(_to: Endpoint, peer: NodeId): ChannelStream {
    return new PlainStream(this.#options.self, this.#label, peer);
  }

  accept(): ChannelStream {
    return new PlainStream(this.#options.self, this.#label, undefined);
  }

  #refuse(name: GossipCounter): undefined {
    this.#options.counters.count(name);
    return undefined;
  }
}

/** Both ends begin with label and node id, the accepting one second. */
class PlainStream implements ChannelStream {
  readonly #greeting: Uint8Array;
  /** Who has to answer; undefined at the accepting end. */
  readonly #expected: NodeId | undefined;
  readonly #reader = new FrameReader();
  #peer: NodeId | undefined;

  constructor(self: NodeId, label: Uint8Array, expected: NodeId | undefined) {
    this.#greeting = Buffer.concat([label, nodeIdBytes(self)]);
    this.#expected = expected;
  }

  get peer(): NodeId | undefined {
    return this.#peer;
  }

  start(): Uint8Array {
    return this.#expected === undefined ? NOTHING : encodeFrame(this.#greeting);
  }

  push(chunk: Uint8Array): { write: Uint8Array; payloads: Uint8Array[] } {
    let write: Uint8Array = NOTHING;
    const payloads: Uint8Array[] = [];
    for (const frame of this.#reader.push(chunk)) {
      if (this.#peer !== undefined) {
        payloads.push(frame);
        continue;
      }
      this.#peer = this.#takeGreeting(frame);
      if (this.#expected === undefined) write = encodeFrame(this.#greeting);
    }
    return { write, payloads };
  }

  seal(payload: Uint8Array): Uint8Array {
    if (this.#peer === undefined) throw new RangeError('nobody is at the other end yet');
    if (payload.length === 0 || payload.length > FRAME_BYTES_MAX) {
      throw new RangeError(`a frame of ${payload.length} bytes`);
    }
    return encodeFrame(payload);
  }

  #takeGreeting(frame: Uint8Array): NodeId {
    const label = this.#greeting.subarray(0, LABEL_BYTES);
    if (
      frame.length !== GREETING_BYTES ||
      Buffer.compare(frame.subarray(0, LABEL_BYTES), label) !== 0
    ) {
      throw new StreamError('format', 'the other end is not of this cluster, or seals its gossip');
    }
    const peer = nodeIdOf(frame.subarray(LABEL_BYTES));
    if (this.#expected !== undefined && peer !== this.#expected) {
      throw new StreamError('peer', `${peer} answers in place of ${this.#expected}`);
    }
    return peer;
  }
}
