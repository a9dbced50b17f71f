/**
 * A network under traffic while each process of one host ends: a service that is stopped and started, its
 * control and its data process killed. Who is where is known as before, also of a container that says
 * nothing by itself.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { distDirectory } from '../../../src/sys/host/paths.ts';
import { nowMs, Pulse } from '../../faults/rig.ts';
import { skipLong } from '../../support/long.ts';
import { promised, until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { statusOf } from '../lab-router.ts';
import { networkOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const BRIDGE = 'br-blue';
const UNDERLAY = 'eth0/16';
const addressOf = (host: number, index: number): number => 0x0a01_0010 + 16 * host + index;
const macOf = (host: number, index: number): string => `02:00:00:00:0${host}:0${index}`;
/** From the end of a service to the first packet of the next one, ms. */
const AGAIN_MS = 10_000;
/** Longest silence while one data process takes over from another. */
const HANDOVER_MS = 2000;

/** Everybody's entries as one host has them, of other hosts by what they are called there. */
async function known(host: LabHost): Promise<string[]> {
  const rows = JSON.parse(await run(host, 'arp', 'blue', '--json')) as {
    address: string;
    mac: string;
    host: string;
  }[];
  return rows.map(({ address, mac, host: at }) => `${address} ${mac} ${at}`).sort();
}

t.test(
  'a service ends and begins, and its processes die, under traffic',
  { skip: skipWithoutPing || skipLong },
  async (t) => {
    const { lab, hosts, keyFile } = await startHosts(t, { hosts: 2, containersPerHost: 2 });
    const [host, other] = [lab.host(0), lab.host(1)];
    // The first host becomes a service, with all that it is in a file.
    await run(host, 'leave');
    const file = join(host.runDirectory, 'fanway.conf');
    const lines = [
      ...['[gossip]', `seeds = ${formatIpv4(other.address)}`, `key-file = ${keyFile}`],
      ...['name = host1', '[network]', 'name = blue', 'vni = 100', `underlay = ${UNDERLAY}`],
    ];
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
    const start = (): ChildProcess =>
      host.spawn(process.execPath, [join(distDirectory(), 'fanway.js'), 'daemon', '-c', file], {
        env: host.environment,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    let service = start();
    const isUp = (what: string): Promise<boolean> =>
      until(what, 20_000, async () => (await networkOf(host, 'blue')).state === 'up');
    await until(
      'the service answers',
      20_000,
      async () => (await statusOf(host).catch(() => undefined)) !== undefined,
    );
    await isUp('the network of the service');
    await run(other, 'net', 'add', 'blue', '--vni', '100', '--underlay', UNDERLAY);
    for (const { index } of hosts) {
      for (const at of [0, 1]) {
        await plug(lab.container(index, at), BRIDGE, macOf(index, at), addressOf(index, at));
      }
    }
    // The second of each host speaks once, and then only when it is asked.
    const [from, silent, to] = [lab.container(0, 0), lab.container(0, 1), lab.container(1, 0)];
    for (const one of [silent, lab.container(1, 1), from, to]) void ping(one, '10.1.0.200');
    const isKnown = (what: string) =>
      until(what, 20_000, async () => {
        const [here, there] = [await known(host), await known(other)];
        const containers = ({ length }: string[]): boolean => length >= 4;
        return containers(here) && containers(there) && here.length === there.length;
      });
    await isKnown('everybody is known');
    const before = await known(other);
    const pulse = await Pulse.start(from, to);
    t.teardown(() => pulse.stop());
    await pulse.back(nowMs(), 10_000);

    await t.test('SIGTERM, and the next service', async (t) => {
      const sinceMs = nowMs();
      const ended = once(service, 'exit');
      service.kill('SIGTERM');
      await ended;
      t.ok(await host.netlink.findLink(BRIDGE), 'the bridge stays with its containers');
      await until('the others know that it is gone', 10_000, async () => {
        return (await known(other)).length < before.length;
      });
      const startMs = nowMs();
      service = start();
      promised(t, 'traffic goes on', await pulse.back(startMs, 60_000), AGAIN_MS);
      await isKnown('everybody is known again');
      t.same(await known(other), before, 'as before, the silent one too');
      t.equal(await ping(to, formatIpv4(addressOf(0, 1)), 2), 2, 'and it is reached');
      const { longestMs, lost } = pulse.gaps(sinceMs);
      t.comment(`${lost} of a packet each 5 ms were lost; silent for ${Math.round(longestMs)} ms`);
      t.ok(lost > 0, 'a service that is stopped carries nothing');
    });

    for (const kind of ['control', 'data'] as const) {
      await t.test(`kill -9 of ${kind}`, async (t) => {
        const sinceMs = nowMs();
        const was = await statusOf(other);
        const pids = kind === 'control' ? [was.pid] : was.processes.map(({ pid }) => pid);
        for (const pid of pids) killIfThere(pid);
        await until(`another ${kind} process`, 20_000, async () => {
          const now = await statusOf(other).catch(() => undefined);
          const left = kind === 'control' ? [now?.pid] : now?.processes.map(({ pid }) => pid);
          return (
            left !== undefined &&
            left.length > 0 &&
            left.every((pid) => pid !== undefined && !pids.includes(pid))
          );
        });
        await pulse.back(nowMs(), 20_000);
        const { longestMs, lost } = pulse.gaps(sinceMs);
        t.comment(
          `${lost} of a packet each 5 ms were lost; silent for ${Math.round(longestMs)} ms`,
        );
        promised(t, 'longest silence', longestMs, HANDOVER_MS);
        await isKnown('everybody is known');
        t.same(await known(other), before, 'who is where is as before');
        const silentThere = formatIpv4(addressOf(1, 1));
        t.equal(await ping(from, silentThere, 2), 2, 'and the silent one is reached');
      });
    }
    pulse.stop();
    const ended = once(service, 'exit');
    service.kill('SIGTERM');
    await ended;
  },
);
