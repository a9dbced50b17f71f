import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { type LabHost, portName } from '../../../src/demo/lab.ts';
import { runFanway } from '../../../src/demo/router.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { runEcho, runTcpPair, runUdpPair } from '../../../src/traffic/run.ts';
import {
  BRIDGE,
  checkBalance,
  countersOf,
  dataProcess,
  killDataProcess,
  noteDeath,
  type Rig,
  startRig,
  statusOf,
} from '../../faults/rig.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { skipLong } from '../../support/long.ts';
import { sleep, until } from '../../support/patience.ts';

const skip = skipWithoutTun();
const timeout = 400_000;
t.setTimeout(2 * timeout);

const MBITS = 20;
const PORT = 7200;

t.test(
  'a rate shapes, outlives its data process and its device, and is told',
  { skip, timeout },
  async (t) => {
    const rig = await startRig(t, {
      up: ['--rate', `${MBITS}M`, '--flow-keys', 'tunnel-src,tunnel-proto'],
    });
    const { a, from, to } = rig;
    const path = { from, to, address: formatIpv4(to.address) };
    /** Twice the rate for half a second; how much of it arrived, Mb/s. */
    const flood = async (): Promise<number> => {
      const options = { port: PORT, size: 1200, seconds: 0.5, rate: (2 * MBITS * 1e6) / 8 / 1200 };
      const { received } = await runUdpPair(path, options);
      return (received.bytes * 8) / Math.max(received.seconds, 0.5) / 1e6;
    };
    const beside = runEcho(from, [formatIpv4(to.address)], {
      interval: 50,
      seconds: 0.5,
      timeout: 5000,
    });
    const arrived = await flood();
    t.ok(arrived < MBITS * 1.4, `${arrived.toFixed(1)} Mb/s of ${2 * MBITS}, the rate is ${MBITS}`);
    t.equal(
      (await beside).targets.map(({ sent, received }) => sent - received).join(),
      '0',
      'no ping beside it is lost',
    );
    const first = await countersOf(a);
    t.ok((first['queue.entered'] ?? 0) > 100, 'it waited');
    t.match((await statusOf(a)).links[0]?.rate, {
      ...{ asked: `${MBITS}M`, bits: MBITS * 1e6, flowKeys: 'tunnel-src,tunnel-proto' },
    });
    const text = await runFanway(a, ['status']);
    t.match(text, new RegExp(`rate ${MBITS}M: .* waiting by tunnel-src,tunnel-proto, `));
    const { pid } = await killDataProcess(a);
    await until('another data process', 3000, async () => {
      const now = await dataProcess(a);
      return now.alive && now.pid !== pid && now.pid !== 0;
    });
    await changeLive(t, rig);
    const before = await countersOf(a);
    await until('its successor shapes too', 5000, async () => {
      await flood();
      return ((await countersOf(a))['queue.entered'] ?? 0) > (before['queue.entered'] ?? 0) + 100;
    });
    await checkBalance(t, a);
  },
);

/** Another rate while traffic flows, control killed in the middle of it; then none, and the first one again. */
async function changeLive(t: Test, { a, b, from, to }: Rig): Promise<void> {
  const fan = ['250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE];
  const first = ['--rate', `${MBITS}M`, '--flow-keys', 'tunnel-src,tunnel-proto'];
  const second = ['--rate', `${MBITS / 2}M`, '--flow-keys', 'tunnel-dst'];
  const planned = await runFanway(a, ['plan', ...fan, ...second]);
  t.match(planned, /rate 10M from now on, not 20M/);
  t.match(planned, /flow-keys tunnel-dst from now on, not tunnel-src,tunnel-proto/);
  const beside = runTcpPair(
    { from, to, address: formatIpv4(to.address) },
    { port: PORT + 2, seconds: 3 },
  );
  const before = await dataProcess(a);
  await runFanway(a, ['up', ...fan, ...second]);
  const rate = async () => (await statusOf(a)).links[0]?.rate;
  const asked = { asked: `${MBITS / 2}M`, bits: (MBITS / 2) * 1e6, flowKeys: 'tunnel-dst' };
  t.match(await rate(), asked);
  t.equal((await dataProcess(a)).pid, before.pid, 'the data process goes on');
  await restartControl(a);
  t.match(await rate(), asked, 'its successor knows');
  t.ok((await beside).received.gbps > 0, 'TCP goes through all that');
  await runFanway(a, ['up', ...fan]);
  t.equal(await rate(), null, 'none any more');
  const toHost = `${formatIpv4(b.address)}=${MBITS / 2}M`;
  await runFanway(a, ['up', ...fan, '--peer-rate', toHost]);
  t.match(await rate(), { asked: 'none', peers: toHost });
  const { received } = await runTcpPair(
    { from, to, address: formatIpv4(to.address) },
    { port: PORT + 3, seconds: 1 },
  );
  const mbits = received.gbps * 1000;
  t.ok(mbits < MBITS * 0.7, `${mbits.toFixed(1)} Mb/s to a host that may be sent ${MBITS / 2}`);
  t.match(await runFanway(a, ['status']), new RegExp(`rate none, to ${toHost}: `));
  await runFanway(a, ['up', ...fan, ...first]);
  t.match(await rate(), { asked: `${MBITS}M`, flowKeys: 'tunnel-src,tunnel-proto' });
}

/** Kills control, and waits until another one has the link. */
async function restartControl(host: LabHost): Promise<void> {
  const { pid } = await statusOf(host);
  process.kill(pid, 'SIGKILL');
  noteDeath(host);
  await until('another control', 10_000, async () => {
    const status = await statusOf(host).catch(() => undefined);
    return status !== undefined && status.pid !== pid && status.links[0]?.state === 'up';
  });
}

const noTc = spawnSync('tc', ['-V']).status !== 0 && 'tc (iproute2) is not installed';

t.test('rate auto finds a bottleneck', { skip: skip || skipLong || noTc, timeout }, async (t) => {
  const rig = await startRig(t, { up: ['--rate', 'auto'] });
  const { lab, a, b, from, to } = rig;
  const how = ['tbf', 'rate', '30mbit', 'burst', '16kb', 'latency', '300ms'];
  const narrow = (host: number, words = how, verb = 'add') =>
    lab.middle.run(() => spawnSync('tc', ['qdisc', verb, 'dev', portName(host), 'root', ...words]))
      .status;
  t.equal(narrow(1), 0, 'tc makes a tbf');
  const rate = async (): Promise<number> => (await statusOf(a)).links[0]?.rate?.bits ?? -1;
  t.equal(await rate(), 0, 'none before there is traffic');
  const path = { from, to, address: formatIpv4(to.address) };
  const follows = (what: string, least: number, most: number) =>
    until(what, 30_000, async () => {
      await runTcpPair(path, { port: PORT, seconds: 3 });
      const bits = await rate();
      return bits > least && bits < most;
    });
  await follows('a rate near the bottleneck', 20e6, 33e6);
  const slower = how.map((word) => (word === '30mbit' ? '10mbit' : word));
  t.equal(narrow(1, slower, 'change'), 0, 'tc makes it slower');
  await follows('the rate comes down with it', 5e6, 11e6);
  t.equal(narrow(1, how, 'change'), 0);
  await follows('and goes up again', 20e6, 33e6);

  // Both directions full: each host sees what waits on its own way out, and not the other's.
  t.equal(narrow(0), 0, 'tc makes another one, for the way back');
  const seconds = 12;
  const there = runTcpPair(
    { from, to, address: formatIpv4(to.address) },
    { port: PORT, seconds, streams: 4 },
  );
  const back = runTcpPair(
    { from: to, to: from, address: formatIpv4(from.address) },
    { port: PORT + 1, seconds, streams: 4 },
  );
  await sleep(4000);
  const beside = await runEcho(from, [formatIpv4(to.address)], {
    ...{ interval: 50, seconds: 6, timeout: 5000 },
  });
  for (const [what, run] of [
    ['there', there],
    ['back', back],
  ] as const) {
    const { received } = await run;
    const mbits = received.gbps * 1000;
    // Who takes the other's queue for its own comes down to less than 1 Mb/s.
    t.ok(mbits > 0.2 * 30, `${mbits.toFixed(1)} Mb/s ${what}, both ways at a time`);
  }
  const p99 = (beside.targets[0]?.rtt.p99Us ?? 0) / 1000;
  t.ok(p99 > 0 && p99 < 300, `ping p99 ${p99.toFixed(1)} ms; the two queues hold 300 each`);
  for (const host of [a, b]) {
    t.same((await statusOf(host)).links[0]?.rate?.roundTrips, [], 'the other side tells its times');
  }
  const found = await rate();
  await restartControl(a);
  // A trial that was under way ends with the traffic.
  const kept = (await rate()) / found;
  t.ok(Math.abs(kept - 1) < 0.15, `what was found is kept across a restart of control: ${kept}`);
  await checkBalance(t, a);
});
