import { createDecipheriv, hkdfSync } from 'node:crypto';
import t from 'tap';
import { decodeKey, encodeKey, Keyring } from '../../src/gossip/base/keyring.ts';
import { Ed25519Verifier } from '../../src/gossip/base/signer.ts';
import {
  CHALLENGE_BYTES,
  ChallengeReason,
  decodeChallenge,
  decodeResponse,
  isSignedBy,
  responseBody,
} from '../../src/gossip/seal/handshake.ts';
import { pad, unpad } from '../../src/gossip/seal/padding.ts';
import { Label, sessionFields } from '../../src/gossip/seal/sealer.ts';
import { SecureStream } from '../../src/gossip/seal/stream.ts';
import { EnvelopeKind, getEnvelopeCounter } from '../../src/wire/gossip/envelope.ts';
import {
  CLUSTER_KEY,
  KEY_ID,
  LABEL,
  PAYLOAD,
  RECEIVER_ID,
  SEALED,
  SENDER_ID,
  SENDER_PUBLIC_KEY,
  STREAM,
} from '../vectors/gossip-sealed.ts';
import { fromHex, toHex, viewOf } from '../vectors/hex.ts';
import { Forger } from './secure-rig.ts';

const ring = Keyring.parse(encodeKey(fromHex(CLUSTER_KEY)), 'vectors');
const label = new Label(LABEL);

function openFrozen(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  const keys = label.subkeys(ring.inUse, sessionFields(bytes));
  const opened = label.open(keys, getEnvelopeCounter(viewOf(bytes)), bytes);
  if (opened === undefined) throw new Error('does not authenticate');
  return opened;
}

/** As the comments describe it, without any of our code. */
function openByHand(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  const info = Buffer.concat([
    Buffer.from('fanway gossip datagram 1\0'),
    // Sender, epoch, nonce.
    bytes.subarray(6, 34),
  ]);
  const key = hkdfSync('sha256', fromHex(CLUSTER_KEY), Buffer.from(LABEL), info, 64).slice(0, 32);
  // The synthetic part, then the counter.
  const nonce = Buffer.concat([bytes.subarray(46, 50), bytes.subarray(34, 42)]);
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(key), nonce);
  decipher.setAAD(Buffer.concat([Buffer.from(LABEL), bytes.subarray(0, 46)]));
  decipher.setAuthTag(bytes.subarray(-16));
  const text = decipher.update(bytes.subarray(50, -16));
  decipher.final();
  return Uint8Array.from(text);
}

t.test('what was sealed once opens for ever', async (t) => {
  t.equal(ring.inUse.id, KEY_ID);
  t.same(decodeKey(encodeKey(fromHex(CLUSTER_KEY))), fromHex(CLUSTER_KEY));
  for (const hex of Object.values(SEALED)) t.same(openFrozen(hex), openByHand(hex));
  for (const hex of [SEALED.dataForAnybody, SEALED.data]) {
    t.equal(`${Buffer.from(unpad(openFrozen(hex)) ?? [])}`, PAYLOAD);
  }
  const challenge = decodeChallenge(openFrozen(SEALED.challenge));
  const session = sessionFields(fromHex(SEALED.data));
  const { token } = decodeResponse(openFrozen(SEALED.response)) ?? {};
  t.same(challenge, {
    ...{ reason: ChallengeReason.Session, counter: 1, nonce: session.subarray(20), token },
  });
  const response = decodeResponse(openFrozen(SEALED.response));
  if (response === undefined) throw new Error('no response');
  t.equal(toHex(response.publicKey), SENDER_PUBLIC_KEY);
  t.same(response.keyIds, [KEY_ID]);
  const body = responseBody(response.token, RECEIVER_ID, session);
  t.ok(isSignedBy(SENDER_ID, response, body, new Ed25519Verifier()));
});

t.test('and is sealed in the same way', async (t) => {
  const bytes = fromHex(SEALED.data);
  const session = sessionFields(bytes).subarray(20);
  const header = { kind: EnvelopeKind.Data, sender: SENDER_ID, epoch: 1, session, counter: 3 };
  const plaintext = pad(Buffer.from(PAYLOAD), CHALLENGE_BYTES);
  t.equal(toHex(new Forger(ring.inUse, LABEL).seal(header, RECEIVER_ID, plaintext)), toHex(bytes));
});

t.test('streams likewise', async (t) => {
  const common = { keyring: ring, label: label.bytes, epoch: 1 };
  const client = new SecureStream({
    ...{ ...common, role: 'connect', self: SENDER_ID, peer: RECEIVER_ID, key: ring.inUse },
    random: (bytes) => new Uint8Array(bytes).fill(0x11),
  });
  const server = new SecureStream({
    ...{ ...common, role: 'accept', self: RECEIVER_ID },
    random: (bytes) => new Uint8Array(bytes).fill(0x22),
  });
  t.equal(toHex(client.start()), toHex(fromHex(STREAM.hello)));
  t.equal(toHex(server.push(fromHex(STREAM.hello)).write), toHex(fromHex(STREAM.answer)));
  client.push(fromHex(STREAM.answer));
  t.equal(toHex(client.seal(Buffer.from(PAYLOAD))), toHex(fromHex(STREAM.data)));
  const { payloads } = server.push(fromHex(STREAM.data));
  t.same(
    payloads.map((one) => `${Buffer.from(one)}`),
    [PAYLOAD],
  );
});
