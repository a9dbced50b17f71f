import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { RouterStatus } from '../../src/api/status.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix } from '../../src/net/prefix.ts';
import { FOU_PROTOCOL, type FouListener, FouListeners } from '../../src/sys/netlink/generic/fou.ts';
import { type Place, runTcpPair } from '../../src/traffic/run.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedIp } from '../support/crafted-ip.ts';
import { groundOf, runBattery } from '../support/ground.ts';
import { routedProbe, skipWithoutRouted, watchRouted } from '../support/kernel-path.ts';
import { until } from '../support/patience.ts';
import { CONTAINER_NUMBER, fanwayUp, imbalance, joinFan, Target } from '../support/target.ts';

const skip = skipWithoutTun();
const TC = '/usr/sbin/tc';
const IP = '/sbin/ip';
const BUSYBOX = '/bin/busybox';
const TCP_BYTES = 1 << 20;
/** Two programs start in it, one after the other, also where processors are emulated and busy. */
const STREAM_S_MAX = 200;
const WAIT_MS = 30_000;
const PROBES_PER_END = 3;
const FOU_PORT = 5555;
const KERNEL = ['--datapath', 'kernel'];

function statusOf({ victim }: Target): Promise<RouterStatus> {
  const directory = new RunDirectory(victim.runDirectory);
  const call = callRouter(directory, '/v1/status', undefined, { anyNamespace: true });
  return call as Promise<RouterStatus>;
}

/** The only link of the host under test. */
async function linkOf(target: Target): Promise<RouterStatus['links'][number]> {
  const [link] = (await statusOf(target)).links;
  if (link === undefined) throw new Error('no link');
  return link;
}

/** Every echo request of one container comes back from an address, the other's unless given. */
function reaches(t: Test, { lab }: Target, what: string, address = lab.container(1).address): void {
  const args = ['ping', '-c', '3', '-i', '0.2', '-W', '5', formatIpv4(address)];
  const { stdout } = lab.container(0).run(() => spawnSync(BUSYBOX, args, { encoding: 'utf8' }));
  t.match(stdout, / 3 packets received/, what);
}

/** The kernel's listeners for IP in UDP on a host. */
function listenersOf(host: LabHost): Promise<FouListener[]> {
  const listeners = host.run(() => new FouListeners());
  return listeners.all().finally(() => listeners.close());
}

/** The words that bring the fan up. */
function wordsOf({ map, bridge }: Target, encap: 'ipip' | 'fou'): string[] {
  return [formatPrefix(map.overlay), 'eth0/16', 'bridge', bridge, '--encap', encap];
}

/** What is made of the shared table of cases. */
async function battery(t: Test, target: Target, encap: 'ipip' | 'fou'): Promise<void> {
  await watchRouted(target);
  // Guests are slow: some for each end. What judges them is the program of VXLAN, to which all are sent elsewhere.
  const ends = new Map<string, number>();
  const probes = craftedIp(groundOf(target, encap))
    .flatMap((probe) => routedProbe(encap, probe))
    .filter(({ end, name }) => {
      const count = (ends.get(end) ?? 0) + 1;
      ends.set(end, count);
      return count <= PROBES_PER_END || name === 'IP in IP without UDP';
    });
  t.ok(ends.size >= 10, `${probes.length} probes, ${ends.size} ends`);
  await runBattery(t, target, probes);
}

/** All of a TCP stream, from a container to who is at the far end. */
async function stream(t: Test, { lab }: Target, to: Place, address: number): Promise<void> {
  const path = { from: lab.container(0), to, address: formatIpv4(address) };
  const { received } = await runTcpPair(path, {
    port: 7201,
    bytes: TCP_BYTES,
    seconds: STREAM_S_MAX,
  });
  t.equal(received.streams[0]?.bytes, TCP_BYTES, 'all of a TCP stream arrives');
}

/** The host under test goes to its processes and back, while the fan runs. */
async function moves(
  t: Test,
  target: Target,
  encap: 'ipip' | 'fou',
  address?: number,
): Promise<void> {
  for (const datapath of ['userspace', 'kernel']) {
    await fanwayUp(target.victim, ...wordsOf(target, encap), '--datapath', datapath);
    t.equal((await linkOf(target)).datapath, datapath);
    reaches(t, target, `moved to ${datapath} while it runs`, address);
  }
}

/** What of a link is taken away by `take` is put back, and told. */
async function repaired(
  t: Test,
  target: Target,
  take: () => Promise<unknown>,
  told: RegExp,
  address?: number,
): Promise<void> {
  const { repairs } = await linkOf(target);
  await take();
  await until('the repair', WAIT_MS, async () => (await linkOf(target)).repairs > repairs);
  t.match((await linkOf(target)).repaired.map(({ what }) => what).join(), told, 'and it is told');
  reaches(t, target, 'repaired', address);
}

t.test(
  'a fan of ipip, forwarded by the kernel',
  {
    skip: skip || (await skipWithoutRouted('ipip')),
  },
  async (t) => {
    const target = await Target.create({ encap: 'ipip', flags: KERNEL });
    t.teardown(() => target.close());
    const { lab, victim, attacker, bridge } = target;
    t.match(await linkOf(target), { state: 'up', datapath: 'kernel', notes: [] });
    await battery(t, target, 'ipip');

    // The attacker mends its ways.
    await fanwayUp(attacker, ...wordsOf(target, 'ipip'), ...KERNEL);
    await joinFan(lab.container(1), bridge, CONTAINER_NUMBER);
    reaches(t, target, 'kernel to kernel');
    const { address } = lab.container(1);
    await stream(t, target, lab.container(1), address);
    await moves(t, target, 'ipip');
    const { device } = await linkOf(target);
    if (existsSync(TC)) {
      const take = (): Promise<void> => {
        const args = ['qdisc', 'del', 'dev', device, 'clsact'];
        const tc = victim.spawn(TC, args, { stdio: 'ignore' });
        return new Promise((resolve) => tc.once('close', () => resolve()));
      };
      await repaired(t, target, take, /(program|guard) at the/);
    }
    t.equal(await imbalance([victim, attacker]), 0, 'received = delivered + named drops');
    await runFanway(victim, ['down', bridge, '--force']);
    const left = (await victim.netlink.links()).filter(({ name }) => name === device);
    t.same(left, [], 'down leaves no device, and with it no program');
  },
);

t.test(
  'a fan of fou, forwarded by the kernel',
  {
    skip: skip || (await skipWithoutRouted('fou')),
  },
  async (t) => {
    const target = await Target.create({ encap: 'fou', flags: KERNEL });
    t.teardown(() => target.close());
    const { victim, attacker, bridge } = target;
    const listeners = [{ port: FOU_PORT, protocol: FOU_PROTOCOL }];
    t.match(await linkOf(target), { state: 'up', datapath: 'kernel', notes: [] });
    t.same(await listenersOf(victim), listeners);
    await battery(t, target, 'fou');

    // At the far end is the kernel's own tunnel: guests are too slow for another fanway there, too.
    const far = stockTunnel(target);
    reaches(t, target, "the kernel's own tunnel answers", far);
    await stream(t, target, attacker, far);
    // A data process takes too long to start where processors are emulated.
    if (process.env['FANWAY_TEST_EMULATED'] === undefined) await moves(t, target, 'fou', far);
    const take = (): Promise<void> => victim.run(() => new FouListeners()).delete(FOU_PORT);
    await repaired(t, target, take, /listener for FOU/, far);

    const { pid } = await statusOf(target);
    process.kill(pid, 'SIGKILL');
    reaches(t, target, 'while nobody controls it', far);
    await fanwayUp(victim, ...wordsOf(target, 'fou'));
    t.not((await statusOf(target)).pid, pid, 'another control process');
    t.match(await linkOf(target), { state: 'up', datapath: 'kernel', notes: [] });
    t.same(await listenersOf(victim), listeners, 'takes over what is there');
    t.equal(await imbalance([victim]), 0, 'received = delivered + named drops');

    const { code, err } = await fanway(attacker, 'up', ...wordsOf(target, 'fou'), ...KERNEL);
    t.equal(code, 3);
    t.match(err, /UDP port 5555 has a listener of somebody else's for FOU \(ip fou show\)/);
    t.same(await listenersOf(attacker), listeners, 'and that stays');

    const { device } = await linkOf(target);
    // Not asked for its code: a guest's router may take longer to end than `down` waits for that.
    await fanway(victim, 'down', bridge, '--force');
    const left = (await victim.netlink.links()).filter(({ name }) => name === device);
    t.same(left, [], 'down leaves no device, and with it no program');
    t.same(await listenersOf(victim), [], 'and no listener');
  },
);

/**
 * What the attacker's administrator would type, for a tunnel of IP in UDP to the host under test. Returns its own
 * address inside.
 */
function stockTunnel(target: Target): number {
  const { victim, attacker } = target;
  const address = target.sliceOf(attacker.address) + 1;
  const own = formatIpv4(address);
  const slice = `${formatIpv4(target.sliceOf(victim.address))}/24`;
  const ends = ['local', formatIpv4(attacker.address), 'remote', formatIpv4(victim.address)];
  const encap = ['encap', 'fou', 'encap-sport', 'auto', 'encap-dport', String(FOU_PORT)];
  for (const words of [
    ['fou', 'add', 'port', String(FOU_PORT), 'ipproto', String(FOU_PROTOCOL)],
    ['link', 'add', 'fou0', 'type', 'ipip', ...ends, 'ttl', '64', ...encap],
    ['link', 'set', 'fou0', 'mtu', '1472', 'up'],
    ['addr', 'add', `${own}/32`, 'dev', 'fou0'],
    ['route', 'add', slice, 'dev', 'fou0', 'src', own],
  ]) {
    const { status, stderr } = attacker.run(() => spawnSync(IP, words, { encoding: 'utf8' }));
    if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${stderr}`);
  }
  return address;
}
