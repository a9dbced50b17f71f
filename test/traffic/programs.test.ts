import { spawn } from 'node:child_process';
import t from 'tap';
import { runEcho, runTcpPair, runUdpPair, startTraffic } from '../../src/traffic/run.ts';

/** The namespace the test runs in: everything here goes over loopback. */
const here = { spawn };
const path = { from: here, to: here, address: '127.0.0.1' };

t.test('TCP carries counted bytes with equal hashes at both ends', async (t) => {
  for (const streams of [1, 3]) {
    const bytes = 8 * 1024 * 1024 + 7;
    const { sent, received } = await runTcpPair(path, {
      port: 20001,
      streams,
      bytes,
      sha256: true,
    });
    t.equal(sent.role, 'send');
    t.equal(received.role, 'receive');
    t.equal(sent.bytes, bytes);
    t.equal(received.bytes, bytes);
    const hashes = (report: typeof sent) => report.streams.map((stream) => stream.sha256).sort();
    t.same(hashes(received), hashes(sent));
    t.equal(new Set(hashes(sent)).size, streams, 'each stream carries other data');
  }
});

t.test('TCP for a time', async (t) => {
  const { received } = await runTcpPair(path, { port: 20002, seconds: 0.2 });
  t.ok(received.bytes > 1_000_000);
  t.ok(received.seconds > 0.1 && received.seconds < 5);
});

t.test('TCP in reverse: the listening side sends', async (t) => {
  const options = { port: 20007, bytes: 1_000_000, reverse: true };
  const listener = startTraffic(here, 'tcp', { listen: '127.0.0.1', ...options });
  await listener.ready;
  const caller = startTraffic(here, 'tcp', { connect: '127.0.0.1', ...options });
  const [sent, received] = await Promise.all([listener.result, caller.result]);
  t.same([sent.role, sent.bytes], ['send', 1_000_000]);
  t.same([received.role, received.bytes], ['receive', 1_000_000]);
});

t.test('UDP is paced and counted by flow', async (t) => {
  const options = { port: 20003, rate: 5000, seconds: 0.4, size: 200, flows: 8 };
  const { sent, received } = await runUdpPair(path, options);
  t.ok(sent.sent > 500 && sent.sent <= 2001, `${sent.sent} sent`);
  t.equal(received.received, sent.sent);
  t.equal(received.bytes, sent.sent * 200);
  t.equal(received.flows, 8);
  t.equal(received.missing + received.duplicates + received.late + received.foreign, 0);
  t.equal(received.latency.count, sent.sent);
});

t.test('UDP flood stops at its count', async (t) => {
  const { sent, received } = await runUdpPair(path, { port: 20004, rate: 0, count: 1000 });
  t.equal(sent.sent, 1000);
  t.equal(received.received, 1000);
});

t.test('a datagram of another size is foreign', async (t) => {
  const receiver = startTraffic(here, 'udp-receive', {
    listen: '127.0.0.1',
    port: 20005,
    size: 64,
  });
  await receiver.ready;
  for (const size of [63, 65, 64]) {
    const connect = '127.0.0.1';
    await startTraffic(here, 'udp-send', { connect, port: 20005, size, count: 1 }).result;
  }
  const { received, foreign } = await receiver.finish();
  t.same({ received, foreign }, { received: 1, foreign: 2 });
});

t.test('echo requests are answered', async (t) => {
  const result = await runEcho(here, ['127.0.0.1', '127.0.0.2'], { count: 20 }).catch(
    (error: Error) => error,
  );
  if (result instanceof Error) {
    t.match(result.message, /EPERM/);
    t.pass('echo', { skip: 'raw sockets need CAP_NET_RAW' });
    return;
  }
  t.same(
    result.targets.map(({ target, sent, received }) => ({ target, sent, received })),
    [
      { target: '127.0.0.1', sent: 20, received: 20 },
      { target: '127.0.0.2', sent: 20, received: 20 },
    ],
  );
});

t.test('a program that fails says so', async (t) => {
  const refused = startTraffic(here, 'tcp', { connect: '127.0.0.1', port: 9 });
  await t.rejects(refused.result, /traffic tcp: connect: ECONNREFUSED/);
  await t.rejects(startTraffic(here, 'tcp', { nonsense: 1 }).result, /--port is missing/);
});

t.test('a program ends with its starter', async (t) => {
  const receiver = startTraffic(here, 'tcp', { listen: '127.0.0.1', port: 20006 });
  await receiver.ready;
  await t.rejects(receiver.finish(), /stopped/);
});
