import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import type { FanRecord } from '../../src/control/host/snapshot.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { killAllIn } from '../../src/demo/processes.ts';
import { runFanway } from '../../src/demo/router.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
import { promised, until } from '../support/patience.ts';
import { BRIDGE, nowMs, OVERLAY, startRig, statusOf } from './rig.ts';

t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong;
/** A container that nobody touched is reached again within this, once the cause has gone. */
const BACK_MS = 2000;

async function stateOf(host: LabHost): Promise<string> {
  const status = await statusOf(host).catch(() => undefined);
  return status?.links[0]?.state ?? 'no router';
}

t.jobs = 2;
for (const { name: datapath, flags } of DATAPATHS) {
  const stays = `no container loses its bridge, whatever happens to the fan, forwarded by ${datapath}`;
  t.test(stays, { skip, buffered: true }, async (t) => {
    const { a, from, pulse } = await startRig(t, { up: [...flags] });
    const { netlink, address, length } = a;
    const fan = ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, ...flags];
    const up = (): Promise<string> => runFanway(a, fan);
    const becomes = (state: string): Promise<boolean> =>
      until(`the fan is ${state}`, 5000, async () => (await stateOf(a)) === state);

    const triggers: [what: string, how: () => Promise<unknown>][] = [
      [
        "the underlay's address goes and comes",
        async () => {
          await netlink.deleteAddress('eth0', address, length);
          await becomes('stopped');
          await netlink.addAddress('eth0', address, length);
        },
      ],
      [
        'its device is another for a while',
        async () => {
          await netlink.setLink('eth0', { up: false });
          await netlink.setLink('eth0', { name: 'gone' });
          await becomes('stopped');
          await netlink.setLink('gone', { name: 'eth0' });
          await netlink.setLink('eth0', { up: true });
        },
      ],
      [
        'its MTU is too small for a while',
        async () => {
          await netlink.setLink('eth0', { mtu: 300 });
          await becomes('stopped');
          await netlink.setLink('eth0', { mtu: 1500 });
        },
      ],
      [
        'another address for a while',
        async () => {
          await netlink.deleteAddress('eth0', address, length);
          await netlink.addAddress('eth0', address + 9, length);
          const gateway = `250.0.${(address + 9) & 0xff}.1`;
          await until('the other slice', 5000, async () => {
            const [link] = (await statusOf(a)).links;
            return link?.state === 'up' && link.gateway === gateway;
          });
          await netlink.deleteAddress('eth0', address + 9, length);
          await netlink.addAddress('eth0', address, length);
        },
      ],
      ['the bridge is deleted', () => netlink.deleteLink(BRIDGE)],
      [
        'all ports are pulled off, ours too',
        async () => {
          const [link] = (await statusOf(a)).links;
          await netlink.setLink(from.hostEnd, { master: 0 });
          await netlink.setLink(link?.device ?? '', { master: 0 });
        },
      ],
      [
        'down --force and up',
        async () => {
          await runFanway(a, ['down', '-e', '--force']);
          await up();
        },
      ],
      [
        'kill -9 of everything, a port pulled off, and up',
        async () => {
          killAllIn(a.namespace.inode);
          await netlink.setLink(from.hostEnd, { master: 0 });
          await up();
        },
      ],
    ];
    for (const [what, how] of triggers) {
      await how();
      const back = await pulse.back(nowMs(), BACK_MS);
      promised(t, what, back, BACK_MS);
      await becomes('up');
      const [link] = (await statusOf(a)).links;
      t.same([link?.state, link?.lostPorts], ['up', []], `${what}: status says so`);
      t.equal(link?.datapath, datapath, what);
    }
    pulse.stop();
  });

  const service = `a service that is reloaded and restarted under containers, forwarded by ${datapath}`;
  t.test(service, { skip, buffered: true }, async (t) => {
    const { a, pulse } = await startRig(t);
    const file = join(a.runDirectory, 'fanway.conf');
    const write = (more: string): void => {
      const text = `[fan]\noverlay = ${OVERLAY}\nunderlay = eth0/16\nbridge = ${BRIDGE}\ndatapath = ${datapath}\n${more}`;
      writeFileSync(file, text, { mode: 0o600 });
    };
    const start = () =>
      a.spawn(process.execPath, [join(distDirectory(), 'fanway.js'), 'daemon', '-c', file], {
        env: a.environment,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    const isUp = (what: string): Promise<boolean> =>
      until(what, 5000, async () => (await stateOf(a)) === 'up');

    await runFanway(a, ['down', '-e', '--force']);
    write('');
    const first = start();
    await isUp('the daemon took the bridge over');
    promised(t, 'a service in place of up', await pulse.back(nowMs(), BACK_MS), BACK_MS);

    write('dscp = uniform\n');
    first.kill('SIGHUP');
    await until('the changed key', 5000, async () => {
      const fans = await callRouter(new RunDirectory(a.runDirectory), '/v1/fans', undefined, {
        anyNamespace: true,
      });
      return (fans as FanRecord[])[0]?.spec.dscp === 'uniform';
    });
    await isUp('the fan with it');
    promised(t, 'a changed key', await pulse.back(nowMs(), BACK_MS), BACK_MS);

    const ended = once(first, 'exit');
    first.kill('SIGTERM');
    await ended;
    t.equal((await a.netlink.findLink(BRIDGE))?.kind, 'bridge', 'stopped: the bridge stays');
    start();
    await isUp('the next daemon');
    promised(t, 'a restart', await pulse.back(nowMs(), BACK_MS), BACK_MS);
    pulse.stop();
  });
}
