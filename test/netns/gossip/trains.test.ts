import t from 'tap';
import { portName } from '../../../src/demo/lab.ts';
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts';
import { attach, checkBalance, countersOf, growth, statusOf } from '../../faults/rig.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE } from '../../support/patience.ts';
import { skipWithoutTun } from '../privileges.ts';
import { startRelay, startStream } from '../train-lab.ts';
import { allAlive, joinHost, makeCluster, OVERLAY, runFanway, until } from './cluster.ts';

const skip = skipWithoutTun() || skipLong;
const LAB = { hosts: 2, middle: 'wired', containersPerHost: 1 } as const;
/** So long throughput may be down where trains arrive damaged. */
const DOWN_MS = 3000;

t.test('cards that damage trains', { skip }, async (t) => {
  const cluster = await makeCluster(t, { ...LAB, fans: false });
  const { lab } = cluster;
  const relay = await startRelay(lab, [0, 1].map(portName), 'equal');
  t.teardown(() => relay.child.stdin?.end());
  const [a, b] = [lab.host(0), lab.host(1)];
  for (const host of lab.hosts) {
    await runFanway(host, ['up', OVERLAY, 'eth0/16', 'bridge', 'fan-250']);
    await attach(host);
  }
  const [from, to] = [lab.container(0), lab.container(1)];
  // Nobody can say what arrives: what TCP sends again does.
  const alone = await startStream(from, to);
  await until('a warning', async () =>
    /TCP inside sends .* of its data again/.test(await runFanway(a, ['status']).catch(String)),
  );
  alone.end();
  for (const host of lab.hosts) await joinHost(cluster, host);
  await allAlive(lab.hosts);
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

  // In a layer-2 network, once nothing else leads there: another way, another kind of damage.
  for (const container of [from, to]) await container.detach();
  for (const host of lab.hosts) {
    await runFanway(host, ['down', OVERLAY, 'eth0/16']);
    await runFanway(host, ['net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16']);
  }
  for (const [i, container] of [from, to].entries()) {
    await container.detach();
    await container.attach({
      bridge: 'br-blue',
      address: parseIpv4(`10.1.0.${i + 1}`),
      length: 24,
    });
  }
  await relay.set('equal');
  await a.netlink.deleteRoute({ dst: { address: b.address, length: 32 } });
  const inside = await startStream(from, to);
  t.teardown(() => inside.end());
  await until('the stream of the network flows', async () => inside.flowsAfterMs());
  t.match(await known('uneven'), /of one length arrive damaged/, 'trains of networks are tested');
  inside.end();
});
