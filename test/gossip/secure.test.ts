import t from 'tap';
import { PAYLOAD_BYTES_MAX } from '../../src/gossip/base/limits.ts';
import { DATAGRAM_BYTES_MAX } from '../../src/wire/gossip/bounds.ts';
import { EnvelopeKind, getEnvelopeKind } from '../../src/wire/gossip/envelope.ts';
import { type Datagram, pair, viewOf, Wire } from './secure-rig.ts';

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
