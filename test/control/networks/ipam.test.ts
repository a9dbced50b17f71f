/**
 * Addresses that two hosts hand out on one network: never the same one, also while neither hears of the
 * other; by hand and by CNI. Where the two disagree about who has what, both say so.
 * @module
 */
import { join } from 'node:path';
import t from 'tap';
import { type LabHost, portName } from '../../../src/demo/lab.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { fanway, statusOf } from '../lab-router.ts';
import { run, skipWithoutPing, startHosts } from './lab.ts';

const BASE = 0xac1e_0500;
const skip = skipLong || skipWithoutPing;

async function lease(host: LabHost, ...words: string[]): Promise<string> {
  return (await run(host, 'ip', 'lease', 'blue', ...words)).trim();
}

t.test('no address twice, through a partition too', { skip }, async (t) => {
  const { lab, hosts } = await startHosts(t, {
    ...{ hosts: 2, containersPerHost: 1, underlay: '172.30.5.0/24' },
    addresses: [BASE + 4, BASE + 2],
  });
  const [first, second] = hosts;
  if (first === undefined || second === undefined) throw new Error('hosts');
  const tooSmall = await fanway(
    ...[first, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16'],
    ...['--ipam', '10.1.0.0/16'],
  );
  t.match(tooSmall.err, /too few addresses for every host .* \/13 or shorter/);
  for (const host of hosts) {
    const words = ['--vni', '100', '--underlay', 'eth0/24', '--ipam', '10.1.0.0/16'];
    await run(host, 'net', 'add', 'blue', ...words);
  }
  const taken = [await lease(first, '--name', 'c1'), await lease(second, '--name', 'c1')];
  t.strictSame(taken, ['10.1.4.0/16', '10.1.2.0/16']);
  t.equal(await lease(first, '--name', 'c1'), taken[0], 'the same name has the same address');
  t.match(await run(first, 'ip', 'show', 'blue'), /10\.1\.4\.0 +hand +blue c1/);

  for (const host of [0, 1]) await lab.middle.netlink.setLink(portName(host), { up: false });
  for (const host of [first, second, first, second]) taken.push(await lease(host));
  for (const host of [0, 1]) await lab.middle.netlink.setLink(portName(host), { up: true });
  t.equal(new Set(taken).size, 6, `${taken.join(' ')} are six`);

  t.equal((await fanway(first, 'ip', 'lease', 'blue', '--address', '10.1.2.9')).code, 3);
  t.match(await run(first, 'audit'), /network blue: [0-9]+ compared, 0 differ/);
  t.match(await run(first, 'ip', 'release', 'blue', 'c1'), /given back/);
  t.equal((await fanway(first, 'ip', 'release', 'blue', 'c1')).code, 3, 'only once');

  const dirs = [join(first.runDirectory, 'bin'), join(first.runDirectory, 'conf')];
  const [bin = '', conf = ''] = dirs;
  const words = ['cni', 'install', 'blue', '--json', '--bin-dir', bin, '--conf-dir', conf];
  const { plugin } = JSON.parse(await run(first, ...words)) as { plugin: string };
  const container = lab.container(0, 0);
  const added = await new Promise<string>((resolve) => {
    const child = first.spawn(plugin, [], {
      env: {
        ...{ CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'x1', CNI_IFNAME: 'net1', CNI_PATH: '/nowhere' },
        CNI_NETNS: `/proc/${process.pid}/fd/${container.namespace.fd}`,
        PATH: process.env['PATH'],
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout?.on('data', (chunk) => {
      out += String(chunk);
    });
    child.stdin?.end(
      JSON.stringify({
        ...{ cniVersion: '1.1.0', name: 'blue', type: 'fanway-cni', bridge: 'br-blue' },
      }),
    );
    child.on('close', () => resolve(out));
  });
  t.match(JSON.parse(added), { ips: [{ address: /^10\.1\.4\.[0-9]+\/16$/ }], routes: [] });
  t.notOk(taken.includes(JSON.parse(added).ips[0].address), 'CNI and hand share one book');

  const seen = fanway(first, 'capture', '--link', 'blue', '--count', '1');
  const pings = container.spawn('ping', ['-c', '30', '-i', '0.2', '10.1.2.0'], { stdio: 'ignore' });
  t.match((await seen).out, /fwn-100/, 'capture knows networks');
  pings.kill();
  await run(
    first,
    'net',
    'add',
    'red',
    '--vni',
    '200',
    '--underlay',
    'eth0/24',
    '--ipam',
    '10.2.0.0/16',
  );
  await run(
    second,
    'net',
    'add',
    'red',
    '--vni',
    '200',
    '--underlay',
    'eth0/25',
    '--ipam',
    '10.2.0.0/16',
  );
  for (const host of hosts) {
    await until(`${host.name} says who else hands them out`, 15_000, async () => {
      const red = (await statusOf(host)).networks.find(({ network }) => network === 'red');
      return /hands out addresses of 10\.2\.4\.0\/2[34]/.test(red?.reason ?? '');
    });
    const refused = await fanway(host, 'ip', 'lease', 'red');
    t.equal(refused.code, 3, refused.err);
  }
});
