import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { runTcpPair, runUdpPair } from '../../src/traffic/run.ts';
import { statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { countersOf, imbalance, joinFan } from '../support/target.ts';

const QUEUES = 2;
const BRIDGE = 'fan-250';
const FLOWS = 64;
const STREAM_BYTES = (skipLong === false ? 64 : 16) << 20;

/** Runs `fanway daemon` with two data processes on a host, until the lab closes. */
async function startDaemon(host: LabHost, directory: string, encap: string): Promise<void> {
  const conf = join(directory, `${host.name}.conf`);
  const text = [
    '[router]',
    `queues = ${QUEUES}`,
    '[fan]',
    'overlay = 250.0.0.0/8',
    'underlay = eth0/16',
    `encap = ${encap}`,
    `bridge = ${BRIDGE}`,
    'masquerade = no',
    '',
  ].join('\n');
  writeFileSync(conf, text, { mode: 0o600 });
  host.spawn(process.execPath, [join(distDirectory(), 'fanway.js'), 'daemon', '-c', conf], {
    env: host.environment,
    stdio: 'ignore',
  });
  await until('both data processes run, and the fan is up', 20_000, async () => {
    const status = await statusOf(host).catch(() => undefined);
    const alive = status?.processes.filter((process) => process.alive).length;
    return alive === QUEUES && status?.links[0]?.state === 'up';
  });
}

for (const encap of ['vxlan', 'ipip', 'fou']) {
  t.test(
    `${encap} with two queues carries every flow whole`,
    { skip: skipWithoutTun() || (encap === 'ipip' && skipLong) },
    async (t) => {
      const lab = await Lab.create({ hosts: 2, containersPerHost: 1 });
      t.teardown(() => lab.close());
      const [a, b] = [lab.container(0, 0), lab.container(1, 0)];
      for (const host of lab.hosts) await startDaemon(host, t.testdir({}), encap);
      await joinFan(a, BRIDGE, 10);
      await joinFan(b, BRIDGE, 10);

      const path = { from: a, to: b, address: formatIpv4(b.address) };
      const { sent, received } = await runTcpPair(path, {
        port: 5001,
        streams: 8,
        bytes: STREAM_BYTES,
        sha256: true,
      });
      t.equal(received.bytes, sent.bytes);
      t.same(
        received.streams.map((stream) => stream.sha256).sort(),
        sent.streams.map((stream) => stream.sha256).sort(),
        'every stream arrives unchanged',
      );
      const udp = await runUdpPair(path, {
        port: 5002,
        rate: 5000,
        seconds: 1,
        size: 64,
        flows: FLOWS,
      });
      t.equal(udp.received.late, 0, 'no flow is reordered');
      t.equal(udp.received.duplicates, 0);

      for (const host of lab.hosts) {
        const { processes } = await statusOf(host);
        t.equal(processes.length, QUEUES);
        t.ok(
          processes.every((process) => process.alive && process.restarts === 0),
          'both processes live',
        );
        const counters = await countersOf(host);
        t.ok((counters['egress.delivered'] ?? 0) > 0);
      }
      t.equal(await imbalance(lab.hosts), 0, 'every packet has one end, over both processes');
    },
  );
}
