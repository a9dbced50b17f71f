import { createInterface } from 'node:readline';
import t from 'tap';
import { Lab, type LabContainer } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import {
  CONTAINER_NUMBER,
  countersOf,
  ENCAPSULATIONS,
  fanwayUp,
  imbalance,
  joinFan,
} from '../support/target.ts';
import { FRAGMENTS, Wire } from '../support/wire.ts';

const skip = skipWithoutTun();
t.setTimeout(120_000);

const BRIDGE = 'fan-test';
const STREAM_MS = 4000;
/** Slow enough to leave a busy machine its retransmission timers, in bursts that make trains. */
const CHUNK_BYTES = 128 * 1024;
const CHUNK_INTERVAL_MS = 8;
/** When the underlay shrinks, ms after the stream began, and to how many bytes. */
const SHRINKS = [
  [600, 1400],
  [2000, 1280],
] as const;
/** What was on its way when the path shrank may still arrive for so long, ms. */
const IN_FLIGHT_MS = 100;
/** A stream that flows moves this within a moment, also on a busy machine. */
const FLOWING_BYTES = 500_000;
/** With ICMP, TCP inside is to recover within five seconds. */
const RECOVER_MS = 5000;

/** Sends for STREAM_MS, or until its input ends; both ends print bytes and their SHA-256. */
const SENDER = `
  const [address, ms, bytes, interval] = process.argv.slice(1);
  const hash = require('crypto').createHash('sha256');
  const socket = require('net').connect(7000, address);
  let sent = 0;
  let timer;
  const end = () => {
    clearInterval(timer);
    socket.end(() => console.log(sent, hash.digest('hex')));
  };
  socket.on('connect', () => {
    timer = setInterval(() => {
      if (socket.writableLength > 4 * bytes) return;
      const chunk = require('crypto').randomBytes(Number(bytes));
      hash.update(chunk);
      sent += chunk.length;
      socket.write(chunk);
    }, Number(interval));
    setTimeout(end, Number(ms));
  });
`;
const RECEIVER = `
  const hash = require('crypto').createHash('sha256');
  let received = 0;
  const server = require('net').createServer((socket) => {
    socket.on('data', (chunk) => {
      hash.update(chunk);
      received += chunk.length;
    });
    socket.on('end', () => {
      console.log(received, hash.digest('hex'));
      socket.end();
      server.close();
    });
  });
  server.listen(7000, () => console.log('ready'));
`;

/** A paced TCP stream from one container to another; resolves to what each end printed last. */
async function startStream(
  from: LabContainer,
  to: LabContainer,
): Promise<{ done: Promise<[string, string]> }> {
  const start = (container: LabContainer, program: string, args: string[]): Lines => {
    const child = container.spawn(process.execPath, ['-e', program, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.stdout === null) throw new Error('no output');
    return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  };
  const receiver = start(to, RECEIVER, []);
  await receiver.next();
  const sender = start(from, SENDER, [
    formatIpv4(to.address),
    ...[STREAM_MS, CHUNK_BYTES, CHUNK_INTERVAL_MS].map(String),
  ]);
  const last = async (lines: Lines): Promise<string> => (await lines.next()).value ?? '';
  return { done: Promise.all([last(sender), last(receiver)]) };
}
type Lines = AsyncIterator<string, undefined>;

const VARIANTS = [
  ...ENCAPSULATIONS.map((encap) => [encap, 'auto'] as const),
  ['vxlan', 'off'] as const,
];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.jobs = 4;
for (const where of ['our own interface', 'a router on the way'] as const) {
  for (const [encap, offload] of VARIANTS) {
    const title = `TCP through ${encap} while ${where} shrinks, offload ${offload}`;
    t.test(title, { skip, buffered: true }, async (t) => {
      const routed = where === 'a router on the way';
      const lab = await Lab.create({ hosts: 2, middle: routed ? 'routed' : 'switch' });
      t.teardown(() => lab.close());
      for (const host of lab.hosts) {
        const fan = ['250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE];
        await fanwayUp(host, ...fan, '--encap', encap, '--offload', offload);
        await joinFan(lab.container(host.index), BRIDGE, CONTAINER_NUMBER);
      }
      const sniffer = Wire.open(lab.host(1), 'eth0', FRAGMENTS);
      t.teardown(() => sniffer.close());
      const { done } = await startStream(lab.container(0), lab.container(1));
      const started = performance.now();
      const delivered = async (): Promise<number> =>
        (await countersOf(lab.host(1)))['ingress.deliveredBytes'] ?? 0;
      for (const [atMs, mtu] of SHRINKS) {
        await pause(started + atMs - performance.now());
        if (routed) await lab.setPortMtu(1, mtu);
        else {
          await lab.host(0).netlink.setLink('eth0', { mtu });
          await lab.setPortMtu(0, mtu);
        }
        await pause(IN_FLIGHT_MS);
        const before = await delivered();
        let bytes = 0;
        while (bytes < FLOWING_BYTES && performance.now() - started < atMs + RECOVER_MS) {
          await pause(50);
          bytes = (await delivered()) - before;
        }
        const took = Math.round(performance.now() - started - atMs);
        t.ok(bytes >= FLOWING_BYTES, `${bytes} bytes within ${took} ms of ${mtu}`);
      }
      const [sent, received] = await done;
      t.match(sent, /^[1-9]\d+ [0-9a-f]{64}$/);
      t.equal(received, sent, 'the same bytes at both ends');
      const fragments = sniffer.take().map(({ bytes }) => bytes.subarray(0, 60).toString('hex'));
      t.strictSame(fragments, [], 'nothing in fragments on the underlay');
      for (const host of lab.hosts) {
        const counters = Object.entries(await countersOf(host));
        const dropped = counters.filter(([name, value]) => value > 0 && /drop|event/.test(name));
        t.comment(`${host.name}: ${dropped.map((entry) => entry.join(' ')).join(', ')}`);
      }
      t.equal(await imbalance(lab.hosts), 0, 'received = delivered + named drops');
    });
  }
}
