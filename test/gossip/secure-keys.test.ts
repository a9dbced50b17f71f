import t from 'tap';
import { Counters } from '../../src/gossip/base/counters.ts';
import { PAYLOAD_BYTES_MAX } from '../../src/gossip/base/limits.ts';
import { PlainChannel } from '../../src/gossip/seal/plain.ts';
import { DATAGRAM_BYTES_MAX } from '../../src/wire/gossip/bounds.ts';
import { ringOf, seededBytes, viewOf, Wire } from './secure-rig.ts';

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
