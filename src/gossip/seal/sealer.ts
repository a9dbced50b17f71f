/**
 * This node's own session: what it seals, and with which counter.
 *
 * A sealed datagram is, behind the header of envelope.ts,
 *   recipient 32 | nonce's synthetic part 32 | ciphertext | tag 128
 * where the recipient is the first four bytes of a node id, or 0 when the sender does not know who
 * is there. The additional data is the cluster's label, the header and the recipient.
 * @module
 */
import {
  EnvelopeKind,
  emitEnvelope,
  HEADER_BYTES,
  SESSION_NONCE_BYTES,
} from '../../wire/gossip/envelope.ts';
import type { NodeId } from '../../wire/gossip/types.ts';
import { type ClusterKey, NO_KEY } from '../base/keyring.ts';
import { deriveSubkeys, open, SEAL_BYTES, type Subkeys, seal } from './cipher.ts';

export const RECIPIENT_BYTES = 4;
/** Header and recipient: what is authenticated and not encrypted. */
export const CLEAR_BYTES = HEADER_BYTES + RECIPIENT_BYTES;
/** The recipient of a datagram to a node whose id is not known. */
export const ANYBODY = 0;
/** Where a header tells sender, epoch and nonce. */
const SESSION_FIELDS_OFFSET = 6;
const SESSION_FIELDS_END = HEADER_BYTES - 8;

/** A node's id as the recipient field has it. */
export function recipientOf(node: NodeId): number {
  return Number.parseInt(node.slice(0, 8), 16);
}

/** The header's fields that name a session: sender, epoch and nonce. Borrowed. */
export function sessionFields(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(SESSION_FIELDS_OFFSET, SESSION_FIELDS_END);
}

/** The cluster's name, with which all keys are derived and all headers authenticated. */
export class Label {
  readonly #bytes: Uint8Array;
  /** Label, header and recipient of the datagram in hand. */
  readonly #bound: Uint8Array;

  constructor(text: string) {
    this.#bytes = Buffer.from(text);
    this.#bound = new Uint8Array(this.#bytes.length + CLEAR_BYTES);
    this.#bound.set(this.#bytes);
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  subkeys(key: ClusterKey, session: Uint8Array): Subkeys {
    return deriveSubkeys(key.bytes, this.#bytes, 'datagram', session);
  }

  /** The additional data of a datagram. Borrowed until the next call. */
  bind(datagram: Uint8Array): Uint8Array {
    this.#bound.set(datagram.subarray(0, CLEAR_BYTES), this.#bytes.length);
    return this.#bound;
  }

  /** What the datagram has sealed; undefined when it is not authentic. */
  open(subkeys: Subkeys, counter: number, datagram: Uint8Array): Uint8Array | undefined {
    return open(subkeys, counter, this.bind(datagram), datagram.subarray(CLEAR_BYTES));
  }
}

export type SealerOptions = {
  self: NodeId;
  epoch: number;
  label: Label;
  random: (bytes: number) => Uint8Array;
};

export class Sealer {
  readonly #options: SealerOptions;
  readonly #subkeys = new Map<number, Subkeys>();
  #nonce: Uint8Array;
  #counter = 0;

  constructor(options: SealerOptions) {
    this.#options = options;
    this.#nonce = options.random(SESSION_NONCE_BYTES);
  }

  /** Random for each session. */
  get nonce(): Uint8Array {
    return this.#nonce;
  }

  /** Sender, epoch and nonce, as {@link sessionFields} has them. */
  get session(): Uint8Array {
    const { self, epoch } = this.#options;
    const header = new Uint8Array(HEADER_BYTES);
    const fields = { kind: EnvelopeKind.Data, keyId: NO_KEY, sender: self, epoch, counter: 0 };
    emitEnvelope(new DataView(header.buffer), { ...fields, session: this.#nonce });
    return sessionFields(header);
  }

  /** Of the datagram that was sealed last; 0 before the first. */
  get counter(): number {
    return this.#counter;
  }

  /** Begins a session that nobody knows yet. */
  renew(): void {
    this.#nonce = this.#options.random(SESSION_NONCE_BYTES);
    this.#counter = 0;
    this.#subkeys.clear();
  }

  seal(kind: EnvelopeKind, key: ClusterKey, recipient: number, plaintext: Uint8Array): Uint8Array {
    const { self, epoch, label } = this.#options;
    this.#counter += 1;
    const datagram = new Uint8Array(CLEAR_BYTES + plaintext.length + SEAL_BYTES);
    const view = new DataView(datagram.buffer);
    emitEnvelope(view, {
      kind,
      keyId: key.id,
      sender: self,
      epoch,
      session: this.#nonce,
      counter: this.#counter,
    });
    view.setUint32(HEADER_BYTES, recipient);
    let subkeys = this.#subkeys.get(key.id);
    if (subkeys === undefined) {
      subkeys = label.subkeys(key, sessionFields(datagram));
      this.#subkeys.set(key.id, subkeys);
    }
    seal(subkeys, this.#counter, label.bind(datagram), plaintext, datagram, CLEAR_BYTES);
    return datagram;
  }
}
