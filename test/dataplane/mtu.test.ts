import { createInterface } from 'node:readline';
import t from 'tap';
import { Lab, type LabContainer } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { DATAPATHS, skipWithoutRouted } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import {
  CONTAINER_NUMBER,
  countersOf,
  ENCAPSULATIONS,
  type Encapsulation,
  fanwayUp,
  imbalance,
  joinFan,
} from '../support/target.ts';
import { FRAGMENTS, Wire } from '../support/wire.ts';

const skip = skipWithoutTun();
t.setTimeout(1_200_000);

const BRIDGE = 'fan-test';
/** The sender's own end, should nobody tell it to stop. */
const STREAM_MS_MAX = 60_000;
/** Slow enough to leave a busy machine its retransmission timers, in bursts that make trains. */
const CHUNK_BYTES = 128 * 1024;
const CHUNK_INTERVAL_MS = 8;
/** To how many bytes the underlay shrinks, once the stream flows. */
const SHRINKS = [1400, 1280];
/** What was on its way when the path shrank may still arrive for so long, ms. */
const IN_FLIGHT_MS = 100;
/** A stream that flows moves this within a moment, also on a busy machine. */
const FLOWING_BYTES = 500_000;
/** With ICMP, TCP inside is to recover within five seconds. */
const RECOVER_MS = 5000;

/** Sends until its input ends; both ends print bytes and their SHA-256. */
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
    process.stdin.on('end', end).resume();
    setTimeout(end, Number(ms)).unref();
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

/** A paced TCP stream from one container to another; `finish` gives what each end printed last. */
async function startStream(
  from: LabContainer,
  to: LabContainer,
): Promise<{ finish(): Promise<[string, string]> }> {
  const start = (container: LabContainer, program: string, args: string[]) => {
    const child = container.spawn(process.execPath, ['-e', program, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (child.stdout === null) throw new Error('no output');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return { child, next: async (): Promise<string> => (await lines.next()).value ?? '' };
  };
  const receiver = start(to, RECEIVER, []);
  await receiver.next();
  const sender = start(from, SENDER, [
    formatIpv4(to.address),
    ...[STREAM_MS_MAX, CHUNK_BYTES, CHUNK_INTERVAL_MS].map(String),
  ]);
  return {
    finish() {
      sender.child.stdin?.end();
      return Promise.all([sender.next(), receiver.next()]);
    },
  };
}

type Case = {
  encap: Encapsulation;
  datapath: string;
  flags: readonly string[];
  /** Where `npm test` tries it; CI tries it in both places. */
  short?: 'here' | 'there';
};

/** Where time is short each encapsulation and data path is tried, and each place. */
const CASES: readonly Case[] = DATAPATHS.flatMap(({ name: datapath, flags }): Case[] =>
  datapath === 'kernel'
    ? [
        { encap: 'vxlan', datapath, flags, short: 'there' },
        { encap: 'ipip', datapath, flags },
      ]
    : [
        ...ENCAPSULATIONS.map(
          (encap): Case => ({ encap, datapath, flags, short: encap === 'ipip' ? 'there' : 'here' }),
        ),
        { encap: 'vxlan', datapath, flags: [...flags, '--offload', 'off'], short: 'there' },
      ],
);

/** Why a case cannot be tried here, or false. */
async function skipCase({ encap, datapath }: Case): Promise<string | false> {
  return skip || (datapath === 'kernel' && encap === 'ipip' && (await skipWithoutRouted('ipip')));
}

t.jobs = 4;
for (const where of ['here', 'there'] as const) {
  const what = { here: 'our own interface', there: 'a router on the way' }[where];
  const routed = where === 'there';
  for (const one of CASES) {
    const { encap, flags } = one;
    const title = `TCP through ${encap} while ${what} shrinks, ${flags.join(' ')}`;
    const skipped = (await skipCase(one)) || (one.short !== where && skipLong);
    t.test(title, { skip: skipped, buffered: true }, async (t) => {
      const lab = await Lab.create({ hosts: 2, middle: routed ? 'routed' : 'switch' });
      t.teardown(() => lab.close());
      for (const host of lab.hosts) {
        const fan = ['250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE];
        await fanwayUp(host, ...fan, '--encap', encap, ...flags);
        await joinFan(lab.container(host.index), BRIDGE, CONTAINER_NUMBER);
      }
      const sniffer = Wire.open(lab.host(1), 'eth0', FRAGMENTS);
      t.teardown(() => sniffer.close());
      const { finish } = await startStream(lab.container(0), lab.container(1));
      const delivered = async (): Promise<number> =>
        (await countersOf(lab.host(1)))['ingress.deliveredBytes'] ?? 0;
      const flows = async (when: string): Promise<void> => {
        const before = await delivered();
        const startMs = performance.now();
        await until(`it flows ${when}`, RECOVER_MS, async () => {
          return (await delivered()) - before >= FLOWING_BYTES;
        });
        t.pass(`it flows ${when}, after ${Math.round(performance.now() - startMs)} ms`);
      };
      await flows('at first');
      for (const mtu of SHRINKS) {
        if (routed) await lab.setPortMtu(1, mtu);
        else {
          await lab.host(0).netlink.setLink('eth0', { mtu });
          await lab.setPortMtu(0, mtu);
        }
        await sleep(IN_FLIGHT_MS);
        await flows(`at ${mtu}`);
      }
      const [sent, received] = await finish();
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
