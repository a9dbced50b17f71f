import t from 'tap';
import type { RouterStatus } from '../../../src/api/status.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { skipWithoutTun } from '../privileges.ts';
import {
  allAlive,
  ask,
  equalTables,
  eventsOf,
  gossipOf,
  membersOf,
  startCluster,
  until,
} from './cluster.ts';

t.test(
  'another underlay address spreads, and nobody takes the host for dead',
  { skip: skipWithoutTun() },
  async (t) => {
    const { lab, hosts } = await startCluster(t, { hosts: 4 });
    const b = lab.host(1);
    const others = hosts.filter((host) => host !== b);
    const { id } = await gossipOf(b);
    const moved = b.address + 5;
    for (const [from, to] of [
      [b.address, moved],
      [moved, b.address],
    ] as const) {
      await b.netlink.deleteAddress('eth0', from, b.length);
      await b.netlink.addAddress('eth0', to, b.length);
      const { tookMs } = await until('the new address is known everywhere', async () => {
        for (const host of others) {
          const member = (await membersOf(host)).get('host2');
          if (member?.state !== 'alive') return false;
          if (member.underlay !== `${formatIpv4(to)}:7946`) return false;
          if (member.fans[0]?.local !== formatIpv4(to)) return false;
        }
        return true;
      });
      t.comment(`${formatIpv4(to)} is known everywhere after ${tookMs} ms`);
      const { links } = (await ask(b, '/v1/status')) as RouterStatus;
      t.equal(links[0]?.underlay, `${formatIpv4(to)}/16`, 'its fan has moved too');
      await allAlive(hosts);
      await equalTables(hosts);
    }
    for (const host of others) {
      const dead = (await eventsOf(host)).filter((event) => event.id === id && event.to === 'dead');
      t.same(dead, [], `${host.name} never took it for dead`);
    }
    t.equal((await gossipOf(b)).epoch, 1);
  },
);
