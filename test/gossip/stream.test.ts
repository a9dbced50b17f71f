import t from 'tap';
import { Counters } from '../../src/gossip/base/counters.ts';
import type { ChannelStream } from '../../src/gossip/seal/channel.ts';
import { PlainChannel } from '../../src/gossip/seal/plain.ts';
import { STREAM_PAYLOAD_BYTES_MAX } from '../../src/gossip/seal/stream.ts';
import { ringOf, seededBytes, type TestNode, Wire } from './secure-rig.ts';

type Ends = { client: ChannelStream; server: ChannelStream };

/** Greets, and hands back what was written on the way. */
function greet({ client, server }: Ends): { hello: Uint8Array; answer: Uint8Array } {
  const hello = client.start();
  const answer = server.push(hello).write;
  client.push(answer);
  return { hello, answer };
}

function ends(a: TestNode, b: TestNode): Ends {
  return { client: a.secure.connect(b.at, b.id), server: b.secure.accept() };
}

function plainEnds(): Ends {
  const channel = (self: string): PlainChannel =>
    new PlainChannel({
      ...{ label: 'test', self, epoch: 1, random: seededBytes(self), counters: new Counters() },
      ...{ nowMs: () => 0, notice: () => undefined },
    });
  const [a, b] = [channel('aa'.repeat(16)), channel('bb'.repeat(16))];
  return { client: a.connect({ address: 1, port: 1 }, 'bb'.repeat(16)), server: b.accept() };
}

function make(): { wire: Wire; a: TestNode; b: TestNode } {
  const wire = new Wire();
  return { wire, a: wire.start('a', 1), b: wire.start('b', 2) };
}

t.test('payloads both ways, sealed or not', async (t) => {
  const { a, b } = make();
  for (const both of [ends(a, b), plainEnds()]) {
    const { client, server } = both;
    t.equal(server.start().length, 0);
    greet(both);
    t.ok(client.peer, 'the server has proved itself');
    for (const length of [1, 100, STREAM_PAYLOAD_BYTES_MAX]) {
      const payload = new Uint8Array(length).fill(length);
      const up = server.push(client.seal(payload));
      t.same(up.payloads, [payload], 'up');
      t.equal(up.write.length, 0);
      t.same(client.push(server.seal(payload)).payloads.length, 1, 'down');
    }
    t.ok(server.peer);
    t.throws(() => client.seal(new Uint8Array(0)), RangeError);
    t.throws(() => client.seal(new Uint8Array(65_537)), RangeError);
  }
});

t.test('any cut of the bytes comes to the same', async (t) => {
  const { a, b } = make();
  const both = ends(a, b);
  greet(both);
  const bytes = Buffer.concat([1, 2, 3].map((n) => both.client.seal(new Uint8Array(n * 50))));
  const payloads: number[] = [];
  for (const byte of bytes) {
    for (const payload of both.server.push(Uint8Array.of(byte)).payloads) {
      payloads.push(payload.length);
    }
  }
  t.same(payloads, [50, 100, 150]);
});

t.test('nobody is believed before it has proved the key', async (t) => {
  const { a, b } = make();
  const both = ends(a, b);
  t.throws(() => both.client.seal(Buffer.from('x')), RangeError);
  const { hello, answer } = greet(both);
  t.ok(answer.length <= hello.length, 'the server sends no more than it got');
  t.equal(both.client.peer, b.id);
  t.equal(both.server.peer, undefined, 'a hello may be a recording');
  t.throws(() => both.server.seal(Buffer.from('x')), RangeError);
  both.server.push(both.client.seal(Buffer.from('x')));
  t.equal(both.server.peer, a.id);
});

t.test('a recorded stream opens nothing', async (t) => {
  const { a, b } = make();
  const both = ends(a, b);
  const { hello, answer } = greet(both);
  const data = both.client.seal(Buffer.from('x'));
  both.server.push(data);
  const server = b.secure.accept();
  server.push(hello);
  t.throws(() => server.push(data), { code: 'tag' });
  t.equal(server.peer, undefined);
  const client = a.secure.connect(b.at, b.id);
  client.start();
  t.throws(() => client.push(answer), { code: 'tag' });
  t.throws(() => both.server.push(data), { code: 'tag' }, 'nor twice in one stream');
});

t.test('other keys, labels, nodes and bytes', async (t) => {
  const { wire, a, b } = make();
  const wrongKey = wire.start('c', 3, { ring: ringOf('other') });
  const otherLabel = wire.start('d', 4, { label: 'other' });
  const fault = (client: TestNode, server: TestNode, peer: string): unknown => {
    try {
      const one = client.secure.connect(server.at, peer);
      const other = server.secure.accept();
      one.push(other.push(one.start()).write);
      return 'fine';
    } catch (error) {
      return error instanceof Error && 'code' in error ? error.code : error;
    }
  };
  t.equal(fault(a, b, b.id), 'fine');
  t.equal(fault(wrongKey, b, b.id), 'key');
  t.equal(fault(otherLabel, b, b.id), 'tag');
  t.equal(fault(a, b, a.id), 'peer');
  const { client, server } = plainEnds();
  t.throws(() => b.secure.accept().push(client.start()), { code: 'format' });
  t.throws(() => server.push(a.secure.connect(b.at, b.id).start()), { code: 'format' });
});

t.test('every changed bit ends the stream', async (t) => {
  const { a, b } = make();
  const hello = a.secure.connect(b.at, b.id).start();
  for (let bit = 32; bit < hello.length * 8; bit++) {
    const changed = Uint8Array.from(hello);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    try {
      b.secure.accept().push(changed);
      t.fail(`bit ${bit} of the hello`);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
  for (let bit = 32; bit < 25 * 8; bit++) {
    const both = ends(a, b);
    greet(both);
    const data = both.client.seal(Buffer.from('x'));
    data[bit >> 3] = (data[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.throws(() => both.server.push(data), { code: 'tag' });
  }
});

t.test('a stream uses a key that the other end has', async (t) => {
  const wire = new Wire();
  const present = wire.start('present', 1, { ring: ringOf('new', 'key') });
  const absentee = wire.start('absentee', 2, { ring: ringOf('key') });
  wire.send(absentee, present, 'I am back');
  wire.run();
  const both = ends(present, absentee);
  greet(both);
  t.equal(both.client.peer, absentee.id);
});
