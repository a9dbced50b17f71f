/**
 * Two underlays between members of a cluster. On the second one the hosts have other host bits than on the
 * first, so that only their records say where they are; and a card there damages trains.
 */
import t from 'tap';
import type { Lab } from '../../../src/demo/lab.ts';
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts';
import {
  attach,
  BRIDGE,
  checkBalance,
  countersOf,
  growth,
  nowMs,
  OVERLAY,
  Pulse,
  statusOf,
} from '../../faults/rig.ts';
import { allAlive, joinHost, makeCluster, runFanway, until } from '../../netns/gossip/cluster.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { startRelay, startStream } from '../../netns/train-lab.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE } from '../../support/patience.ts';
import { killControl, nameOf, untilState, wayTo } from './kinds.ts';
import { portOn } from './lab.ts';

const skip = skipWithoutTun() || skipLong;
const SECOND = [parseIpv4('172.31.0.98'), parseIpv4('172.31.0.99')] as const;
/** So long throughput may be down where trains arrive damaged. */
const DOWN_MS = 3000;

/** A second cable for each host, that ends in the middle in nothing. */
async function addSecond(lab: Lab): Promise<string[]> {
  const { netlink } = lab.middle;
  for (const [i, host] of lab.hosts.entries()) {
    const peerNetnsFd = host.namespace.fd;
    await netlink.createVeth(portOn(1, host), 'eth1', { peerNetnsFd, mtu: 1500 });
    await netlink.setLink(portOn(1, host), { up: true });
    await host.netlink.setLink('eth1', { up: true });
    await host.netlink.addAddress('eth1', SECOND[i] ?? 0, 16);
  }
  return lab.hosts.map((host) => portOn(1, host));
}

t.test(
  'hosts say where they are on the second underlay, which damages trains',
  {
    skip,
  },
  async (t) => {
    const cluster = await makeCluster(t, { hosts: 2, containersPerHost: 1, fans: false });
    const { lab } = cluster;
    const [a, b] = [lab.host(0), lab.host(1)];
    const relay = await startRelay(lab, await addSecond(lab), 'equal');
    t.teardown(() => relay.child.stdin?.end());
    const words = ['bridge', BRIDGE, '--underlay-mode', 'balance-rr'];
    for (const host of lab.hosts) {
      await runFanway(host, ['up', OVERLAY, 'eth0/16,eth1/16', ...words]);
      await attach(host);
    }
    const text = await runFanway(a, ['status']).catch(String);
    t.match(text, /nobody finds this host there/);
    t.match(text, /balance-rr \(which reorders packets\)/);
    for (const host of lab.hosts) await joinHost(cluster, host);
    await allAlive(lab.hosts);
    const [from, to] = [lab.container(0), lab.container(1)];
    const pulse = await Pulse.start(from, to);
    t.teardown(() => pulse.stop());
    for (const [host, peer, address] of [
      [a, b, SECOND[1]],
      [b, a, SECOND[0]],
    ] as const) {
      const way = await untilState(host, nameOf(peer), 1, 'up');
      t.match(way, { address: formatIpv4(address), told: true, used: true });
    }
    t.match(await runFanway(a, ['status']), /members alone find this host there/);

    await t.test('trains are cut otherwise there, and there alone', async (t) => {
      const before = await countersOf(b);
      const stream = await startStream(from, to);
      t.teardown(() => stream.end());
      const { value: downMs } = await until('the stream flows', async () => stream.flowsAfterMs());
      t.ok(downMs < DOWN_MS * PATIENCE, `down for ${Math.round(downMs)} ms (promised: ${DOWN_MS})`);
      const [first, second] = [formatIpv4(b.address), formatIpv4(SECOND[1])];
      await until('the second is known', async () => {
        const path = (await statusOf(a)).paths.find(({ peer }) => peer === second);
        return path?.trains === 'uneven';
      });
      const text = await runFanway(a, ['status']).catch(String);
      t.match(text, new RegExp(`path to ${second}: .*of one length arrive damaged`));
      const other = (await statusOf(a)).paths.find(({ peer }) => peer === first)?.trains ?? 'whole';
      t.match(other, /^(whole|untested)$/, 'the first is as it was');
      await until('it still flows', async () => stream.flows());
      stream.end();
      const grown = growth(before, await countersOf(b), /^(event|ingress)/);
      t.equal(grown['ingress.drop.bad_checksum'] ?? 0, 0, 'nothing inside is damaged');
    });

    await t.test('who has no address there says so, and says it again', async (t) => {
      const sinceMs = nowMs();
      await b.netlink.deleteAddress('eth1', SECOND[1], 16);
      await until('it is withdrawn', async () => {
        const way = await wayTo(a, nameOf(b), 1);
        return way?.cause === 'withdrawn' && way.address === '' && !way.used;
      });
      await pulse.back(sinceMs, 10_000);
      await killControl(a);
      await b.netlink.addAddress('eth1', SECOND[1], 16);
      const way = await untilState(a, nameOf(b), 1, 'up');
      t.match(way, { address: formatIpv4(SECOND[1]), told: true });
      await untilState(b, nameOf(a), 1, 'up');
      pulse.stop();
      for (const host of lab.hosts) await checkBalance(t, host);
    });
  },
);
