import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { RouterStatus } from '../../../src/api/status.ts';
import type { LabHost } from '../../../src/demo/lab.ts';
import type { RouterHost } from '../../../src/demo/router.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { sleep } from '../../support/patience.ts';
import { skipWithoutTun } from '../privileges.ts';
import { testProgram } from '../relay.ts';
import {
  allAlive,
  ask,
  equalTables,
  eventsOf,
  gossipOf,
  makeCluster,
  metricOf,
  prefixesOf,
  runFanway,
  until,
} from './cluster.ts';

const HOUR_MS = 3600 * 1000;
const YEAR_MS = 365.25 * 24 * HOUR_MS;
const SHIFTS_MS = [0, HOUR_MS, -HOUR_MS, 10 * YEAR_MS, -10 * YEAR_MS];
/** Several probes of each by each. */
const WATCH_MS = 6000;

const clockFile = (host: LabHost): string => join(host.runDirectory, 'clock');

function setClock(host: LabHost, shiftMs: number): void {
  writeFileSync(clockFile(host), String(Math.round(shiftMs)));
}

/** The host, all of whose processes have a wall clock of their own. */
function withClock(host: LabHost): RouterHost {
  return {
    name: host.name,
    environment: {
      ...host.environment,
      FANWAY_TEST_CLOCK: clockFile(host),
      NODE_OPTIONS: `--import ${testProgram('netns/gossip/clock-shift.js')}`,
    },
    spawn: (command, args, options) => host.spawn(command, args, options),
  };
}

/** The year of the last line that a router logged. */
function loggedYear(host: LabHost): number {
  const lines = readFileSync(join(host.runDirectory, 'router.log'), 'utf8').trim().split('\n');
  return Number(lines.at(-1)?.slice(0, 4));
}

t.test('no wall clock decides anything', { skip: skipWithoutTun() }, async (t) => {
  const { lab, hosts, keyFile } = await makeCluster(t, { hosts: SHIFTS_MS.length, fans: false });
  const seed = formatIpv4(lab.host(0).address);
  for (const [index, host] of hosts.entries()) {
    setClock(host, SHIFTS_MS[index] ?? 0);
    const args = ['join', seed, '--name', host.name, '--key', keyFile];
    await runFanway(withClock(host), args);
    await runFanway(withClock(host), ['up', '250.0.0.0/8', 'eth0/16']);
  }
  t.comment(`clocks off at start: all see each other after ${await allAlive(hosts)} ms`);
  const year = new Date().getFullYear();
  t.same(
    hosts.map(loggedYear).map((logged) => Math.round((logged - year) / 10) * 10),
    [...[0, 0, 0, 10, -10]],
  );

  const healthy = async (what: string): Promise<void> => {
    for (const host of hosts) {
      const lost = (await eventsOf(host)).filter(({ to }) => to === 'dead');
      t.same(lost, [], `${what}: ${host.name} gives up nobody`);
      for (const name of ['replayed', 'old', 'token']) {
        t.equal(await metricOf(host, `sealed_refused_${name}`), 0, `${what}: ${name}`);
      }
      t.equal(await metricOf(host, 'node_failed'), 0);
    }
    await equalTables(hosts);
  };
  await healthy('at start');

  // Each gets another's, back and forth; all run on.
  for (const turn of [1, 2, 3]) {
    for (const [index, host] of hosts.entries()) {
      setClock(host, SHIFTS_MS[(index + turn) % SHIFTS_MS.length] ?? 0);
    }
    const [last] = hosts.slice(-1);
    const prefix = `250.9.9.${turn}/32`;
    if (last !== undefined) await runFanway(withClock(last), ['announce', prefix]);
    await until('announcements spread', async () =>
      (await Promise.all(hosts.map(prefixesOf))).every((table) => table.length === turn),
    );
    await sleep(WATCH_MS / 3);
  }
  await healthy('set while it runs');

  // One that starts anew with a clock long before that of its former life is not locked out.
  const host = lab.host(3);
  setClock(host, -10 * YEAR_MS);
  const { pid } = (await ask(host, '/v1/status')) as RouterStatus;
  process.kill(pid, 'SIGKILL');
  await until('control is back', async () => {
    const status = (await ask(host, '/v1/status').catch(() => undefined)) as
      | RouterStatus
      | undefined;
    return status !== undefined && status.pid !== pid && status.gossip?.state === 'up';
  });
  t.comment(`after a start in the past: all see each other after ${await allAlive(hosts)} ms`);
  t.equal((await gossipOf(host)).epoch, 2);
  setClock(host, 0);
  await sleep(WATCH_MS / 3);
  await allAlive(hosts);
  await equalTables(hosts);
});
