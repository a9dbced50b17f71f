/**
 * Sealed streams, for what is too much for datagrams. Frames (frame.ts) carry
 *
 *   hello    client   fields, sealed with a key of the client's own fields
 *   answer   server   fields, sealed with a key of both fields
 *   data     both     synthetic part of the nonce, ciphertext, tag; a counter for each direction
 *
 * where fields are: version 8 | key id 32 | node id 128 | epoch 32 | nonce 128. All keys but the
 * first depend on both nonces, so nothing of one stream means anything in another. The server
 * proves the key with its answer, the client with its first data; before that, neither is
 * believed, and the server has sent no more bytes than it got.
 * @module
 */
import { FRAME_BYTES_MAX } from '../../wire/gossip/bounds.ts';
import { encodeFrame, FrameReader } from '../../wire/gossip/frame.ts';
import { nodeIdBytes, nodeIdOf } from '../../wire/gossip/node-id.ts';
import type { NodeId } from '../../wire/gossip/types.ts';
import { type ClusterKey, formatKeyId, type Keyring } from '../base/keyring.ts';
import { type ChannelStream, StreamError } from './channel.ts';
import { deriveSubkeys, open, SEAL_BYTES, type Subkeys, seal } from './cipher.ts';

export const STREAM_PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - SEAL_BYTES;
const STREAM_VERSION = 1;
const KEY_ID_OFFSET = 1;
const NODE_ID_OFFSET = 5;
const EPOCH_OFFSET = 21;
const NONCE_OFFSET = 25;
const NONCE_BYTES = 16;
const FIELDS_BYTES = NONCE_OFFSET + NONCE_BYTES;
const NOTHING = new Uint8Array(0);

type StreamOptions = {
  keyring: Keyring;
  label: Uint8Array;
  self: NodeId;
  epoch: number;
  random: (bytes: number) => Uint8Array;
} & (
  | { role: 'connect'; key: ClusterKey; peer: NodeId }
  /** The client chooses the key. */
  | { role: 'accept' }
);

/** One direction of a stream. */
class Direction {
  readonly #keys: Subkeys;
  readonly #counterBytes = new Uint8Array(8);
  #counter = 0;

  constructor(keys: Subkeys) {
    this.#keys = keys;
  }

  #next(): number {
    this.#counter += 1;
    const view = new DataView(this.#counterBytes.buffer);
    view.setUint32(0, Math.floor(this.#counter / 2 ** 32));
    view.setUint32(4, this.#counter % 2 ** 32);
    return this.#counter;
  }

  seal(payload: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(payload.length + SEAL_BYTES);
    seal(this.#keys, this.#next(), this.#counterBytes, payload, sealed, 0);
    return sealed;
  }

  open(sealed: Uint8Array): Uint8Array {
    const payload = open(this.#keys, this.#next(), this.#counterBytes, sealed);
    if (payload === undefined) throw new StreamError('tag', 'a frame does not authenticate');
    return payload;
  }
}

export class SecureStream implements ChannelStream {
  readonly #options: StreamOptions;
  readonly #reader = new FrameReader();
  readonly #fields: Uint8Array;
  #incoming: Direction | undefined;
  #outgoing: Direction | undefined;
  /** Who the other end says it is. */
  #claimed: NodeId | undefined;
  #peer: NodeId | undefined;

  constructor(options: StreamOptions) {
    this.#options = options;
    const fields = new Uint8Array(FIELDS_BYTES);
    const view = new DataView(fields.buffer);
    view.setUint8(0, STREAM_VERSION);
    if (options.role === 'connect') view.setUint32(KEY_ID_OFFSET, options.key.id);
    fields.set(nodeIdBytes(options.self), NODE_ID_OFFSET);
    view.setUint32(EPOCH_OFFSET, options.epoch);
    fields.set(options.random(NONCE_BYTES), NONCE_OFFSET);
    this.#fields = fields;
  }

  get peer(): NodeId | undefined {
    return this.#peer;
  }

  start(): Uint8Array {
    if (this.#options.role === 'accept') return NOTHING;
    return encodeFrame(this.#greet(this.#options.key, 'stream hello', NOTHING));
  }

  push(chunk: Uint8Array): { write: Uint8Array; payloads: Uint8Array[] } {
    let write: Uint8Array = NOTHING;
    const payloads: Uint8Array[] = [];
    for (const frame of this.#reader.push(chunk)) {
      if (this.#incoming !== undefined) {
        payloads.push(this.#incoming.open(frame));
        this.#peer = this.#claimed;
      } else if (this.#options.role === 'accept') {
        write = encodeFrame(this.#takeHello(frame));
      } else {
        this.#takeAnswer(frame, this.#options.key, this.#options.peer);
      }
    }
    return { write, payloads };
  }

  seal(payload: Uint8Array): Uint8Array {
    if (this.#outgoing === undefined || this.#peer === undefined) {
      throw new RangeError('the other end of the stream has not proved who it is');
    }
    if (payload.length === 0 || payload.length > STREAM_PAYLOAD_BYTES_MAX) {
      throw new RangeError(`a frame of ${payload.length} bytes`);
    }
    return encodeFrame(this.#outgoing.seal(payload));
  }

  /** Our fields and the proof that we have the key. */
  #greet(key: ClusterKey, purpose: string, before: Uint8Array): Uint8Array {
    const context = Buffer.concat([before, this.#fields]);
    const greeting = new Uint8Array(FIELDS_BYTES + SEAL_BYTES);
    greeting.set(this.#fields);
    const keys = deriveSubkeys(key.bytes, this.#options.label, purpose, context);
    seal(keys, 0, context, NOTHING, greeting, FIELDS_BYTES);
    return greeting;
  }

  /** The other end's fields. @throws StreamError when it does not have the key */
  #takeGreeting(
    frame: Uint8Array,
    key: ClusterKey,
    purpose: string,
    before: Uint8Array,
  ): Uint8Array {
    const fields = frame.subarray(0, FIELDS_BYTES);
    const context = Buffer.concat([before, fields]);
    const keys = deriveSubkeys(key.bytes, this.#options.label, purpose, context);
    if (open(keys, 0, context, frame.subarray(FIELDS_BYTES)) === undefined) {
      throw new StreamError('tag', 'the other end does not have the key, or has another label');
    }
    this.#claimed = nodeIdOf(fields.subarray(NODE_ID_OFFSET, EPOCH_OFFSET));
    return fields;
  }

  #takeHello(frame: Uint8Array): Uint8Array {
    const keyId = keyIdOf(frame);
    const key = this.#options.keyring.get(keyId);
    if (key === undefined) {
      throw new StreamError('key', `the other end uses key ${formatKeyId(keyId)}`);
    }
    const theirs = this.#takeGreeting(frame, key, 'stream hello', NOTHING);
    new DataView(this.#fields.buffer).setUint32(KEY_ID_OFFSET, key.id);
    const answer = this.#greet(key, 'stream answer', theirs);
    const both = Buffer.concat([theirs, this.#fields]);
    this.#incoming = this.#direction(key, 'stream from client', both);
    this.#outgoing = this.#direction(key, 'stream from server', both);
    return answer;
  }

  #takeAnswer(frame: Uint8Array, key: ClusterKey, peer: NodeId): void {
    if (keyIdOf(frame) !== key.id) throw new StreamError('key', 'the answer uses another key');
    const theirs = this.#takeGreeting(frame, key, 'stream answer', this.#fields);
    if (this.#claimed !== peer) {
      throw new StreamError('peer', `${this.#claimed} answers in place of ${peer}`);
    }
    this.#peer = peer;
    const both = Buffer.concat([this.#fields, theirs]);
    this.#incoming = this.#direction(key, 'stream from server', both);
    this.#outgoing = this.#direction(key, 'stream from client', both);
  }

  #direction(key: ClusterKey, purpose: string, both: Uint8Array): Direction {
    return new Direction(deriveSubkeys(key.bytes, this.#options.label, purpose, both));
  }
}

/** The key that a greeting names. @throws StreamError when it is none */
function keyIdOf(frame: Uint8Array): number {
  if (frame.length !== FIELDS_BYTES + SEAL_BYTES || frame[0] !== STREAM_VERSION) {
    throw new StreamError('format', 'the other end does not speak this version of the stream');
  }
  return new DataView(frame.buffer, frame.byteOffset).getUint32(KEY_ID_OFFSET);
}
