import t from 'tap';
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import { RouteMtu } from '../../src/sys/route-mtu.ts';
import { runTcpPair, startTraffic } from '../../src/traffic/run.ts';
import { checkBalance, countersOf, dataProcess, startRig, statusOf } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

const skip = skipWithoutTun();
const TCP_BYTES = 1 << 20;
const OVERHEAD = 50;
const SECONDS = 1000;

t.test(
  'a route with an MTU of its own, then a peer that is gone',
  { skip, timeout: 400_000 },
  async (t) => {
    const rig = await startRig(t);
    const { a, b, from, to, pulse } = rig;
    const route = { dst: { address: b.address, length: 32 }, dev: 'eth0' };
    const peer = formatIpv4(b.address);
    const path = async () => (await statusOf(a)).paths.find((path) => path.peer === peer);
    /** The largest packet that crosses, found by sending. */
    const crosses = async (): Promise<number> => {
      const options = { target: formatIpv4(to.address), low: 576, high: 1500, timeout: 200 };
      const program = startTraffic(from, 'path-mtu', options, 60_000);
      try {
        return (await program.result).mtuBytes;
      } finally {
        program.kill();
      }
    };

    t.equal(await crosses(), 1500 - OVERHEAD);
    t.same((await statusOf(a)).paths, [], 'nothing to tell');

    await a.netlink.addRoute({ ...route, mtu: 1400 });
    t.same(
      a.run(() => {
        const oracle = new RouteMtu([a.address]);
        return [
          oracle.configured(a.address, b.address, 4789, 1500),
          oracle.configured(a.address, b.address + 1, 4789, 1500),
          oracle.configured(a.address, parseIpv4('8.8.8.8'), 4789, 1500),
        ];
      }),
      [1400, 1500, 0],
      'what the kernel knows: that route, the device, nothing',
    );
    const tcp = async () => {
      const ends = { from, to, address: formatIpv4(to.address) };
      return (await runTcpPair(ends, { port: 7100, bytes: TCP_BYTES })).received.streams[0]?.bytes;
    };
    await until('the route is obeyed', 3 * SECONDS, async () => (await crosses()) === 1350);
    t.match(await path(), { peer, mtu: 1400, mtuFrom: 'route' });
    const told = await countersOf(a);
    t.ok((told['event.packet_too_big_sent'] ?? 0) > 0, 'the container was told');
    t.equal(await tcp(), TCP_BYTES, 'TCP goes on');

    process.kill((await dataProcess(a)).pid, 'SIGKILL');
    await until('the next process knows it too', 10 * SECONDS, async () => {
      return (await crosses()) === 1350 && (await path())?.mtu === 1400;
    });

    await a.netlink.deleteRoute(route);
    await until('the route is gone, and its limit', 3 * SECONDS, async () => {
      return (await crosses()) === 1450;
    });
    t.equal((await path())?.mtu ?? 0, 0, 'and status says no more of it');
    await checkBalance(t, a);

    pulse.stop();
    // The far router goes, its host stays: datagrams meet no socket.
    process.kill((await statusOf(b)).pid, 'SIGTERM');
    const options = { targets: formatIpv4(to.address), count: 20, interval: 50, timeout: 50 };
    await until('it is counted', 20 * SECONDS, async () => {
      const echo = startTraffic(from, 'echo', options, 60_000);
      await echo.result.catch(() => undefined);
      echo.kill();
      return ((await countersOf(a))['event.port_unreachable'] ?? 0) > 0;
    });
    t.ok(((await path())?.portUnreachable ?? 0) > 0, 'with the peer');
  },
);
