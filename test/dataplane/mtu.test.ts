import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
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
const STREAM_SECONDS = 4;
/** When the underlay shrinks, ms after the stream began, and to how many bytes. */
const SHRINKS = [
  [600, 1400],
  [2000, 1280],
] as const;
/** What was on its way when the path shrank may still arrive for so long, ms. */
const IN_FLIGHT_MS = 100;
/** A stream that flows moves this within a moment, also on a busy machine. */
const FLOWING_BYTES = 1_000_000;
/** With ICMP, TCP inside is to recover within five seconds; before the stream ends it must. */
const RECOVER_MS = 5000;
const VARIANTS = [
  ...ENCAPSULATIONS.map((encap) => [encap, 'auto'] as const),
  ['vxlan', 'off'] as const,
];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.jobs = 2;
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
      const stream = runTcpPair(
        {
          from: lab.container(0),
          to: lab.container(1),
          address: formatIpv4(lab.container(1).address),
        },
        { port: 7000, seconds: STREAM_SECONDS, sha256: true },
      );
      stream.catch(() => undefined);
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
      const { sent, received } = await stream;
      t.equal(received.bytes, sent.bytes, `${sent.bytes} bytes`);
      t.match(received.streams[0]?.sha256, /^[0-9a-f]{64}$/);
      t.strictSame(received.streams, sent.streams, 'the same bytes');
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
