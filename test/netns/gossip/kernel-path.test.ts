import t from 'tap';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { startTraffic } from '../../../src/traffic/run.ts';
import { fanway } from '../../control/lab-router.ts';
import { skipLong } from '../../support/long.ts';
import { skipWithoutTun } from '../privileges.ts';
import { OVERLAY, prefixesOf, runFanway, startCluster, until } from './cluster.ts';

const skip = skipWithoutTun() || skipLong;

t.test(
  'announced addresses are where they were said to be, whoever forwards',
  { skip },
  async (t) => {
    const { lab, hosts } = await startCluster(t, { hosts: 2, containersPerHost: 1 });
    const [a, b] = [lab.host(0), lab.host(1)];
    const [from, to] = [lab.container(0), lab.container(1)];
    const [bridgeA, bridgeB] = [a, b].map(
      ({ address }) => (0xfa000000 | ((address & 0xffff) << 8)) + 1,
    );
    const bridgeOf = async (host: typeof a): Promise<string> =>
      (await host.netlink.links()).find(({ kind }) => kind === 'bridge')?.name ?? '';
    // Of a host that is not there.
    const early = 0xfa003309;
    const late = 0xfa00330a;
    await from.attach({
      bridge: await bridgeOf(a),
      address: (bridgeA ?? 0) + 9,
      length: 8,
      gateway: bridgeA ?? 0,
    });
    await to.attach({
      bridge: await bridgeOf(b),
      address: early,
      length: 8,
      gateway: bridgeB ?? 0,
    });
    await to.netlink.addAddress('eth0', late, 8);
    const known = (address: number) =>
      until('the entry is known', async () => {
        const tables = await Promise.all(hosts.map(prefixesOf));
        return tables.every((table) => table.some((one) => one.startsWith(formatIpv4(address))));
      });
    const answers = async (address: number): Promise<number> => {
      const echo = startTraffic(
        from,
        'echo',
        { targets: formatIpv4(address), count: 5, interval: 50, timeout: 1000 },
        20_000,
      );
      return (await echo.result).targets[0]?.received ?? -1;
    };
    await runFanway(b, ['announce', formatIpv4(early)]);
    await known(early);
    t.equal(await answers(early), 5, 'fanway here and there');
    for (const host of hosts) {
      const out = await fanway(host, 'up', OVERLAY, 'eth0/16', '--datapath', 'kernel');
      t.equal(out.code, 0, out.err);
    }
    t.equal(await answers(early), 5, 'told before the kernel forwarded');
    await runFanway(b, ['announce', formatIpv4(late)]);
    await known(late);
    t.equal(await answers(late), 5, 'and after');
    t.match(await runFanway(a, ['explain', formatIpv4(late)]), /172\.30/);
    await runFanway(b, ['withdraw', formatIpv4(late)]);
    await until('it is gone', async () => (await prefixesOf(a)).length === 1);
    t.equal(await answers(late), 0, 'arithmetic says that nobody has it');
  },
);
