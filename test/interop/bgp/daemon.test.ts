import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { BgpEntryJson, NeighbourJson } from '../../../src/api/bgp.ts';
import { Lab, type LabHost } from '../../../src/demo/lab.ts';
import { vniOf6 } from '../../../src/net/fan6.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { parsePrefix6 } from '../../../src/net/prefix6.ts';
import { distDirectory } from '../../../src/sys/host/paths.ts';
import { runEcho, runTcpPair } from '../../../src/traffic/run.ts';
import { fanway, statusOf } from '../../control/lab-router.ts';
import { ping, plug } from '../../control/networks/lab.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { giveIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { say } from '../../support/talk6.ts';
import { ask, Gobgp, whyNoGobgp } from './routers.ts';

const skip = skipWithoutTun() || whyNoGobgp() || skipLong;
t.setTimeout(1_200_000);

const [NEAR_MAC, FAR_MAC] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
const FAN_VNI = 0xfa0000;
const FAN_VNI_6 = vniOf6(parsePrefix6('fd00:fa::/32'));

function gobgpConfig(own: string, clients: readonly string[]): string {
  const each = clients.map(
    (client) => `[[neighbors]]
[neighbors.config]
neighbor-address = "${client}"
peer-as = 65000
[neighbors.transport.config]
passive-mode = true
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "${own}"
[neighbors.graceful-restart.config]
enabled = true
restart-time = 60
notification-enabled = true
[[neighbors.afi-safis]]
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
`,
  );
  return `[global.config]\nas = 65000\nrouter-id = "${own}"\n${each.join('')}`;
}

/** The kernel's VXLAN with a bridge, whose frames to fanway's containers bear another VNI than its own. */
async function startVxlan(host: LabHost, to: LabHost, vni: number, theirs: number): Promise<void> {
  const [local, remote] = [formatIpv4(host.address), formatIpv4(to.address)];
  for (const words of [
    `link add br${vni} type bridge`,
    `link add vx${vni} type vxlan id ${vni} local ${local} dstport 4789 nolearning`,
    `link set vx${vni} master br${vni}`,
    `link set br${vni} up`,
    `link set vx${vni} up`,
  ]) {
    await ask(host, 'ip', words.split(' '));
  }
  const entry = `fdb add ${NEAR_MAC} dev vx${vni} dst ${remote} vni ${theirs} self`;
  await ask(host, 'bridge', entry.split(' '));
}

function startDaemon(host: LabHost, reflector: string, vnis: string): ChildProcess {
  const file = join(host.runDirectory, 'fanway.conf');
  const config = `[bgp]
as = 65000
vteps = 172.30.0.0/16
vnis = ${vnis}
restart-time = 60
[bgp-neighbor]
address = ${reflector}
as = 65000
connect-retry = 1
description = reflector
[fan]
overlay = 250.0.0.0/8
underlay = eth0/16
bridge = fan-250
[fan]
overlay = fd00:fa::/32
underlay = eth0/16
bridge = fan-250
[network]
name = blue
vni = 300
underlay = eth0/16
`;
  writeFileSync(file, config, { mode: 0o600 });
  const program = join(distDirectory(), 'fanway.js');
  const { environment: env } = host;
  return host.spawn(process.execPath, [program, 'daemon', '-c', file], { env, stdio: 'ignore' });
}

t.test('two daemons and a reflector: what moved is found, and stays found', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 3, containersPerHost: 2, ipv6: true });
  t.teardown(() => lab.close());
  const [home, away, middle] = [lab.host(0), lab.host(1), lab.host(2)];
  const addresses = [home, away, middle].map(({ address }) => formatIpv4(address));
  const [, awayText = '', middleText = ''] = addresses;
  const gobgp = await Gobgp.start(middle, gobgpConfig(middleText, addresses.slice(0, 2)));
  startDaemon(home, middleText, '100');
  let daemon = startDaemon(away, middleText, '100');
  const json = async <T>(host: LabHost, ...words: string[]): Promise<T> => {
    const { out, err, code } = await fanway(host, 'bgp', ...words, '--json');
    if (code !== 0) throw new Error(`${out}${err}`);
    return JSON.parse(out) as T;
  };
  const established = (host: LabHost) => async (): Promise<boolean> => {
    const [neighbour] = await json<NeighbourJson[]>(host, 'neighbors').catch(() => []);
    return neighbour?.state === 'Established';
  };
  await until('both sessions', 20_000, async () => {
    return (await established(home)()) && (await established(away)());
  });

  const slice = (host: LabHost): number => (0xfa000000 | ((host.address & 0xffff) << 8)) >>> 0;
  const address = slice(home) + 77;
  const [here, there] = [lab.container(0), lab.container(1)];
  const bridge = { bridge: 'fan-250', length: 8 };
  await here.attach({ ...bridge, address: slice(home) + 10, gateway: slice(home) + 1 });
  await there.attach({ ...bridge, address, gateway: slice(away) + 1 });
  const answered = async (count = 3): Promise<number> => {
    const { targets } = await runEcho(here, [formatIpv4(address)], { count });
    return targets[0]?.received ?? 0;
  };

  await t.test('slices are told, and where they should be', async (t) => {
    const rib = (): Promise<BgpEntryJson[]> => json(home, 'rib', '--vni', String(FAN_VNI));
    await until('the slice of the other', 5000, async () => (await rib()).length === 1);
    t.match(await rib(), [{ kind: 'prefix', entry: '250.1.27.0/24', vtep: awayText }]);
    t.match(await gobgp.run('global rib -a evpn'), /type:Prefix.*prefix:250\.0\.28\.0\/24/);
    t.equal(await answered(), 0, 'by arithmetic the address is at home');
  });

  await t.test('a program tells where a workload is, and packets follow', async (t) => {
    const route = { kind: 'prefix', vni: FAN_VNI, prefix: `${formatIpv4(address)}/32` };
    const file = join(away.runDirectory, 'routes.json');
    const mac = { kind: 'mac', vni: 100, mac: '02:00:00:00:00:07' };
    writeFileSync(file, JSON.stringify([route, mac]));
    t.match(await fanway(away, 'bgp', 'announce', file), { code: 0, out: '2 routes: announced\n' });
    await until('packets arrive', 10_000, async () => (await answered()) === 3);
    t.match(await json(home, 'rib', '--vni', '100'), [{ kind: 'mac', entry: mac.mac }]);
    const status = await statusOf(home);
    t.match(status.bgp, { state: 'up', neighbors: { established: 1, all: 1 } });
    const { out } = await fanway(home, 'bgp', 'routes', '--type', '5');
    t.match(out, /\*> +\[rd:172\.30\.1\.27:\d+\]:\[5\]:\[0\]:\[32\]:\[250\.0\.28\.77\]/);
  });

  await t.test('the same of IPv6: what a program tells, and what GoBGP does', async (t) => {
    const rib = (): Promise<BgpEntryJson[]> => json(home, 'rib', '--vni', String(FAN_VNI_6));
    await until('the slice of the other', 5000, async () => (await rib()).length === 1);
    t.match(await rib(), [{ kind: 'prefix', entry: 'fd00:fa:11b::/48', vtep: awayText }]);
    t.match(await gobgp.run('global rib -a evpn'), /type:Prefix.*prefix:fd00:fa:1c::\/48/);
    const moved = 'fd00:fa:1c::4d';
    const echo = async (): Promise<boolean> =>
      (await say(here, 'ping', '-6', '-c', '1', '-W', '1', moved))[1] === 0;
    giveIpv6(there, `${moved}/128`);
    t.equal(await echo(), false, 'by arithmetic the address is at home');
    const route = { kind: 'prefix', vni: FAN_VNI_6, prefix: `${moved}/128` };
    const file = join(away.runDirectory, 'six.json');
    writeFileSync(file, JSON.stringify([route]));
    t.match(await fanway(away, 'bgp', 'announce', file), { code: 0 });
    await until('packets arrive', 20_000, echo);
    const target = `rt 65000:${FAN_VNI_6} encap vxlan nexthop ${awayText}`;
    const own = `etag 0 label ${FAN_VNI_6} rd 10.0.0.9:7 ${target}`;
    await gobgp.run(`global rib add -a evpn prefix fd00:fa:99:1::/64 ${own}`);
    await until('GoBGP’s', 5000, async () => (await rib()).length === 3);
    const { out } = await fanway(home, 'explain', 'fd00:fa:99:1::5');
    t.match(out, new RegExp(`announced \\(fd00:fa:99:1::/64\\) by BGP.*host ${awayText}`));
    await gobgp.run(`global rib del -a evpn prefix fd00:fa:99:1::/64 ${own}`);
    t.match(await fanway(away, 'bgp', 'withdraw', file), { code: 0 });
    await until('as before', 10_000, async () => (await rib()).length === 1 && !(await echo()));
  });

  await t.test(
    'an endpoint that wants another VNI gets it: the kernel’s 777 for our 300',
    async (t) => {
      const [one, other] = [lab.container(0, 1), lab.container(2, 1)];
      await startVxlan(middle, home, 777, 300);
      await plug(one, 'br-blue', NEAR_MAC, 0x0a0a_0001);
      await plug(other, 'br777', FAR_MAC, 0x0a0a_0002);
      await say(
        other,
        'ip',
        'neighbour',
        'replace',
        '10.10.0.1',
        'lladdr',
        NEAR_MAC,
        'dev',
        'eth0',
      );
      const own = `etag 0 label 777 rd ${middleText}:7 rt 65000:300 encap vxlan`;
      await gobgp.run(`global rib add -a evpn macadv ${FAR_MAC} 10.10.0.2 ${own}`);
      await until('packets go both ways', 15_000, async () => (await ping(one, '10.10.0.2')) === 1);
      const known = (await json<BgpEntryJson[]>(home, 'rib', '--vni', '300')).find(
        ({ entry }) => entry === FAR_MAC,
      );
      t.match(known, { vtep: middleText, label: 777 });
      const pair = { port: 5001, bytes: 4 << 20, sha256: true };
      const tcp = { from: one, to: other, address: '10.10.0.2' };
      const { sent, received } = await runTcpPair(tcp, pair);
      t.match(sent.streams[0]?.sha256, /^[0-9a-f]{64}$/);
      t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256);
      t.equal(await ping(one, '10.10.0.2', 5), 5);
      await gobgp.run(`global rib del -a evpn macadv ${FAR_MAC} 10.10.0.2 ${own}`);
      await until('forgotten', 10_000, async () => (await ping(one, '10.10.0.2')) === 0);
    },
  );

  await t.test('control is killed: neighbours keep what it told, packets go on', async (t) => {
    const started = performance.now();
    daemon.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    t.equal(await answered(10), 10, 'while it is away');
    daemon = startDaemon(away, middleText, '100');
    await until('it is back', 20_000, established(away));
    t.comment(`away for ${Math.round(performance.now() - started)} ms`);
    t.equal(await answered(10), 10, 'and after');
    const routes = (await json<BgpEntryJson[]>(home, 'rib')).filter(({ vni }) => vni !== 300);
    t.equal(routes.length, 4, 'slices, what moved, and the MAC: given routes are remembered');
  });

  await t.test('stopped, it takes back what it told', async (t) => {
    daemon.kill('SIGTERM');
    await until('nothing of it is left', 5000, async () => {
      const rib = await json<BgpEntryJson[]>(home, 'rib');
      return rib.every(({ vtep }) => vtep !== awayText);
    });
    const lost = until('the arithmetic counts again', 5000, async () => (await answered(1)) === 0);
    t.ok(await lost);
  });
});
