import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import t from 'tap';
import { type Lab, type LabContainer, portName } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { startTraffic } from '../../../src/traffic/run.ts';
import { attach, checkBalance, countersOf, growth, nowMs, statusOf } from '../../faults/rig.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE } from '../../support/patience.ts';
import { skipWithoutTun } from '../privileges.ts';
import { testProgram } from '../relay.ts';
import type { Damage, TrainRelayStart } from '../train-relay-main.ts';
import { allAlive, joinHost, makeCluster, OVERLAY, runFanway, until } from './cluster.ts';

const skip = skipWithoutTun() || skipLong;
const PORT = 5001;
const STREAM_S = 200;
const PROGRESS_MS = 100;
const LAB = { hosts: 2, middle: 'wired', containersPerHost: 1 } as const;
/** So long throughput may be down where trains arrive damaged. */
const DOWN_MS = 3000;
/** What arrives between two reports of a stream that flows: damaged, it makes some 10 kB a second. */
const FLOWS_BYTES = 1e6;

async function startRelay(
  lab: Lab,
  damage: Damage,
): Promise<{ child: ChildProcess; set(damage: Damage): Promise<void> }> {
  const ports = [];
  for (const host of [0, 1]) ports.push((await lab.middle.netlink.link(portName(host))).index);
  const start: TrainRelayStart = { ports, damage };
  const program = testProgram('netns/train-relay-main.js');
  const child = lab.middle.spawn(process.execPath, [program, JSON.stringify(start)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { stdout } = child;
  if (stdout === null) throw new TypeError('the relay is piped');
  const lines = createInterface({ input: stdout });
  const line = (): Promise<unknown> => new Promise((resolve) => lines.once('line', resolve));
  await line();
  return {
    child,
    async set(damage) {
      child.stdin?.write(`${damage}\n`);
      await line();
    },
  };
}

/** A TCP stream for as long as it takes. */
async function startStream(from: LabContainer, to: LabContainer) {
  const address = formatIpv4(to.address);
  const common = { port: PORT, seconds: STREAM_S, timeout: STREAM_S, progress: PROGRESS_MS };
  const receiver = startTraffic(to, 'tcp', { listen: address, ...common }, STREAM_S * 1000);
  const arrived: { atMs: number; bytes: number }[] = [];
  receiver.onInterim = (report) => {
    if (report.event !== 'tcp-progress') return;
    arrived.push({ atMs: report.atNs / 1e6, bytes: report.bytes });
  };
  await receiver.ready;
  const beganMs = nowMs();
  const sender = startTraffic(from, 'tcp', { connect: address, ...common }, STREAM_S * 1000);
  const isFlow = (i: number): boolean =>
    (arrived[i]?.bytes ?? 0) - (arrived[i - 1]?.bytes ?? 0) > FLOWS_BYTES;
  return {
    /** When it began to flow, ms after its beginning; undefined = not yet. */
    flowsAfterMs(): number | undefined {
      const first = arrived.find((_, i) => isFlow(i));
      return first && first.atMs - beganMs;
    },
    /** Whether it flows now. */
    flows: (): boolean => isFlow(arrived.length - 1),
    end(): void {
      sender.kill();
      receiver.kill();
    },
  };
}

t.test('cards that damage trains', { skip }, async (t) => {
  const cluster = await makeCluster(t, { ...LAB, fans: false });
  const { lab } = cluster;
  const relay = await startRelay(lab, 'equal');
  t.teardown(() => relay.child.stdin?.end());
  const [a, b] = [lab.host(0), lab.host(1)];
  for (const host of lab.hosts) {
    await runFanway(host, ['up', OVERLAY, 'eth0/16', 'bridge', 'fan-250']);
    await attach(host);
    await joinHost(cluster, host);
  }
  await allAlive(lab.hosts);
  const [from, to] = [lab.container(0), lab.container(1)];
  const before = await countersOf(b);
  const known = async (trains: string): Promise<string> => {
    const { value } = await until(`trains: ${trains}`, async () => {
      const path = (await statusOf(a)).paths.find(({ peer }) => peer === formatIpv4(b.address));
      return path?.trains === trains && runFanway(a, ['status']).catch(String);
    });
    return value;
  };

  const stream = await startStream(from, to);
  t.teardown(() => stream.end());
  const { value: downMs } = await until('the stream flows', async () => stream.flowsAfterMs());
  t.ok(downMs < DOWN_MS * PATIENCE, `down for ${Math.round(downMs)} ms (promised: ${DOWN_MS})`);
  t.match(await known('uneven'), /trains of datagrams of one length arrive damaged/);
  const sent = await countersOf(a);

  await relay.set('all');
  await a.netlink.addRoute({ dst: { address: b.address, length: 32 }, dev: 'eth0', mtu: 1500 });
  t.match(await known('none'), /datagrams go one by one/);
  await until('it still flows', async () => stream.flows());
  stream.end();

  const grown = growth(before, await countersOf(b), /^(event|ingress)/);
  t.equal(grown['ingress.drop.bad_checksum'] ?? 0, 0, 'nothing inside is damaged');
  t.ok((grown['event.train_tests'] ?? 0) > 0, 'tests came there');
  t.ok((sent['event.trains_sent'] ?? 0) > 0, 'trains went out');
  for (const host of lab.hosts) await checkBalance(t, host);
});
