/**
 * Networks that the kernel forwards: real packets of both families between hosts that keep IPv6 on, with somebody
 * else's port on a bridge; control killed, programs and devices taken away, moves between the data paths under
 * traffic, and nothing left in the end.
 * @module
 */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import type { Lab, LabHost, LabNode } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { detachFromDevice } from '../../../src/sys/bpf/bpf.ts';
import { tcxPrograms } from '../../../src/sys/bpf/tcx.ts';
import { unaccounted } from '../../../src/table/counters.ts';
import { nowMs, Pulse } from '../../faults/rig.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { promised, sleep, until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { statusOf } from '../lab-router.ts';
import { networkOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const BRIDGE = 'br-blue';
const DEVICE = 'fwn-100';
const ADD = ['net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16'];
const addressOf = (host: number, at: number): number => 0x0a01_0010 + 16 * host + at;
const sixOf = (host: number, at: number): string => `fd00:1::${host}${at}`;
const macOf = (host: number, at: number): string => `02:00:00:00:0${host}:0${at}`;
/** What a host drops that has forgotten who is where. */
const OWN_LOSSES = [
  ...['egress.drop.unknown_unicast', 'egress.drop.foreign_source'],
  ...['ingress.drop.stranger', 'ingress.drop.foreign_mac', 'ingress.drop.unknown_unicast'],
];
/** Longest silence while the device of one data path takes the place of the other's. */
const MOVE_MS = 100;

function add(host: LabHost, datapath: 'userspace' | 'kernel' | 'auto'): Promise<string> {
  return run(host, ...ADD, '--datapath', datapath);
}

async function countersOf(host: LabHost): Promise<Record<string, number>> {
  const all = JSON.parse(await run(host, 'counters', '--json')) as Record<
    string,
    Record<string, number>
  >;
  return all[BRIDGE] ?? {};
}

/** What was dropped, and all else that changed from one time to another, in words. */
function changes(before: Record<string, number>, after: Record<string, number>): string {
  return Object.entries(after)
    .filter(([name, value]) => /drop|event/.test(name) && value !== (before[name] ?? 0))
    .map(([name, value]) => `${name} +${value - (before[name] ?? 0)}`)
    .join(', ');
}

function ip(node: LabNode, words: string): void {
  node.run(() => execFileSync('ip', words.split(' ')));
}

async function plugAll(lab: Lab): Promise<void> {
  for (const { index } of lab.hosts) {
    for (const at of [0, 1]) {
      const container = lab.container(index, at);
      await plug(container, BRIDGE, macOf(index, at), addressOf(index, at));
      ip(container, `-6 address add ${sixOf(index, at)}/64 dev eth0 nodad`);
    }
  }
}

/** All containers of the first host reach all of the second, in both families. */
function reachesAll(lab: Lab): Promise<boolean> {
  const ways = [0, 1].flatMap((from) =>
    [0, 1].flatMap((to) => [
      [from, formatIpv4(addressOf(1, to))] as const,
      [from, sixOf(1, to)] as const,
    ]),
  );
  const answers = ways.map(([from, to]) => ping(lab.container(0, from), to));
  return Promise.all(answers).then((counts) => counts.every((count) => count === 1));
}

/** Longest silence of the pulse while `work` is done. */
async function silence(pulse: Pulse, work: () => Promise<unknown>): Promise<number> {
  const sinceMs = nowMs();
  await sleep(100);
  await work();
  await pulse.back(nowMs(), 5000);
  await sleep(100);
  return pulse.gaps(sinceMs).longestMs;
}

t.test(
  'a network that the kernel forwards',
  { skip: skipWithoutTun() || skipWithoutPing },
  async (t) => {
    const { lab, hosts } = await startHosts(t, { hosts: 2, containersPerHost: 2, ipv6: true });
    const [seed, other] = [lab.host(0), lab.host(1)];
    t.match(await add(seed, 'kernel'), /up on bridge/);
    t.match(await add(other, 'auto'), /up on bridge/);
    for (const host of hosts) {
      t.match(
        await networkOf(host, 'blue'),
        { state: 'up', datapath: 'kernel', notes: [] },
        host.name,
      );
      t.same((await statusOf(host)).processes, [], 'no data process');
    }
    // Somebody else's port, with all that a host with IPv6 says by itself.
    ip(other, 'link add foreign0 type veth peer name foreign1');
    ip(other, `link set foreign0 master ${BRIDGE} up`);
    ip(other, 'link set foreign1 up');
    await plugAll(lab);
    await until('all containers reach one another', 20_000, () => reachesAll(lab));

    const [from, to] = [lab.container(0, 0), lab.container(1, 0)];
    const pulse = await Pulse.start(from, to);
    t.teardown(() => pulse.stop());
    await pulse.back(nowMs(), 10_000);

    await t.test('what it shows of itself', async (t) => {
      t.match(await run(seed, 'net', 'show'), /forwarded by the kernel/);
      const far = formatIpv4(addressOf(1, 0));
      t.match(await run(seed, 'explain', far), /at host .*told by .* over gossip/);
      t.notMatch(await run(seed, 'explain', far), /does not have it so/);
      t.match(await run(seed, 'audit'), /0 differ/);
      t.match(await run(seed, 'net', 'plan', ...ADD.slice(2)), /already there/);
      t.match(await run(seed, 'test'), /VNI 100/);
      for (const host of hosts) {
        const counters = await countersOf(host);
        for (const way of ['egress', 'ingress'] as const)
          t.equal(unaccounted(counters, way), 0, way);
      }
    });

    for (const host of [other, seed]) {
      await t.test(
        `kill -9 of control on ${host === seed ? 'the seed' : 'the other host'}`,
        async (t) => {
          const mate = host === other ? seed : other;
          const known = async (): Promise<unknown[]> =>
            JSON.parse(await run(mate, 'arp', 'blue', '--json')) as unknown[];
          const before = await known();
          const [counters, mates] = [await countersOf(host), await countersOf(mate)];
          const sinceMs = nowMs();
          const { pid } = await statusOf(host);
          killIfThere(pid);
          await until('another control process', 20_000, async () => {
            const now = await statusOf(host).catch(() => undefined);
            return now !== undefined && now.pid !== pid;
          });
          // As long as gossip takes to tell anew.
          await sleep(3000);
          await pulse.back(nowMs(), 5000);
          const { longestMs, lost } = pulse.gaps(sinceMs);
          t.comment(`silent for ${Math.round(longestMs)} ms`);
          const [after, matesAfter] = [await countersOf(host), await countersOf(mate)];
          const what = `${changes(counters, after)}; there ${changes(mates, matesAfter)}`;
          // Where a restart takes longer than others wait for a sign of life, they take back what they know.
          promised(t, `packets, of one each 5 ms, lost (${what})`, lost, 0);
          for (const name of OWN_LOSSES) {
            t.equal(
              after[name] ?? 0,
              counters[name] ?? 0,
              `${name}: the host itself forgets nobody`,
            );
          }
          const delivered = (all: Record<string, number>) => all['egress.delivered'] ?? 0;
          t.ok(delivered(after) > delivered(counters), 'the counters went on');
          t.match(await networkOf(host, 'blue'), { state: 'up', datapath: 'kernel' });
          t.ok(await reachesAll(lab), 'and all others, too');
          t.equal((await known()).length, before.length, 'the others know as much');
        },
      );
    }

    await t.test('what somebody takes away is made again', async (t) => {
      const repairs = async (): Promise<number> => (await networkOf(other, 'blue')).repairs;
      const detach = async (hook: 'egress' | 'ingress'): Promise<void> => {
        const { index } = await other.netlink.link(DEVICE);
        other.run(() => detachFromDevice(index, hook));
      };
      const { index: loopback } = await other.netlink.link('lo');
      const isTcx = other.run(() => tcxPrograms(loopback, 'ingress')) !== undefined;
      for (const [what, work] of [
        ...(isTcx ? ([[/program at the egress/, () => detach('egress')]] as const) : []),
        [/device/, () => other.netlink.deleteLink(DEVICE)],
      ] as const) {
        const before = await repairs();
        await work();
        await until('the repair', 15_000, async () => (await repairs()) > before);
        await pulse.back(nowMs(), 10_000);
        const { repaired } = await networkOf(other, 'blue');
        t.match(repaired.map((one) => one.what).join(), what, 'and it is told');
      }
    });

    await t.test('its device is moved to another network namespace', async (t) => {
      const holder = to.spawn('sleep', ['600'], { stdio: 'ignore' });
      t.teardown(() => holder.kill());
      ip(other, `link set ${DEVICE} netns ${holder.pid}`);
      const told = await until('it is told', 20_000, async () => {
        const shown = await run(other, 'net', 'show');
        return shown.includes('degraded (could not create') && shown;
      });
      t.match(told, /another network namespace, where somebody moved it: delete it/);
      await to.netlink.deleteLink(DEVICE);
      await until('it is up', 60_000, async () => (await networkOf(other, 'blue')).state === 'up');
      await pulse.back(nowMs(), 10_000);
    });

    await t.test('it goes over to the other data path and back under traffic', async (t) => {
      for (const path of ['userspace', 'kernel'] as const) {
        const ms = await silence(pulse, () => add(other, path));
        promised(t, `to ${path}`, ms, MOVE_MS);
        t.match(await networkOf(other, 'blue'), { state: 'up', datapath: path });
        await until(`all reach one another by ${path}`, 10_000, () => reachesAll(lab));
        t.match(await run(other, 'audit'), /0 differ/);
      }
      t.match(await run(other, ...ADD), /already there/, 'nobody says');
    });

    await t.test('rules have it leave the kernel', async (t) => {
      await run(seed, 'net', 'deny', 'blue', 'to', formatIpv4(addressOf(1, 1)));
      for (const host of hosts) {
        await until('it leaves', 10_000, async () => {
          const { datapath, notes } = await networkOf(host, 'blue');
          return datapath === 'userspace' && notes.some((note) => /it has rules/.test(note));
        });
      }
      // What may have been open before goes on for a while; what is opened now does not.
      const connect = `exec 3<>/dev/tcp/${formatIpv4(addressOf(1, 1))}/7`;
      const child = from.spawn('timeout', ['2', 'bash', '-c', connect], { stdio: 'ignore' });
      t.not(await new Promise((resolve) => child.once('close', resolve)), 0, 'no connection');
      t.ok(((await countersOf(seed))['egress.drop.policy'] ?? 0) > 0, 'by the rule');
      t.ok(await ping(from, formatIpv4(addressOf(1, 0))), 'the others go on');
    });

    pulse.stop();
    for (const host of hosts) {
      await run(host, 'net', 'rm', 'blue', '--force');
      const left = (await host.netlink.links()).filter(
        ({ kind }) => kind === 'vxlan' || kind === 'tun',
      );
      t.same(left, [], 'nothing is left');
    }
  },
);
