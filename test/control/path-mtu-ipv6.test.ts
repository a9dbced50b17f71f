import t from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { startTraffic } from '../../src/traffic/run.ts';
import { checkBalance, countersOf, killDataProcess, startRig, statusOf } from '../faults/rig.ts';
import { ip, skipWithoutIpv6 } from '../support/ipv6-underlay.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';

const skip = skipWithoutIpv6() || skipLong;
const OVERHEAD = 70;
const PEER = 'fd00:30::11b';
t.setTimeout(1_200_000);

t.test(
  'paths over IPv6: a route, the kernel at a restart, a bridge that swallows',
  { skip },
  async (t) => {
    const { lab, a, b, from, to, pulse } = await startRig(t, { ipv6: true });
    /** The largest packet that crosses, found by sending. */
    const crosses = async (): Promise<number> => {
      const options = { target: formatIpv4(to.address), low: 576, high: 2000, timeout: 100 };
      const program = startTraffic(from, 'path-mtu', options, 60_000);
      try {
        return (await program.result).mtuBytes;
      } finally {
        program.kill();
      }
    };
    const path = async () => (await statusOf(a)).paths.find(({ peer }) => peer === PEER);
    t.equal(await crosses(), 1500 - OVERHEAD);
    t.same((await statusOf(a)).paths, [], 'nothing to tell');

    const route = [`${PEER}/128`, 'dev', 'eth0'];
    ip(a, '-6', 'route', 'add', ...route, 'mtu', '1400');
    await until('the route is obeyed', 3000, async () => (await crosses()) === 1400 - OVERHEAD);
    t.match(await path(), { mtu: 1400, mtuFrom: 'route' });
    t.ok(((await countersOf(a))['event.packet_too_big_sent'] ?? 0) > 0, 'the container was told');

    await killDataProcess(a);
    await until('the next process knows it too', 10_000, async () => {
      return (await crosses()) === 1400 - OVERHEAD && (await path())?.mtu === 1400;
    });
    ip(a, '-6', 'route', 'delete', ...route);
    await until('the route is gone, and its limit', 3000, async () => {
      return (await crosses()) === 1500 - OVERHEAD;
    });

    // A bridge drops what its port does not carry, and tells nobody: echo requests find it out.
    await lab.setPortMtu(1, 1380);
    // What gets through meanwhile is used until the search is over.
    await until('the swallowed size is found', 60_000, async () => {
      await crosses();
      const found = await path();
      return found?.mtuFrom === 'probe' && found.mtu > 1380 - 9;
    });
    const found = (await path())?.mtu ?? 0;
    t.ok(found <= 1380, `by echo requests: ${found}`);
    pulse.stop();
    for (const host of [a, b]) await checkBalance(t, host);
  },
);
