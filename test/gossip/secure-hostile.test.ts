import t from 'tap';
import { pad } from '../../src/gossip/seal/padding.ts';
import { PLACES_MAX, SESSION_IDLE_MS, Sessions } from '../../src/gossip/seal/sessions.ts';
import { DATAGRAM_BYTES_MAX } from '../../src/wire/gossip/bounds.ts';
import {
  EnvelopeKind,
  getEnvelopeCounter,
  getEnvelopeSession,
} from '../../src/wire/gossip/envelope.ts';
import { Forger, pair, viewOf, Wire } from './secure-rig.ts';

t.test('whoever carries a token elsewhere has nothing of it', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
  a.secure.open(b.at, b.secure.seal(a.at, Buffer.from('x')));
  const [challenge] = wire.recorded.splice(0);
  if (challenge !== undefined) b.secure.open(a.at, challenge.bytes);
  const [response] = wire.recorded.splice(0);
  const bytes = response?.bytes ?? new Uint8Array(0);
  a.secure.open({ ...b.at, port: 1 }, bytes);
  a.secure.open({ ...b.at, address: 3 }, bytes);
  t.equal(a.count('sealed.refused.token'), 2);
  wire.nowMs += 8001;
  a.secure.open(b.at, bytes);
  t.equal(a.count('sealed.refused.token'), 3, 'nor has who comes too late');
  t.equal(a.secure.sessions, 0);
});

t.test('what is meant for one node is not taken by another', async (t) => {
  const { wire, a, b } = pair();
  const c = wire.start('c', 3);
  wire.meet(c, b);
  wire.send(b, a, 'for a');
  wire.run();
  wire.takeTexts();
  const datagram = wire.recorded.at(-1);
  if (datagram !== undefined) wire.deliver({ ...datagram, to: c.at });
  t.same(wire.takeTexts(), []);
  t.equal(c.count('sealed.refused.misdirected'), 1);
});

t.test('a machine that was set back to a snapshot', async (t) => {
  const { wire, a, b } = pair();
  for (let i = 0; i < 100; i++) wire.send(b, a, 'before');
  wire.run();
  wire.takeTexts();
  const session = getEnvelopeSession(viewOf(wire.recorded.at(-1)?.bytes ?? new Uint8Array(42)));
  const before = wire.recorded.slice();
  // The same life with the same randomness, from its beginning.
  const restored = new Wire();
  const twin = restored.start('b', 2);
  const sealed = twin.secure.seal(a.at, Buffer.from('after'));
  t.same(getEnvelopeSession(viewOf(sealed)), session);
  const counter = getEnvelopeCounter(viewOf(sealed));
  const same = before.find(({ bytes }) => getEnvelopeCounter(viewOf(bytes)) === counter);
  if (same !== undefined) {
    t.notSame(same.bytes.subarray(46, 50), sealed.subarray(46, 50), 'a nonce does not come twice');
  }
  let told = 0;
  for (let i = 0; i < 40 && told === 0; i++) {
    wire.nowMs += 1000;
    restored.nowMs = wire.nowMs;
    wire.recorded.length = 0;
    t.equal(a.secure.open(twin.at, twin.secure.seal(a.at, Buffer.from('after'))), undefined);
    for (const { bytes } of wire.recorded.splice(0)) {
      twin.secure.open(a.at, bytes);
      told = twin.count('sessions.renewed');
    }
  }
  t.equal(told, 1, 'it is told, and begins a session of its own');
  t.match(twin.notices, [/^behind: .*set back to an earlier state/]);
  for (let round = 0; round < 4; round++) {
    for (const { bytes } of restored.recorded.splice(0)) a.secure.open(twin.at, bytes);
    for (const { bytes } of wire.recorded.splice(0)) twin.secure.open(a.at, bytes);
  }
  t.ok(a.secure.open(twin.at, twin.secure.seal(a.at, Buffer.from('here again'))));
});

t.test('a member that uses up the counters of another', async (t) => {
  const { wire, a, b } = pair();
  wire.send(b, a, 'x');
  const session = getEnvelopeSession(viewOf(wire.recorded.at(-1)?.bytes ?? new Uint8Array(42)));
  const counter = Number.MAX_SAFE_INTEGER;
  const header = { kind: EnvelopeKind.Data, sender: b.id, epoch: 1, session, counter };
  const bytes = new Forger(a.ring.inUse).seal(header, a.id, pad(new Uint8Array(0), 33));
  wire.run();
  wire.deliver({ from: b.at, to: a.at, bytes });
  wire.takeTexts();
  for (let i = 0; i < 20; i++) {
    wire.nowMs += 1000;
    wire.send(b, a, `${i}`);
    wire.run();
  }
  t.equal(b.count('sessions.renewed'), 1);
  t.ok(a.count('sealed.refused.old') >= 7);
  t.ok(wire.takeTexts().includes('a 19'), 'it is heard again without a restart');
});

t.test('what comes back to its sender, and what is no datagram of ours', async (t) => {
  const { wire, a, b } = pair();
  const bytes = a.secure.seal(b.at, Buffer.from('x'));
  t.equal(a.secure.open(b.at, bytes), undefined);
  t.equal(a.count('sealed.refused.reflected'), 1);
  for (const [name, change] of [
    ['sealed.refused.size', (one: Uint8Array) => one.subarray(0, 57)],
    ['sealed.refused.size', (one: Uint8Array) => one.subarray(0, 66)],
    ['sealed.refused.size', () => new Uint8Array(DATAGRAM_BYTES_MAX + 1)],
    ['sealed.refused.version', (one: Uint8Array) => one.with(0, 2)],
    ['sealed.refused.kind', (one: Uint8Array) => one.with(1, 9)],
    ['sealed.refused.key', (one: Uint8Array) => one.with(2, 255 - (one[2] ?? 0))],
    ['sealed.refused.counter', (one: Uint8Array) => one.fill(0, 34, 42)],
    ['sealed.refused.counter', (one: Uint8Array) => one.fill(255, 34, 42)],
    ['sealed.refused.tag', (one: Uint8Array) => one.with(one.length - 1, 255 - (one.at(-1) ?? 0))],
    ['sealed.refused.tag', (one: Uint8Array) => one.subarray(0, one.length - 1)],
  ] as const) {
    const before = b.count(name);
    const changed = change(Uint8Array.from(a.secure.seal(b.at, Buffer.from('x'))));
    t.equal(b.secure.open(a.at, changed), undefined);
    t.equal(b.count(name), before + 1, name);
  }
  wire.recorded.length = 0;
  wire.send(a, b, 'fine');
  wire.run();
  t.same(wire.takeTexts(), ['b fine']);
});

t.test('a challenge is never longer than what provoked it, and there are few', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
  const forger = new Forger(a.ring.inUse);
  const header = { kind: EnvelopeKind.Data, sender: b.id, epoch: 1, session: new Uint8Array(8) };
  const provoke = (counter: number, plaintextBytes: number): Uint8Array => {
    const bytes = forger.seal({ ...header, counter }, a.id, new Uint8Array(plaintextBytes));
    t.equal(a.secure.open(b.at, bytes), undefined);
    return bytes;
  };
  provoke(1, 32);
  t.equal(wire.recorded.length, 0);
  t.equal(a.count('sealed.limited.challenges'), 1);
  const bytes = provoke(2, 33);
  t.same(
    wire.recorded.map((one) => one.bytes.length),
    [bytes.length],
  );
  for (let counter = 3; counter < 103; counter++) {
    wire.nowMs += 10;
    a.secure.open(b.at, bytes);
  }
  t.ok(wire.recorded.length <= 10, `${wire.recorded.length} within a second`);
  wire.run();
  t.equal(b.count('challenges.answered'), 0, 'b knows nothing of it');
});

t.test('rubbish in the name of an address does not keep its answer out', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
  const rubbish = (): void => {
    const bytes = b.secure.seal(a.at, new Uint8Array(9)).fill(7, 50);
    for (let i = 0; i < 100; i++) a.secure.open(b.at, bytes);
  };
  rubbish();
  t.equal(a.count('sealed.refused.tag'), 5);
  t.equal(a.count('sealed.limited.strangers'), 95);
  wire.send(a, b, 'hello');
  rubbish();
  t.equal(a.count('sealed.refused.tag'), 105);
  wire.run();
  t.same(wire.takeTexts(), ['b hello']);
});

t.test('sessions are bounded; one that was heard just now is not pushed out', async (t) => {
  const sessions = new Sessions(3);
  const open = (sender: string, nowMs: number) => {
    const opened = sessions.open(`${sender}${nowMs}`, sender, 1, nowMs);
    if (opened.session) sessions.addPlace(opened.session, { address: nowMs, port: 1 });
    return opened;
  };
  for (const [index, sender] of ['a', 'b', 'c'].entries()) t.ok(open(sender, index + 1).session);
  t.same(open('d', 5), { session: undefined, dropped: undefined });
  const late = open('d', SESSION_IDLE_MS + 1);
  t.equal(late.dropped?.sender, 'a');
  t.equal(sessions.size, 3);
  t.notOk(sessions.isKnown(1), 'its address is a stranger again');
  t.ok(sessions.isKnown(2));
  const same = new Sessions(3);
  const third = [1, 2, 3].map((nowMs) => same.open(`${nowMs}`, 'a', 1, nowMs))[2];
  t.equal(third?.dropped?.id, '1', 'a third session of one sender replaces its first');
  t.equal(same.latest('a')?.id, '3');
  const { session } = third ?? {};
  for (let port = 1; session && port <= 9; port++) same.addPlace(session, { address: 9, port });
  t.equal(session?.places.length, PLACES_MAX);
});
