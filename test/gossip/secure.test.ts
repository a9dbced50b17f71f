import t from 'tap';
import { Counters } from '../../src/gossip/counters.ts';
import { PAYLOAD_BYTES_MAX } from '../../src/gossip/limits.ts';
import { pad } from '../../src/gossip/padding.ts';
import { PlainChannel } from '../../src/gossip/plain.ts';
import { DATAGRAM_BYTES_MAX } from '../../src/wire/gossip/bounds.ts';
import {
  EnvelopeKind,
  getEnvelopeCounter,
  getEnvelopeKind,
  getEnvelopeSession,
} from '../../src/wire/gossip/envelope.ts';
import { type Datagram, Forger, ringOf, seededBytes, type TestNode, Wire } from './secure-rig.ts';

function pair(): { wire: Wire; a: TestNode; b: TestNode } {
  const wire = new Wire();
  const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
  wire.meet(a, b);
  wire.recorded.length = 0;
  return { wire, a, b };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function kinds(datagrams: readonly Datagram[]): number[] {
  return datagrams.map(({ bytes }) => getEnvelopeKind(viewOf(bytes)));
}

t.test('strangers meet: nothing is lost, each proves itself once', async (t) => {
  const wire = new Wire();
  const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
  wire.send(b, a, 'one');
  wire.send(b, a, 'two');
  t.equal(wire.run(), 7, 'two datagrams, two challenges, a response and both again');
  t.same(wire.takeTexts(), ['a one', 'a two']);
  t.equal(b.count('sealed.refused.challenge'), 1, 'a question is answered once');
  wire.send(a, b, 'ack');
  wire.run();
  t.same(wire.takeTexts(), ['b ack']);
  for (let i = 0; i < 50; i++) {
    wire.send(a, b, `a${i}`);
    wire.send(b, a, `b${i}`);
  }
  t.equal(wire.run(), 100, 'from then on a datagram is a datagram');
  t.equal(wire.takeTexts().length, 100);
  t.same([a.secure.sessions, b.secure.sessions], [1, 1]);
});

t.test('payloads of every length; the longest fills a datagram', async (t) => {
  const { wire, a, b } = pair();
  for (const length of [0, 1, 31, 32, 33, 255, 256, 1000, PAYLOAD_BYTES_MAX]) {
    wire.send(a, b, new Uint8Array(length).fill(7));
    wire.run();
    const [one] = wire.delivered.splice(0);
    t.same(one?.payload, new Uint8Array(length).fill(7), `${length} bytes`);
    t.equal(one?.sender, a.id);
  }
  t.equal(wire.recorded.at(-1)?.bytes.length, DATAGRAM_BYTES_MAX);
  t.throws(() => a.secure.seal(b.at, new Uint8Array(PAYLOAD_BYTES_MAX + 1)), RangeError);
});

t.test('a restart of either end, or of both, costs nothing but the asking', async (t) => {
  const { wire } = pair();
  let a = wire.start('a', 1);
  let b = wire.start('b', 2);
  wire.meet(a, b);
  const talk = (what: string): void => {
    wire.send(a, b, 'to b');
    wire.send(b, a, 'to a');
    wire.run();
    t.same(wire.takeTexts().sort(), ['a to a', 'b to b'], what);
  };
  a = wire.start('a', 1);
  talk('one restarted');
  b = wire.start('b', 2);
  talk('the other restarted');
  a = wire.start('a', 1);
  b = wire.start('b', 2);
  talk('both restarted');
  for (let life = 0; life < 5; life++) a = wire.start('a', 1);
  talk('restarted five times');
  t.equal(b.secure.sessions, 2, 'at most two sessions of one sender are kept');
});

t.test('after a restart nothing that came before it is taken again', async (t) => {
  const { wire, a, b } = pair();
  for (let i = 0; i < 100; i++) wire.send(b, a, `${i}`);
  wire.run();
  t.equal(wire.takeTexts().length, 100);
  const old = wire.recorded.slice();
  const again = wire.start('a', 1);
  wire.nowMs += 2001;
  wire.send(b, again, 'new');
  wire.run();
  for (const datagram of old) wire.deliver(datagram);
  wire.run();
  t.same(wire.takeTexts(), ['a new']);
  t.equal(again.count('sealed.refused.replayed'), 100);
});

t.test('a lost challenge or response is made up for by the next datagram', async (t) => {
  for (const lost of [EnvelopeKind.Challenge, EnvelopeKind.Response]) {
    const wire = new Wire();
    const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
    wire.pass = ({ bytes }) => getEnvelopeKind(viewOf(bytes)) !== lost;
    wire.send(b, a, 'one');
    wire.run();
    t.same(wire.takeTexts(), []);
    wire.pass = () => true;
    wire.nowMs += 1000;
    wire.send(b, a, 'two');
    wire.run();
    t.ok(wire.takeTexts().includes('a two'));
  }
});

t.test('a session has to be proved at each address', async (t) => {
  const { wire, a, b } = pair();
  const elsewhere = { address: 77, port: 9 };
  const bytes = b.secure.seal(a.at, Buffer.from('from elsewhere'));
  t.equal(a.secure.open(elsewhere, bytes), undefined);
  t.equal(a.count('sealed.refused.address'), 1);
  const [challenge] = wire.recorded.splice(0);
  t.same(challenge?.to, elsewhere);
  if (challenge !== undefined) b.secure.open(a.at, challenge.bytes);
  const answers = wire.recorded.splice(0);
  t.same(kinds(answers), [EnvelopeKind.Response, EnvelopeKind.Data]);
  for (const answer of answers) {
    const opened = a.secure.open(elsewhere, answer.bytes);
    if (opened !== undefined) t.equal(`${Buffer.from(opened.payload)}`, 'from elsewhere');
  }
  t.equal(a.count('sealed.opened'), 2);
  t.equal(a.secure.sessions, 1, 'it is the same session');
  wire.run();
  wire.takeTexts();
});

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

t.test('an address that another node has taken over', async (t) => {
  const { wire, a, b } = pair();
  const c = wire.start('c', 1);
  wire.send(b, a, 'who is there?');
  wire.run();
  t.same(wire.takeTexts(), ['c who is there?']);
  wire.recorded.length = 0;
  wire.send(b, c, 'and again');
  wire.run();
  t.same(wire.takeTexts(), ['c and again']);
  t.equal(wire.recorded.length, 1, 'from then on it is sent to whom it is for');
});

t.test('keys are changed while everybody talks', async (t) => {
  const wire = new Wire();
  const nodes = [1, 2, 3].map((n) => wire.start(`n${n}`, n));
  const everybodyTalks = (what: string): void => {
    for (const from of nodes) {
      for (const to of nodes) if (from !== to) wire.send(from, to, 'hi');
      wire.run();
    }
    t.equal(wire.takeTexts().length, 6, what);
    wire.nowMs += 1000;
  };
  const second = ringOf('second').inUse;
  everybodyTalks('one key');
  for (const { ring, secure } of nodes) {
    ring.add(second.bytes);
    secure.keysChanged();
    everybodyTalks('one more has the second key');
  }
  for (const { ring, secure } of nodes) {
    ring.use(second.id);
    secure.keysChanged();
    everybodyTalks('one more uses it');
  }
  for (const { ring, secure } of nodes) {
    ring.remove(ringOf('key').inUse.id);
    secure.keysChanged();
    everybodyTalks('one more has nothing else');
  }
  t.same(
    nodes.map((node) => node.count('sealed.refused.key')),
    [0, 0, 0],
  );
});

t.test('a node that was away while the keys changed', async (t) => {
  const wire = new Wire();
  const present = wire.start('present', 1, { ring: ringOf('new', 'key') });
  const absentee = wire.start('absentee', 2, { ring: ringOf('key') });
  wire.send(present, absentee, 'lost');
  wire.run();
  t.same(wire.takeTexts(), [], 'it cannot read the new key');
  t.equal(absentee.count('sealed.refused.key'), 1);
  t.match(absentee.notices, [/^unknown-key: 0\.0\.0\.1 seals with key .* fanway key add$/]);
  wire.send(absentee, present, 'I am back');
  wire.run();
  t.same(wire.takeTexts(), ['present I am back']);
  wire.nowMs += 2001;
  wire.send(present, absentee, 'welcome');
  wire.run();
  t.same(wire.takeTexts(), ['absentee welcome'], 'it is spoken to with the key it has');
  absentee.ring.add(ringOf('new').inUse.bytes);
  absentee.secure.keysChanged();
  wire.send(absentee, present, 'I have it');
  wire.run();
  wire.recorded.length = 0;
  wire.send(present, absentee, 'good');
  wire.run();
  t.same(wire.takeTexts(), ['present I have it', 'absentee good']);
  t.equal(
    viewOf(wire.recorded[0]?.bytes ?? new Uint8Array(6)).getUint32(2),
    present.ring.inUse.id,
    'and then with the new one',
  );
  present.ring.remove(ringOf('key').inUse.id);
  present.secure.keysChanged();
  wire.send(absentee, present, 'with the old key');
  wire.run();
  t.same(wire.takeTexts(), []);
  t.equal(present.count('sealed.refused.key'), 1);
  t.match(present.notices, [/^unknown-key: 0\.0\.0\.2 seals with key/]);
});

t.test('other labels, other modes', async (t) => {
  const wire = new Wire();
  const [a, other] = [wire.start('a', 1), wire.start('b', 2, { label: 'other' })];
  wire.send(other, a, 'x');
  wire.send(a, other, 'x');
  t.equal(wire.run(), 2, 'nothing is answered');
  t.same([a.count('sealed.refused.tag'), other.count('sealed.refused.tag')], [1, 1]);
  t.match(a.notices, [/another label than test$/]);

  const counters = new Counters();
  const notices: string[] = [];
  const plain = new PlainChannel({
    ...{ label: 'test', self: other.id, epoch: 1, random: seededBytes('p'), counters },
    nowMs: () => wire.nowMs,
    notice: (cause) => notices.push(cause),
  });
  t.equal(a.secure.open(other.at, plain.seal(a.at, Buffer.from('x'))), undefined);
  t.equal(a.count('sealed.refused.plaintext'), 1);
  t.equal(plain.open(a.at, a.secure.seal(other.at, Buffer.from('x'))), undefined);
  t.equal(counters.value('sealed.refused.sealed'), 1);
  t.same(notices, ['sealed']);
  t.equal(plain.isSealed, false);
});

t.test('plaintext carries a payload and its label', async (t) => {
  const make = (label: string, counters: Counters): PlainChannel =>
    new PlainChannel({
      ...{ label, self: 'ab'.repeat(16), epoch: 1, random: seededBytes('p'), counters },
      ...{ nowMs: () => 0, notice: () => undefined },
    });
  const [counters, to] = [new Counters(), { address: 1, port: 2 }];
  const here = make('test', counters);
  for (const length of [0, 5, 300, PAYLOAD_BYTES_MAX]) {
    const datagram = make('test', new Counters()).seal(to, new Uint8Array(length).fill(5));
    t.ok(datagram.length <= DATAGRAM_BYTES_MAX);
    t.same(here.open(to, datagram)?.payload, new Uint8Array(length).fill(5));
  }
  t.equal(here.open(to, make('other', new Counters()).seal(to, new Uint8Array(9))), undefined);
  t.equal(counters.value('sealed.refused.label'), 1);
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
