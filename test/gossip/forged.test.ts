import t from 'tap';
import { Counters, type GossipCounter } from '../../src/gossip/base/counters.ts';
import { pad } from '../../src/gossip/seal/padding.ts';
import { PlainChannel } from '../../src/gossip/seal/plain.ts';
import {
  EnvelopeKind,
  getEnvelopeCounter,
  getEnvelopeSession,
  HEADER_BYTES,
} from '../../src/wire/gossip/envelope.ts';
import { Random } from '../fuzz/mutate.ts';
import { Forger, ringOf, seededBytes, type TestNode, viewOf, Wire } from './secure-rig.ts';

/** Datagrams of each kind. */
const FORGED = Number(process.env['FANWAY_FORGED'] ?? 100_000);

const KIND_OFFSET = 1;
const KEY_ID_OFFSET = 2;
const COUNTER_LOW_OFFSET = 38;
const KINDS = Object.values(EnvelopeKind);

type Scene = {
  a: TestNode;
  b: TestNode;
  /** What b really sent to a and the network lost: only what was changed in it can be wrong. */
  lost: Uint8Array[];
  random: Random;
};

type Attack = {
  what: string;
  /** Every forged datagram counts as one of these, or as a stranger's too many. */
  refusals: GossipCounter[];
  make(scene: Scene, index: number): Uint8Array;
};

/** A header in b's name and session, sealed with what somebody else has. */
function forgeAs({ a, b, lost }: Scene, index: number, forger: Forger): Uint8Array {
  const session = getEnvelopeSession(viewOf(lost[0] ?? new Uint8Array(HEADER_BYTES)));
  const kind = KINDS[index % 3] ?? EnvelopeKind.Data;
  const header = { kind, sender: b.id, epoch: 1, session, counter: 1000 + index };
  return forger.seal(header, a.id, pad(new Uint8Array(0), 33));
}

const [ourKey, wrongKey] = [ringOf('key').inUse, ringOf('wrong').inUse];
const withOurNumber = new Forger({ id: ourKey.id, bytes: wrongKey.bytes });
const withWrongKey = new Forger(wrongKey);
const withOtherLabel = new Forger(ourKey, 'other');
const plain = new PlainChannel({
  ...{ label: 'test', self: 'ab'.repeat(16), epoch: 1, random: seededBytes('plain') },
  ...{ counters: new Counters(), nowMs: () => 0, notice: () => undefined },
});

const ATTACKS: Attack[] = [
  {
    what: 'without a key, behind a real header',
    refusals: ['sealed.refused.tag'],
    make({ lost, random }, index) {
      const bytes = random.pick(lost).slice();
      bytes[KIND_OFFSET] = KINDS[index % 3] ?? 1;
      viewOf(bytes).setUint32(COUNTER_LOW_OFFSET, 1000 + index);
      for (let at = HEADER_BYTES + 4; at < bytes.length; at++) bytes[at] = random.below(256);
      return bytes;
    },
  },
  {
    what: 'with another key under the number of ours',
    refusals: ['sealed.refused.tag'],
    make: (scene, index) => forgeAs(scene, index, withOurNumber),
  },
  {
    what: 'with another key',
    refusals: ['sealed.refused.key'],
    make: (scene, index) => forgeAs(scene, index, withWrongKey),
  },
  {
    what: 'with a tag cut short',
    refusals: ['sealed.refused.tag', 'sealed.refused.size'],
    make({ lost, random }) {
      const bytes = random.pick(lost);
      return bytes.subarray(0, bytes.length - 1 - random.below(bytes.length));
    },
  },
  {
    what: 'with one bit changed',
    refusals: [
      ...(['sealed.refused.tag', 'sealed.refused.version', 'sealed.refused.kind'] as const),
      ...(['sealed.refused.key', 'sealed.refused.counter'] as const),
    ],
    make({ lost, random }) {
      const bytes = random.pick(lost).slice();
      const bit = random.below(bytes.length * 8);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return bytes;
    },
  },
  {
    what: 'as another kind of datagram',
    refusals: ['sealed.refused.tag'],
    make({ lost, random }, index) {
      const bytes = random.pick(lost).slice();
      bytes[KIND_OFFSET] = index % 2 === 0 ? EnvelopeKind.Challenge : EnvelopeKind.Response;
      return bytes;
    },
  },
  {
    what: 'downgraded to plaintext',
    refusals: ['sealed.refused.plaintext'],
    make({ a, lost, random }, index) {
      if (index % 2 === 0) return plain.seal(a.at, random.pick(lost).subarray(HEADER_BYTES));
      const bytes = random.pick(lost).slice();
      viewOf(bytes).setUint32(KEY_ID_OFFSET, 0);
      return bytes;
    },
  },
  {
    what: 'with the label of another cluster',
    refusals: ['sealed.refused.tag'],
    make: (scene, index) => forgeAs(scene, index, withOtherLabel),
  },
];

/** All that a datagram could change in a node. */
function stateOf({ secure, counters, ring }: TestNode, other: TestNode): Record<string, unknown> {
  const probe = viewOf(secure.seal(other.at, new Uint8Array(0)));
  const changed = Object.entries(counters.all()).filter(
    ([name]) => !name.startsWith('sealed.refused.') && !name.startsWith('sealed.limited.'),
  );
  return {
    counters: Object.fromEntries(changed),
    sessions: secure.sessions,
    session: Buffer.from(getEnvelopeSession(probe)).toString('hex'),
    sealed: getEnvelopeCounter(probe),
    keys: ring.format(),
  };
}

function sumOf({ counters }: TestNode, names: readonly GossipCounter[]): number {
  return names.reduce((sum, name) => sum + counters.value(name), 0);
}

for (const { what, refusals, make } of ATTACKS) {
  t.test(`forged ${what}: ${FORGED} times nothing`, async (t) => {
    const wire = new Wire();
    const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
    wire.meet(a, b);
    const random = new Random(1);
    const lost = Array.from({ length: 200 }, (_, index) =>
      b.secure.seal(a.at, seededBytes(`${index}`)(random.below(300))),
    );
    const scene = { a, b, lost, random };
    const before = stateOf(a, b);
    wire.recorded.length = 0;
    let opened = 0;
    const startedMs = wire.nowMs;
    for (let index = 0; index < FORGED; index++) {
      // Ten thousand a second, from b's address and from those of strangers.
      if (index % 10 === 0) wire.nowMs += 1;
      const from = index % 4 === 3 ? { address: 1000 + (index % 7), port: 7946 } : b.at;
      if (a.secure.open(from, make(scene, index)) !== undefined) opened += 1;
    }
    t.equal(opened, 0, 'taken');
    t.equal(wire.recorded.length, 0, 'datagrams in reply');
    const sealed = Number(before['sealed']) + 1;
    t.same(stateOf(a, b), { ...before, sealed }, 'state, but for the datagram that asks for it');
    t.equal(sumOf(a, [...refusals, 'sealed.limited.strangers']), FORGED, 'each is counted');
    t.ok(a.notices.length <= refusals.length * (1 + (wire.nowMs - startedMs) / 10_000), 'log');
    wire.send(b, a, 'as if nothing had been');
    wire.run();
    t.same(wire.takeTexts(), ['a as if nothing had been']);
  });
}
