/**
 * What comes in, up to the point where it is known to be authentic: sealed with one of our keys,
 * whole, and not our own. Cheap checks come first, and strangers get few of the others.
 * @module
 */
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import {
  checkEnvelope,
  EnvelopeFault,
  getEnvelopeCounter,
  getEnvelopeKeyId,
  getEnvelopeSender,
  HEADER_BYTES,
  SESSION_NONCE_BYTES,
} from '../../wire/gossip/envelope.ts';
import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import type { Counters, GossipCounter } from '../base/counters.ts';
import { type ClusterKey, type Keyring, NO_KEY } from '../base/keyring.ts';
import { ENVELOPE_FAULTS } from './channel.ts';
import { SEAL_BYTES } from './cipher.ts';
import type { Notices } from './notices.ts';
import { CLEAR_BYTES, type Label, sessionFields } from './sealer.ts';
import type { SealSession, Sessions } from './sessions.ts';
import type { Strangers } from './strangers.ts';

/** A datagram that is authentic. */
export type Authentic = {
  from: Endpoint;
  datagram: Uint8Array;
  sender: NodeId;
  counter: number;
  key: ClusterKey;
  /** Sender, epoch and nonce. */
  sessionId: string;
  session: SealSession | undefined;
  recipient: number;
  plaintext: Uint8Array;
  nowMs: number;
};

export type OpenerOptions = {
  keyring: Keyring;
  label: string;
  self: NodeId;
  nowMs: () => number;
  counters: Counters;
};

export type OpenerParts = {
  label: Label;
  sessions: Sessions;
  strangers: Strangers;
  notices: Notices;
};

export class Opener {
  readonly #options: OpenerOptions;
  readonly #parts: OpenerParts;

  constructor(options: OpenerOptions, parts: OpenerParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Whether anything is to be done for this address now. */
  admit(address: UnderlayAddress, nowMs: number): boolean {
    const { sessions, strangers } = this.#parts;
    if (sessions.isKnown(address) || strangers.admit(address, nowMs)) return true;
    this.#refuse('sealed.limited.strangers');
    return false;
  }

  /** `ownNonce` is that of this node's session. */
  authenticate(from: Endpoint, datagram: Uint8Array, ownNonce: Uint8Array): Authentic | undefined {
    const { keyring, label: labelText, self } = this.#options;
    const { label, sessions, notices } = this.#parts;
    const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
    const fault = checkEnvelope(view);
    if (fault !== EnvelopeFault.None) return this.#refuse(ENVELOPE_FAULTS[fault]);
    if (datagram.length <= CLEAR_BYTES + SEAL_BYTES) return this.#refuse('sealed.refused.size');
    const keyId = getEnvelopeKeyId(view);
    const nowMs = this.#options.nowMs();
    if (keyId === NO_KEY) {
      notices.plaintext(from.address, nowMs);
      return this.#refuse('sealed.refused.plaintext');
    }
    const key = keyring.get(keyId);
    if (key === undefined) {
      notices.unknownKey(from.address, keyId, keyring, nowMs);
      return this.#refuse('sealed.refused.key');
    }
    if (!this.admit(from.address, nowMs)) return undefined;
    const fields = sessionFields(datagram);
    const sessionId = Buffer.from(fields.buffer, fields.byteOffset, fields.length).toString(
      'latin1',
    );
    const session = sessions.get(sessionId);
    const subkeys = session?.subkeys.get(keyId) ?? label.subkeys(key, fields);
    const counter = getEnvelopeCounter(view);
    const plaintext = label.open(subkeys, counter, datagram);
    if (plaintext === undefined) {
      notices.tag(from.address, keyId, labelText, nowMs);
      return this.#refuse('sealed.refused.tag');
    }
    session?.subkeys.set(keyId, subkeys);
    const sender = getEnvelopeSender(view);
    const nonce = fields.subarray(-SESSION_NONCE_BYTES);
    if (sender === self && Buffer.compare(nonce, ownNonce) === 0) {
      return this.#refuse('sealed.refused.reflected');
    }
    const recipient = view.getUint32(HEADER_BYTES);
    return {
      ...{ from, datagram, sender, counter, key, sessionId, session, recipient, plaintext },
      nowMs,
    };
  }

  #refuse(name: GossipCounter): undefined {
    this.#options.counters.count(name);
    return undefined;
  }
}
