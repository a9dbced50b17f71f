/**
 * Messages: what one datagram or one frame of a stream says, once it is authenticated. A payload
 * is a CBOR array of records whose field 0 is the message's number. Numbers are append-only; a
 * reader skips those that it does not know, and fields that it does not know.
 * @module
 */
import { type CborValue, cborBytes } from '../cbor.ts';
import { VNI_MAX } from '../vxlan.ts';
import { decodeBlock } from './block.ts';
import {
  ABOUT_CHARS_MAX,
  BLOCK_BYTES_MAX,
  BLOCKS_PER_MESSAGE_MAX,
  BUCKET_HASH_BYTES,
  BUCKETS,
  EPOCH_MAX,
  MESSAGES_MAX,
  OWNERS_PER_MESSAGE_MAX,
  PUBLIC_KEY_BYTES,
  SEEK_ADDRESSES_MAX,
  SEQUENCE_MAX,
  SIGNATURE_BYTES,
  TABLE_HASH_BYTES,
  TOLD_BYTES_MAX,
} from './bounds.ts';
import {
  constant,
  endpoint,
  fromBytes,
  hostAddress,
  kindOf,
  mac,
  ranges,
  toBytes,
} from './common.ts';
import {
  bytes,
  type Codec,
  field,
  flag,
  list,
  record,
  refuse,
  text,
  tuple,
  uint,
} from './fields.ts';
import { nodeId } from './node-id.ts';
import {
  type Message,
  MessageType,
  type OwnerSummary,
  type RawBlock,
  type Version,
} from './types.ts';

/** What a payload has beside its messages: the head of the array, at most. */
export const PAYLOAD_OVERHEAD_BYTES = 3;

/** One kind of message. */
type Of<T extends Message['type']> = Extract<Message, { type: T }>;

/** A field that is not there. */
export const NO_BYTES = new Uint8Array(0);
/** Of 48 bits. */
/** Ties an answer to its question. */
const number = uint(0xffff_ffff);
const epoch = uint(EPOCH_MAX);
const sequence = uint(SEQUENCE_MAX);
const version: Codec<Version> = tuple({ epoch, sequence });
/** [body, signature]; what the body says is {@link decodeBlock}'s matter. */
const rawBlock: Codec<RawBlock> = tuple({
  body: bytes(BLOCK_BYTES_MAX, 1),
  signature: bytes(SIGNATURE_BYTES),
});
const ownerSummary: Codec<OwnerSummary> = tuple({
  owner: nodeId,
  epoch,
  head: sequence,
  held: sequence,
  check: uint(0xffff_ffff),
});

const accusation = {
  node: field(1, nodeId),
  version: field(2, version),
  accuser: field(3, nodeId),
};

const CODECS: { readonly [T in Message['type']]: Codec<Of<T>> } = {
  [MessageType.Ping]: record({
    type: field(0, constant(MessageType.Ping)),
    number: field(1, number),
    target: field(2, nodeId),
  }),
  [MessageType.Ack]: record({
    type: field(0, constant(MessageType.Ack)),
    number: field(1, number),
  }),
  [MessageType.PingRequest]: record({
    type: field(0, constant(MessageType.PingRequest)),
    number: field(1, number),
    target: field(2, nodeId),
    endpoint: field(3, endpoint),
  }),
  [MessageType.Nack]: record({
    type: field(0, constant(MessageType.Nack)),
    number: field(1, number),
  }),
  [MessageType.Suspect]: record({
    type: field(0, constant(MessageType.Suspect)),
    ...accusation,
  }),
  [MessageType.Dead]: record({
    type: field(0, constant(MessageType.Dead)),
    ...accusation,
    ageSeconds: field(4, uint(0xffff_ffff), 0),
  }),
  [MessageType.Blocks]: record({
    type: field(0, constant(MessageType.Blocks)),
    blocks: field(1, list(rawBlock, BLOCKS_PER_MESSAGE_MAX)),
  }),
  [MessageType.Digest]: record({
    type: field(0, constant(MessageType.Digest)),
    hash: field(1, bytes(TABLE_HASH_BYTES)),
  }),
  [MessageType.Buckets]: record({
    type: field(0, constant(MessageType.Buckets)),
    hashes: field(1, bytes(BUCKETS * BUCKET_HASH_BYTES)),
  }),
  [MessageType.Owners]: record({
    type: field(0, constant(MessageType.Owners)),
    bucket: field(1, uint(BUCKETS - 1)),
    reply: field(2, flag, false),
    owners: field(3, list(ownerSummary, OWNERS_PER_MESSAGE_MAX)),
  }),
  [MessageType.Want]: record({
    type: field(0, constant(MessageType.Want)),
    owner: field(1, nodeId),
    epoch: field(2, epoch),
    ranges: field(3, ranges),
  }),
  [MessageType.Ask]: record({
    type: field(0, constant(MessageType.Ask)),
    question: field(1, uint(255, 1)),
    about: field(2, text(ABOUT_CHARS_MAX), ''),
    publicKey: field(3, bytes(PUBLIC_KEY_BYTES, 0), NO_BYTES),
    signature: field(4, bytes(SIGNATURE_BYTES, 0), NO_BYTES),
  }),
  [MessageType.Told]: record({
    type: field(0, constant(MessageType.Told)),
    part: field(1, bytes(TOLD_BYTES_MAX, 0)),
  }),
  [MessageType.Seek]: record({
    type: field(0, constant(MessageType.Seek)),
    vni: field(1, uint(VNI_MAX)),
    addresses: field(2, list(hostAddress, SEEK_ADDRESSES_MAX)),
  }),
  [MessageType.Witness]: record({
    type: field(0, constant(MessageType.Witness)),
    vni: field(1, uint(VNI_MAX)),
    mac: field(2, mac),
  }),
  [MessageType.Testify]: record({
    type: field(0, constant(MessageType.Testify)),
    vni: field(1, uint(VNI_MAX)),
    mac: field(2, mac),
    isHere: field(3, flag),
  }),
};

const codecs = new Map<number, Codec<Message>>(
  // Each codec is asked only for messages of its own number.
  Object.entries(CODECS).map(([type, codec]) => [Number(type), codec as Codec<Message>]),
);

function toValue(message: Message): CborValue {
  const codec = codecs.get(message.type);
  if (codec === undefined) refuse('bound', `message number ${message.type}`);
  return codec.encode(message);
}

/** The payload of a datagram or frame. Throws {@link GossipFormatError}. */
export function encodeMessages(messages: readonly Message[]): Uint8Array {
  if (messages.length > MESSAGES_MAX) refuse('bound', `${messages.length} messages`);
  return toBytes(messages.map(toValue));
}

/**
 * Reads a payload; `skipped` counts the messages whose number is not known here. What it finds
 * shares no memory with `payload`. Throws {@link GossipFormatError} when anything in it is wrong:
 * then nothing of it is to be believed.
 */
export function decodeMessages(payload: Uint8Array): { messages: Message[]; skipped: number } {
  const value = fromBytes(payload);
  if (!Array.isArray(value)) refuse('field-type', 'a payload is a list');
  if (value.length > MESSAGES_MAX) refuse('bound', `${value.length} messages`);
  const messages: Message[] = [];
  for (const each of value) {
    const codec = codecs.get(kindOf(each));
    if (codec !== undefined) messages.push(codec.decode(each));
  }
  return { messages, skipped: value.length - messages.length };
}

/** Bytes that a message adds to a payload. */
export function messageBytes(message: Message): number {
  return cborBytes(toValue(message));
}
