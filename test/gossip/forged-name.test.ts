import t from 'tap';
import { decodeChallenge, encodeResponse, responseBody } from '../../src/gossip/seal/handshake.ts';
import { pad } from '../../src/gossip/seal/padding.ts';
import { Label, sessionFields } from '../../src/gossip/seal/sealer.ts';
import {
  EnvelopeKind,
  getEnvelopeCounter,
  getEnvelopeSession,
} from '../../src/wire/gossip/envelope.ts';
import { Forger, LABEL, seededBytes, viewOf, Wire } from './secure-rig.ts';

/** Datagrams in another member's name. */
const FORGED = Number(process.env['FANWAY_FORGED'] ?? 100_000);

t.test(`a member in another's name: ${FORGED} times nothing`, async (t) => {
  const wire = new Wire();
  const [a, b, liar] = [wire.start('a', 1), wire.start('b', 2), wire.start('liar', 3)];
  wire.meet(a, b);
  wire.meet(a, liar);
  const real = getEnvelopeSession(viewOf(b.secure.seal(a.at, new Uint8Array(0))));
  const label = new Label(LABEL);
  const key = a.ring.inUse;
  const header = { sender: b.id, epoch: 1 };
  const empty = pad(new Uint8Array(0), 33);
  /** What the liar, who has the cluster's key, makes of a challenge. */
  const answer = (challenge: Uint8Array, index: number, session: Uint8Array): Uint8Array => {
    const counter = getEnvelopeCounter(viewOf(challenge));
    const opened = label.open(label.subkeys(key, sessionFields(challenge)), counter, challenge);
    const content = opened && decodeChallenge(opened);
    if (content === undefined || !('token' in content)) throw new Error('no token');
    const forger = new Forger(key);
    const asked = { ...header, kind: EnvelopeKind.Response, session, counter: 2 };
    const fields = sessionFields(forger.seal(asked, a.id, empty));
    const { token } = content;
    const { publicKey } = index % 2 === 0 ? liar.signer : b.signer;
    const signature = liar.signer.sign(responseBody(token, a.id, fields));
    const response = { token, publicKey, signature, keyIds: [key.id] };
    return forger.seal(asked, a.id, encodeResponse(response));
  };

  const before = a.secure.sessions;
  const inItsSession = new Forger(key);
  let [opened, bytesIn, bytesOut, answered] = [0, 0, 0, 0];
  const send = (bytes: Uint8Array): void => {
    bytesIn += bytes.length;
    if (a.secure.open(liar.at, bytes) !== undefined) opened += 1;
  };
  wire.recorded.length = 0;
  wire.pass = () => false;
  for (let index = 0; index < FORGED; index++) {
    wire.nowMs += 0.1;
    const isReal = index % 8 !== 7;
    const session = isReal ? real : seededBytes(`${index}`)(8);
    const counter = index % 2 === 0 ? 1000 + index : Number.MAX_SAFE_INTEGER - index;
    const forger = isReal ? inItsSession : new Forger(key);
    send(forger.seal({ ...header, kind: EnvelopeKind.Data, session, counter }, a.id, empty));
    for (const { to, bytes } of wire.recorded.splice(0)) {
      bytesOut += bytes.length;
      if (to.address !== liar.at.address) throw new Error('sent to somebody else');
      answered += 1;
      send(answer(bytes, answered, session));
    }
  }
  t.equal(opened, 0, 'taken');
  t.ok(answered > 10, `${answered} tokens asked for`);
  t.equal(a.count('sealed.refused.signature') + a.count('sealed.limited.sessions'), answered);
  t.equal(a.secure.sessions, before);
  t.match(a.notices, [/^imposter: 0\.0\.0\.3 has a key of this cluster and claims to be/]);
  t.ok(bytesOut <= bytesIn, `${bytesOut} bytes for ${bytesIn}`);
  wire.pass = () => true;
  wire.send(b, a, 'it is me');
  t.equal(wire.run(), 1, 'the other has nothing to prove anew');
  t.same(wire.takeTexts(), ['a it is me']);
});
