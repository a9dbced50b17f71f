import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { parseSeed } from '../../../src/config/gossip.ts';
import { SeedResolver, SILENT_MS } from '../../../src/control/speakers/gossip/transport/seeds.ts';
import { SocketCounters } from '../../../src/control/speakers/gossip/transport/socket-counters.ts';
import {
  QUESTIONS_MAX,
  STREAMS_PER_ADDRESS_MAX,
  Streams,
} from '../../../src/control/speakers/gossip/transport/streams.ts';
import {
  SENDS_IN_FLIGHT_MAX,
  UdpSocket,
} from '../../../src/control/speakers/gossip/transport/udp.ts';
import { messageOf } from '../../../src/errors.ts';
import type { Want } from '../../../src/gossip/base/api.ts';
import { Counters } from '../../../src/gossip/base/counters.ts';
import { type Identity, makeIdentity, parseIdentity } from '../../../src/gossip/base/identity.ts';
import { Ed25519Verifier } from '../../../src/gossip/base/signer.ts';
import type { Channel } from '../../../src/gossip/seal/channel.ts';
import { PlainChannel } from '../../../src/gossip/seal/plain.ts';
import { SEED_ADDRESSES_MAX } from '../../../src/limits.ts';
import { silentLog } from '../../../src/log.ts';
import {
  type Endpoint,
  type NodeId,
  Question,
  type RawBlock,
} from '../../../src/wire/gossip/types.ts';
import { until } from '../../support/patience.ts';
import { freePort } from './loopback.ts';

const LOOPBACK = 0x7f000001;
const identity = () => parseIdentity(makeIdentity(randomBytes), 'test');
const [A, B] = [identity(), identity()] as const;
const [ID_A, ID_B] = [A.id, B.id];

t.test('UdpSocket carries datagrams, and no error ends it', async (t) => {
  const counters = new SocketCounters();
  const [portA, portB] = [await freePort(), await freePort()];
  const got: { from: Endpoint; text: string }[] = [];
  const open = (port: number) =>
    UdpSocket.open({
      bind: LOOPBACK,
      port,
      receive: (from, datagram) => got.push({ from, text: Buffer.from(datagram).toString() }),
      counters,
      log: silentLog,
    });
  const a = await open(portA);
  const b = await open(portB);
  await t.rejects(open(portA), { code: 'EADDRINUSE' });
  a.send({ address: LOOPBACK, port: portB }, Buffer.from('one'));
  await until('it arrives', 5000, () => got.length === 1);
  t.same(got, [{ from: { address: LOOPBACK, port: portA }, text: 'one' }]);

  // Nowhere, nobody, nonsense: lost and counted, and the next still goes.
  for (const to of [
    { address: 0xffffffff, port: portB },
    { address: LOOPBACK, port: 0 },
    { address: LOOPBACK, port: 70_000 },
  ]) {
    a.send(to, Buffer.from('lost'));
  }
  a.send({ address: LOOPBACK, port: portB }, Buffer.alloc(70_000));
  await until('they are counted', 5000, () => (counters.all()['udp.send_errors'] ?? 0) >= 4);
  a.send({ address: LOOPBACK, port: portB }, Buffer.from('two'));
  await until('it arrives', 5000, () => got.length === 2);

  for (let i = 0; i < SENDS_IN_FLIGHT_MAX + 100; i++) {
    a.send({ address: LOOPBACK, port: portB }, Buffer.from('many'));
  }
  t.equal(counters.all()['overflow.udp_sends'], 100, 'what waits has a bound');
  await a.close();
  a.send({ address: LOOPBACK, port: portB }, Buffer.from('late'));
  t.equal(counters.all()['udp.send_closed'], 1);
  await b.close();
});

t.test('SeedResolver looks names up again, and keeps what it knew', async (t) => {
  const counters = new SocketCounters();
  const told: Endpoint[][] = [];
  const warned: string[] = [];
  const answers = new Map<string, string[] | Error>([
    ['host-a', ['10.0.0.1', '10.0.0.2']],
    ['host-b', new Error('no such name')],
    ['host-c', Array.from({ length: 20 }, (_, i) => `10.0.1.${i}`)],
  ]);
  const seeds = new SeedResolver({
    changed: (endpoints) => told.push(endpoints),
    counters,
    log: { ...silentLog, warn: (cause, text) => warned.push(`${cause}: ${text}`) },
    isKnown: ({ address, port }) => address === 0x0a000008 && port === 7946,
    reasonFor: (address) => (address === 0x0a000009 ? 'another key' : ''),
    resolve: async (host) => {
      const answer = answers.get(host) ?? new Error('unexpected');
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  const list = ['host-a', 'host-a:7000', 'host-b', 'host-c'].map(parseSeed);
  seeds.set(list);
  await until('all are looked up', 5000, () => told.length === 2);
  const last = (): string[] =>
    (told.at(-1) ?? []).map(({ address, port }) => `${address.toString(16)}:${port}`);
  t.same(last().slice(0, 4), ['a000001:7946', 'a000002:7946', 'a000001:7000', 'a000002:7000']);
  t.equal(last().length, 4 + SEED_ADDRESSES_MAX, 'one name has only so many addresses');
  t.equal(counters.all()['overflow.seed_addresses'], 1);
  t.match(seeds.status()[2], { seed: 'host-b', addresses: [], error: 'no such name' });

  // A name that leads elsewhere, one that begins to work, one that is silent.
  answers.set('host-a', ['10.0.0.9']);
  answers.set('host-b', ['10.0.0.8']);
  answers.set('host-c', new Error('no answer'));
  seeds.set(list);
  await until('the new ones are told', 5000, () => last().includes('a000008:7946'));
  t.same(last().slice(0, 2), ['a000009:7946', 'a000009:7000']);
  t.equal(last().length, 3 + SEED_ADDRESSES_MAX, 'what was known of the silent one still counts');
  const answered = (): boolean[] => seeds.status().map((seed) => seed.answered);
  t.same(answered(), [false, false, true, false], 'a member is known to be at the third');
  seeds.heard({ address: 0x0a000009, port: 7000 });
  seeds.heard({ address: 0x0a0000ff, port: 7946 });
  t.same(answered(), [false, true, true, false]);
  warned.length = 0;
  for (const atMs of [0, SILENT_MS - 1, SILENT_MS, SILENT_MS + 1000]) seeds.review(atMs);
  t.match(warned, [
    'seeds: host-a: no answer yet: another key',
    /^seeds: host-c: no answer yet: is its port open/,
  ]);
  t.equal(warned.length, 2, 'each is said once');
  t.match(seeds.status()[3], { error: 'no answer' });
  seeds.close();
});

/** Longer than one part. */
const LONG_ANSWER = JSON.stringify('x'.repeat(100_000));

/** 1 is answered; 2 fails; no other question is known. */
function answers(question: number): Promise<string> | undefined {
  if (question === 1) return Promise.resolve(LONG_ANSWER);
  return question === 2 ? Promise.reject(new Error('a mistake')) : undefined;
}

type Pulled = { blocks: RawBlock[]; ok: boolean };

function pull(streams: Streams, port: number, wants: Want[], peer = ID_A): Promise<Pulled> {
  const blocks: RawBlock[] = [];
  return new Promise((resolve) => {
    streams.pull({ address: LOOPBACK, port }, peer, wants, {
      blocks: (raw) => blocks.push(...raw),
      end: (ok) => resolve({ blocks, ok }),
    });
  });
}

/** A server that has `count` blocks of 500 bytes, and a client beside it. */
async function pair(
  t: Test,
  count: number,
  serve?: (wants: Want[]) => Iterable<RawBlock[]>,
): Promise<{ client: Streams; port: number; counters: SocketCounters; asked: Want[][] }> {
  const counters = new SocketCounters();
  const asked: Want[][] = [];
  const block = (): RawBlock => ({ body: randomBytes(500), signature: randomBytes(64) });
  const channel = (self: NodeId): Channel =>
    new PlainChannel({
      ...{ self, label: 'test', epoch: 1, random: randomBytes, counters: new Counters() },
      nowMs: () => performance.now(),
      notice: () => undefined,
    });
  const open = async ({ id: self, signer }: Identity, port: number): Promise<Streams> => {
    const streams = await Streams.open({
      ...{ bind: LOOPBACK, port, counters, log: silentLog },
      channel: channel(self),
      ...{ self, signer, verifier: new Ed25519Verifier() },
      answer: ({ question, about, isProved }) =>
        question === Question.Explain ? Promise.resolve(`${about} ${isProved}`) : answers(question),
      serve:
        serve ??
        ((wants) => {
          asked.push(wants);
          return [Array.from({ length: count }, block)];
        }),
    });
    t.teardown(() => streams.close());
    return streams;
  };
  const port = await freePort();
  await open(A, port);
  return { client: await open(B, await freePort()), port, counters, asked };
}

const want = (count: number): Want[] => [{ owner: ID_A, epoch: 1, ranges: [[1, count]] }];

t.test('Streams bring what is wanted, whole', async (t) => {
  const { client, port, asked } = await pair(t, 500);
  const wants: Want[] = [
    {
      owner: ID_A,
      epoch: 1,
      ranges: [
        [1, 200],
        [300, 599],
      ],
    },
    { owner: ID_B, epoch: 7, ranges: [[5, 5]] },
  ];
  const { blocks, ok } = await pull(client, port, wants);
  t.equal(ok, true);
  t.equal(blocks.length, 500);
  t.equal(blocks[499]?.body.length, 500);
  t.same(asked, [wants]);
});

t.test('a stream that is cut, lies or is refused ends, and only once', async (t) => {
  const short = await pair(t, 10);
  t.match(await pull(short.client, short.port, want(5)), { ok: false }, 'more than was asked for');
  t.match(
    await pull(short.client, short.port, want(10), ID_B),
    { ok: false, blocks: [] },
    'another node is there than was meant',
  );
  t.match(await pull(short.client, await freePort(), want(1)), { ok: false, blocks: [] }, 'nobody');
  const failing = await pair(t, 0, () => {
    throw new Error('a mistake');
  });
  t.match(await pull(failing.client, failing.port, want(1)), { ok: false, blocks: [] });
  t.match(await pull(short.client, short.port, want(10)), { ok: true }, 'and the next one works');
});

t.test('a member is asked, and what it does not know it does not tell', async (t) => {
  const { client, port, counters } = await pair(t, 1);
  const to = { address: LOOPBACK, port };
  t.equal(await client.ask(to, ID_A, Question.Counters), LONG_ANSWER);
  t.equal(counters.all()['streams.questions'], 1);
  await t.rejects(client.ask(to, ID_A, Question.Paths), /hung up/, 'the answer failed');
  await t.rejects(client.ask(to, ID_B, Question.Counters), 'another node than was meant');
  await t.rejects(
    client.ask({ ...to, port: await freePort() }, ID_A, Question.Counters),
    /REFUSED/,
  );
  t.equal(await client.ask(to, ID_A, Question.Explain, 'what'), 'what true', 'signed');
  t.equal(await client.ask(to, ID_A, Question.Explain), ' false', 'about nothing: not signed');
  const many = Array.from({ length: QUESTIONS_MAX + 1 }, () =>
    client.ask(to, ID_A, Question.Counters).then(
      () => '',
      (error: unknown) => messageOf(error),
    ),
  );
  t.equal((await Promise.all(many)).at(-1), 'too many questions at once');
  // The server has to see first that the questions have hung up: few streams of one address are served at once.
  const pulled = () => pull(client, port, want(1));
  t.ok(await until('blocks as before', 5000, async () => (await pulled()).ok), 'blocks as before');
});

t.test('strangers on the stream port: no byte in answer, and a bound', async (t) => {
  const { client, port, counters } = await pair(t, 10);
  const sockets: { socket: Socket; bytes: number; closed: boolean }[] = [];
  const dial = (hello: Buffer): void => {
    const socket = connect(port, '127.0.0.1');
    const state = { socket, bytes: 0, closed: false };
    socket.on('data', (chunk) => {
      state.bytes += chunk.length;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      state.closed = true;
    });
    socket.write(hello);
    sockets.push(state);
  };
  for (const hello of [
    'GET / HTTP/1.1\r\n\r\n',
    '\xff\xff\xff\xff',
    '\0\0\0\0',
    'x'.repeat(100_000),
  ]) {
    dial(Buffer.from(hello, 'latin1'));
    await until('it is thrown out', 5000, () => sockets.at(-1)?.closed === true);
  }
  t.equal(counters.all()['streams.failed'], 4);
  // Silent ones: a few from one address, and the rest is refused at once.
  for (let i = 0; i < 20; i++) dial(Buffer.alloc(0));
  await until('the rest is refused', 5000, () => {
    return sockets.slice(4).filter(({ closed }) => closed).length >= 20 - STREAMS_PER_ADDRESS_MAX;
  });
  await until('the silent ones run out of time', 5000, () => sockets.every(({ closed }) => closed));
  const { 'streams.timeouts': waited = 0, 'streams.refused_client': refused } = counters.all();
  t.ok(waited > 0 && waited <= STREAMS_PER_ADDRESS_MAX, `${waited} were let in to wait`);
  t.equal(refused, 20 - waited);
  t.equal(
    sockets.reduce((sum, { bytes }) => sum + bytes, 0),
    0,
    'nobody got a byte',
  );
  t.match(await pull(client, port, want(10)), { ok: true });
});
