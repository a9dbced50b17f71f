/**
 * Networks that flood, with whole routers: by flood and learn, the kernel's VXLAN device the other end; and
 * through service nodes, the first of which dies.
 */
import t from 'tap';
import { Lab } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { NetlinkError } from '../../../src/sys/netlink/netlink.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { networkOf, ping, plug, run, skipWithoutPing as skip, startHosts } from './lab.ts';

const BRIDGE = 'br-blue';
const macOf = (host: number): string => `02:00:00:00:00:1${host}`;
const addressOf = (host: number): number => 0x0a01_0010 + host;

t.test(
  'flood and learn, with a kernel VXLAN device as peer',
  { skip: skip || skipLong },
  async (t) => {
    const lab = await Lab.create({ hosts: 2, containersPerHost: 1, ipv6: true });
    t.teardown(() => lab.close());
    const [near, far] = [lab.host(0), lab.host(1)];
    const [here, there] = [lab.container(0), lab.container(1)];
    const mtu = (await far.netlink.link('eth0')).mtu - 50;
    try {
      await far.netlink.createVxlan('vx-blue', {
        ...{ vni: 100, port: 4789, local: far.address, ttl: 64, mtu, learning: true },
      });
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.code !== 'EOPNOTSUPP') throw error;
      return void t.pass('the kernel as peer', { skip: 'this kernel has no VXLAN device' });
    }
    await far.netlink.createBridge(BRIDGE, { mtu });
    await far.netlink.setLink('vx-blue', { master: BRIDGE, up: true });
    await far.netlink.setLink(BRIDGE, { up: true });
    await far.netlink.addFdb('vx-blue', 0, near.address);
    const peer = ['--bum', 'learn', '--peer', formatIpv4(far.address)];
    await run(near, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16', ...peer);
    await plug(here, BRIDGE, macOf(0), addressOf(0));
    await plug(there, BRIDGE, macOf(1), addressOf(1));
    await until('the kernel answers', 5000, async () => {
      return (await ping(here, formatIpv4(addressOf(1)))) === 1;
    });
    t.equal(await ping(there, formatIpv4(addressOf(0)), 5), 5, 'and is answered');
    const { floods, members } = await networkOf(near, 'blue');
    t.match(members, [{ host: formatIpv4(far.address), source: 'static', floods: true }]);
    t.ok((floods['broadcast'] ?? 0) > 0, 'the first question was flooded, and counted');
    t.match(await run(near, 'net', 'show', 'blue'), /flooded: .*[1-9][0-9]* broadcast/);
    t.match(await run(near, 'mac', 'show', 'blue'), new RegExp(`${macOf(1)}.*learned`));
    await t.rejects(run(near, 'net', 'show', '--assert-floodless'), /broadcast/);
    // Learned anew, with nothing left of it.
    await run(near, 'net', 'rm', 'blue', '--force');
    await run(near, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16', ...peer);
    await plug(here, BRIDGE, macOf(0), addressOf(0));
    await until('it is reached again', 5000, async () => {
      return (await ping(here, formatIpv4(addressOf(1)))) === 1;
    });
  },
);

t.test(
  'service nodes copy for others, and the next takes over',
  { skip: skip || skipLong },
  async (t) => {
    const at = await startHosts(t, { hosts: 4, containersPerHost: 1, ipv6: true });
    const { lab, hosts } = at;
    const nodes = [lab.host(0), lab.host(1)].map(({ address }) => formatIpv4(address)).join(',');
    const words = ['net', 'add', 'blue', '--bum', 'service-node', '--service-node', nodes];
    const role = ['service-node', 'add', 'blue'];
    await Promise.all(
      hosts.map(async (host, i) => {
        await run(host, ...(i < 2 ? role : words), '--vni', '100', '--underlay', 'eth0/16');
        lab.container(i).setIpv6(false);
        await plug(lab.container(i), BRIDGE, macOf(i), addressOf(i));
      }),
    );
    const [from, to] = [lab.container(2), lab.container(3)];
    await until('everybody takes part', 10_000, async () => {
      const { members } = await networkOf(lab.host(2), 'blue');
      return members.filter(({ replicator }) => replicator).length === 2 && members.length === 3;
    });
    // Nobody said a word: what asks for it is flooded, by way of the first node.
    await until('the flood arrives', 5000, async () => {
      return (await ping(from, formatIpv4(addressOf(3)))) === 1;
    });
    const replicated = async (host: number): Promise<number> => {
      const all = JSON.parse(await run(lab.host(host), 'counters', '--json')) as Record<
        string,
        Record<string, number>
      >;
      return all[BRIDGE]?.['event.replicated'] ?? 0;
    };
    t.ok((await replicated(0)) > 0, 'the first node copied it');
    const nodeOf = async (host: number) => (await networkOf(lab.host(host), 'blue')).serviceNode;
    await until(
      'it knows whom it serves',
      10_000,
      async () => (await nodeOf(0))?.servesCount === 2,
    );
    // The second may have been known first.
    await until('the second serves nobody', 10_000, async () => {
      return (await nodeOf(1))?.servesCount === 0;
    });
    t.match(await run(lab.host(0), 'service-node', 'show'), /for host3 .*, host4 .* copies sent/);
    t.match(
      await run(lab.host(2), 'service-node', 'show', 'blue'),
      /floods go through 172\.30\.0\.28 \(1 of 2\)/,
    );
    await lab.setCable(0, false);
    await to.netlink.addAddress('eth0', 0x0a01_0077, 24);
    await until('the flood arrives by the second node', 30_000, async () => {
      return (await ping(from, '10.1.0.119')) === 1;
    });
    t.ok((await replicated(1)) > 0, 'which copied it');
    await until('the second knows whom it serves', 10_000, async () => {
      return (await nodeOf(1))?.servesCount === 2;
    });
    t.match(
      await run(lab.host(2), 'service-node', 'show', '--json'),
      /"through":"172\.30\.1\.27","failOvers":[1-9]/,
    );
    await lab.setCable(1, false);
    await until('status says that floods are lost', 30_000, async () => {
      return (await networkOf(lab.host(2), 'blue')).reason.includes('no service node is there');
    });
    await lab.setCable(0, true);
    await until('the first node is taken again', 60_000, async () => {
      return !(await networkOf(lab.host(2), 'blue')).reason.includes('no service node is there');
    });
  },
);
