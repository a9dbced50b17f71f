/**
 * Sealed datagrams: whose they are, whether they are new, and how a sender that nobody knows yet
 * proves that it lives. Nothing is sent to an address whose datagram did not authenticate; what
 * was recorded and comes again gets at most a challenge, which is rate-limited, not longer than
 * what came, and not answered by the node that it claims to be from.
 *
 * All members have the cluster's key, yet each speaks for itself: a session is believed at the
 * addresses at which its owner has signed a token. What this does not stop is a member that can
 * also send from another's address. It can then say what no signature covers (that somebody is
 * alive or silent), never what that member announces: that is signed.
 * @module
 */
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import { EnvelopeKind, getEnvelopeKind, SESSION_NONCE_BYTES } from '../../wire/gossip/envelope.ts';
import type { Endpoint, NodeId } from '../../wire/gossip/types.ts';
import type { Counters, GossipCounter } from '../base/counters.ts';
import type { ClusterKey, Keyring } from '../base/keyring.ts';
import { PAYLOAD_BYTES_MAX } from '../base/limits.ts';
import type { Signer, Verifier } from '../base/signer.ts';
import type { Channel, ChannelStream, Opened } from './channel.ts';
import { SEAL_BYTES } from './cipher.ts';
import {
  CHALLENGE_BYTES,
  type ChallengeContent,
  ChallengeReason,
  decodeChallenge,
  decodeResponse,
  encodeChallenge,
  encodeResponse,
  isSignedBy,
  responseBody,
  Tokens,
} from './handshake.ts';
import { type Notice, Notices, type SealRefusal } from './notices.ts';
import { type Authentic, Opener } from './opener.ts';
import { pad, unpad } from './padding.ts';
import { Verdict } from './replay.ts';
import { ANYBODY, CLEAR_BYTES, Label, recipientOf, Sealer, sessionFields } from './sealer.ts';
import { SentPayloads } from './sent.ts';
import {
  type EndpointKey,
  placeOf,
  SESSION_IDLE_MS,
  type SealSession,
  Sessions,
} from './sessions.ts';
import { ChallengeBudget, Strangers } from './strangers.ts';
import { SecureStream } from './stream.ts';

/** Endpoints of which we know who is there. */
const PEERS_MAX = 4096;
/** A sender is told that it is behind at most so often. */
const BEHIND_MS = 1000;
/**
 * How many more than a quarter of the datagrams taken may be refused as seen or old: the network
 * alone does not repeat so many.
 */
const BEHIND_AFTER = 8;
/** Our own session is renewed at most so often, whatever others say of it. */
const RENEWAL_MS = 10_000;

export type SecureOptions = {
  keyring: Keyring;
  /** The cluster's name: another one opens nothing, with the same key. */
  label: string;
  self: NodeId;
  /** Of `self`. */
  signer: Signer;
  verifier: Verifier;
  epoch: number;
  /** Unpredictable bytes. */
  random: (bytes: number) => Uint8Array;
  /** Monotonic. */
  nowMs: () => number;
  counters: Counters;
  /** Takes what open() sends of its own accord. */
  send: (to: Endpoint, datagram: Uint8Array) => void;
  notice: Notice;
};

export class Secure implements Channel {
  readonly isSealed = true;
  readonly #options: SecureOptions;
  readonly #label: Label;
  readonly #sealer: Sealer;
  readonly #self: number;
  readonly #opener: Opener;
  readonly #sessions = new Sessions();
  readonly #sent = new SentPayloads();
  readonly #strangers = new Strangers();
  readonly #challenges = new ChallengeBudget();
  /** To check a signature takes more time than all else. */
  readonly #proofs = new ChallengeBudget();
  readonly #tokens: Tokens;
  /** Who is at an endpoint; the one that was heard longest ago comes first. */
  readonly #peers = new Map<EndpointKey, NodeId>();
  readonly #notices: Notices;
  #renewedMs = Number.NEGATIVE_INFINITY;

  constructor(options: SecureOptions) {
    const { self, epoch, random } = options;
    this.#options = options;
    this.#label = new Label(options.label);
    this.#sealer = new Sealer({ self, epoch, label: this.#label, random });
    this.#self = recipientOf(self);
    this.#tokens = new Tokens(random);
    this.#notices = new Notices(options.notice);
    this.#opener = new Opener(options, {
      ...{ label: this.#label, sessions: this.#sessions },
      ...{ strangers: this.#strangers, notices: this.#notices },
    });
  }

  /** Sessions of others that are known now. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** To be called when the keyring was changed: the others learn which keys we have now. */
  keysChanged(): void {
    this.#sessions.forgetSubkeys();
    this.#sent.clear();
    this.#sealer.renew();
  }

  seal(to: Endpoint, payload: Uint8Array): Uint8Array {
    const datagram = this.#seal(to, payload);
    const atMs = this.#options.nowMs();
    this.#strangers.expect(to.address, atMs);
    this.#sent.keep({ counter: this.#sealer.counter, to, payload, atMs });
    return datagram;
  }

  #seal(to: Endpoint, payload: Uint8Array): Uint8Array {
    if (payload.length > PAYLOAD_BYTES_MAX) {
      throw new RangeError(`a payload of ${payload.length} bytes; ${PAYLOAD_BYTES_MAX} fit`);
    }
    const peer = this.#peers.get(placeOf(to));
    const recipient = peer === undefined ? ANYBODY : recipientOf(peer);
    const plaintext = pad(payload, CHALLENGE_BYTES);
    return this.#sealer.seal(EnvelopeKind.Data, this.#keyFor(peer), recipient, plaintext);
  }

  /** The key in use, unless the peer said that it does not have it and has another of ours. */
  #keyFor(peer: NodeId | undefined): ClusterKey {
    const { keyring } = this.#options;
    const session = peer === undefined ? undefined : this.#sessions.latest(peer);
    if (session === undefined) return keyring.inUse;
    return keyring.keys.find(({ id }) => session.keyIds.includes(id)) ?? keyring.inUse;
  }

  open(from: Endpoint, datagram: Uint8Array): Opened | undefined {
    const authentic = this.#opener.authenticate(from, datagram, this.#sealer.nonce);
    if (authentic === undefined) return undefined;
    const kind = getEnvelopeKind(viewOf(datagram));
    if (kind === EnvelopeKind.Data) return this.#data(authentic);
    // Challenges and responses always know whom they are for.
    if (authentic.recipient !== this.#self) return this.#refuse('sealed.refused.misdirected');
    if (kind === EnvelopeKind.Challenge) return this.#challenge(authentic);
    return this.#response(authentic);
  }

  admit(address: UnderlayAddress): boolean {
    return this.#opener.admit(address, this.#options.nowMs());
  }

  refusals(): SealRefusal[] {
    return this.#notices.refusals(this.#options.nowMs());
  }

  connect(_to: Endpoint, peer: NodeId): ChannelStream {
    const { keyring, self, epoch, random } = this.#options;
    const key = this.#keyFor(peer);
    const label = this.#label.bytes;
    return new SecureStream({ role: 'connect', keyring, key, label, self, epoch, random, peer });
  }

  accept(): ChannelStream {
    const { keyring, self, epoch, random } = this.#options;
    const label = this.#label.bytes;
    return new SecureStream({ role: 'accept', keyring, label, self, epoch, random });
  }

  #refuse(name: GossipCounter): undefined {
    this.#options.counters.count(name);
    return undefined;
  }

  #data(one: Authentic): Opened | undefined {
    const { session, from, nowMs } = one;
    if (session === undefined) {
      this.#sendChallenge(one, { reason: ChallengeReason.Session, token: this.#tokenFor(one) });
      return this.#refuse('sealed.refused.session');
    }
    const verdict = session.window.check(one.counter);
    if (verdict !== Verdict.Fresh) return this.#refuseRepeated(one, session, verdict);
    const isForUs = one.recipient === this.#self;
    if (!isForUs || !session.places.includes(placeOf(from))) {
      this.#sendChallenge(one, { reason: ChallengeReason.Place, token: this.#tokenFor(one) });
      return this.#refuse(isForUs ? 'sealed.refused.address' : 'sealed.refused.misdirected');
    }
    session.window.accept(one.counter);
    session.repeats = Math.max(0, session.repeats - 0.25);
    this.#sessions.touch(session, nowMs);
    this.#learnPeer(placeOf(from), one.sender);
    const payload = unpad(one.plaintext);
    if (payload === undefined) return this.#refuse('sealed.refused.content');
    this.#options.counters.count('sealed.opened');
    return { sender: one.sender, payload };
  }

  /** A sender that repeats itself all the time may have been set back to an earlier state. */
  #refuseRepeated(one: Authentic, session: SealSession, verdict: Verdict): undefined {
    session.repeats = Math.min(session.repeats + 1, BEHIND_AFTER);
    if (session.repeats === BEHIND_AFTER && one.nowMs - session.toldMs >= BEHIND_MS) {
      session.toldMs = one.nowMs;
      const { highest } = session.window;
      this.#sendChallenge(one, { reason: ChallengeReason.Behind, highest });
    }
    return this.#refuse(
      verdict === Verdict.Seen ? 'sealed.refused.replayed' : 'sealed.refused.old',
    );
  }

  #tokenFor({ datagram, from, nowMs }: Authentic): Uint8Array {
    return this.#tokens.make(sessionFields(datagram), from, nowMs);
  }

  #sendChallenge(one: Authentic, what: ChallengeContent): void {
    const { datagram, from, key, sender, counter, nowMs } = one;
    const { counters, send } = this.#options;
    const nonce = sessionFields(datagram).subarray(-SESSION_NONCE_BYTES);
    const plaintext = encodeChallenge({ ...what, counter, nonce });
    const sizeBytes = CLEAR_BYTES + plaintext.length + SEAL_BYTES;
    const fits = sizeBytes <= datagram.length;
    if (!fits || !this.#challenges.take(one.sessionId, from.address, nowMs)) {
      counters.count('sealed.limited.challenges');
      return;
    }
    counters.count('challenges.sent');
    this.#strangers.expect(from.address, nowMs);
    // With the key that came: the other end may have no other.
    send(from, this.#sealer.seal(EnvelopeKind.Challenge, key, recipientOf(sender), plaintext));
  }

  /** Somebody does not know us: we say who we are, and what it has not taken. */
  #challenge({ plaintext, sender, key, nowMs }: Authentic): undefined {
    const { counters, send, keyring, signer } = this.#options;
    const challenge = decodeChallenge(plaintext);
    if (challenge === undefined) return this.#refuse('sealed.refused.content');
    const isOurs = Buffer.compare(challenge.nonce, this.#sealer.nonce) === 0;
    const asked = isOurs ? this.#sent.take(challenge.counter, nowMs) : undefined;
    if (asked === undefined) return this.#refuse('sealed.refused.challenge');
    const { to, payload } = asked;
    this.#learnPeer(placeOf(to), sender);
    if (challenge.reason === ChallengeReason.Behind) {
      if (this.#renewIfBehind(challenge.highest, sender, nowMs)) send(to, this.seal(to, payload));
      return undefined;
    }
    const { token } = challenge;
    const signature = signer.sign(responseBody(token, sender, this.#sealer.session));
    const keyIds = keyring.keys.map(({ id }) => id);
    const response = encodeResponse({ token, publicKey: signer.publicKey, signature, keyIds });
    counters.count('challenges.answered');
    send(to, this.#sealer.seal(EnvelopeKind.Response, key, recipientOf(sender), response));
    const others =
      challenge.reason === ChallengeReason.Session ? this.#sent.takeOthers(to, nowMs) : [];
    // Not kept again: whatever is asked, no payload is sent more than twice.
    for (const one of [asked, ...others]) send(to, this.#seal(to, one.payload));
    return undefined;
  }

  /** Begins a new session if somebody saw counters of ours that we have not reached. */
  #renewIfBehind(highest: number, sender: NodeId, nowMs: number): boolean {
    if (highest <= this.#sealer.counter) return false;
    if (nowMs - this.#renewedMs < RENEWAL_MS) {
      this.#refuse('sealed.limited.sessions');
      return false;
    }
    this.#renewedMs = nowMs;
    this.#sent.clear();
    this.#sealer.renew();
    this.#options.counters.count('sessions.renewed');
    this.#notices.behind(sender, nowMs);
    return true;
  }

  /** The proof that a session lives, at this address. */
  #response(one: Authentic): undefined {
    const { from, sender, counter, nowMs } = one;
    const response = decodeResponse(one.plaintext);
    if (response === undefined) return this.#refuse('sealed.refused.content');
    const fields = sessionFields(one.datagram);
    if (!this.#tokens.isGood(response.token, fields, from, nowMs)) {
      return this.#refuse('sealed.refused.token');
    }
    if (!this.#proofs.take(one.sessionId, from.address, nowMs)) {
      return this.#refuse('sealed.limited.sessions');
    }
    const body = responseBody(response.token, this.#options.self, fields);
    if (!isSignedBy(sender, response, body, this.#options.verifier)) {
      this.#notices.imposter(from.address, sender, nowMs);
      return this.#refuse('sealed.refused.signature');
    }
    const session = one.session ?? this.#openSession(one);
    if (session === undefined) return this.#refuse('overflow.sessions');
    if (one.session !== undefined && session.window.accept(counter) !== Verdict.Fresh) {
      return this.#refuse('sealed.refused.replayed');
    }
    session.keyIds = response.keyIds;
    this.#sessions.addPlace(session, from);
    this.#sessions.touch(session, nowMs);
    this.#learnPeer(placeOf(from), sender);
    return undefined;
  }

  #openSession({ sessionId, sender, counter, nowMs }: Authentic): SealSession | undefined {
    const { counters } = this.#options;
    const { session, dropped } = this.#sessions.open(sessionId, sender, counter, nowMs);
    if (dropped !== undefined) {
      counters.count(dropped.sender === sender ? 'sessions.replaced' : 'sessions.evicted');
      // The proof by which the dropped one was opened must not open it once more.
      if (nowMs - dropped.usedMs < SESSION_IDLE_MS) this.#tokens.renew();
    }
    if (session !== undefined) counters.count('sessions.opened');
    return session;
  }

  #learnPeer(place: EndpointKey, node: NodeId): void {
    this.#peers.delete(place);
    this.#peers.set(place, node);
    if (this.#peers.size <= PEERS_MAX) return;
    for (const oldest of this.#peers.keys()) {
      this.#peers.delete(oldest);
      return;
    }
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
