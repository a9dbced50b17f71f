import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { RouterStatus } from '../../../src/api/status.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { distDirectory } from '../../../src/sys/host/paths.ts';
import { fanway } from '../../control/lab-router.ts';
import { skipWithoutTun } from '../privileges.ts';
import {
  allAlive,
  ask,
  equalTables,
  eventsOf,
  gossipOf,
  joinHost,
  membersOf,
  metricOf,
  powerCut,
  prefixesOf,
  runFanway,
  seenAs,
  startCluster,
  until,
} from './cluster.ts';

const skip = skipWithoutTun();

t.test('join, announce, withdraw, leave, and what each sees', { skip }, async (t) => {
  const cluster = await startCluster(t, { hosts: 4 });
  const { hosts, lab } = cluster;
  const [a, b, c, d] = [lab.host(0), lab.host(1), lab.host(2), lab.host(3)];

  const members = await membersOf(a);
  t.match(members.get('host2'), {
    state: 'alive',
    underlay: `${formatIpv4(b.address)}:7946`,
    encaps: ['vxlan:4789'],
    mtu: 1500,
    vnis: [0xfa0000],
    fans: [{ overlay: '250.0.0.0/8', underlay: '172.30.0.0/16', local: formatIpv4(b.address) }],
    epoch: 1,
    self: false,
  });
  t.equal(members.get('host1')?.self, true);
  const { id } = await gossipOf(b);
  t.match(id, /^[0-9a-f]{32}$/);
  t.equal(members.get('host2')?.id, id, 'a node is known by the id that it has itself');
  for (const name of ['identity', 'epoch', 'gossip.key']) {
    const { mode } = statSync(join(b.runDirectory, 'state', name));
    t.equal(mode & 0o777, 0o600, `${name}: mode 0600`);
  }

  // A workload of the third host's slice has moved to the second.
  const moved = formatIpv4(0xfa000000 | ((c.address & 0xffff) << 8) | 9);
  const out = await runFanway(b, ['announce', moved]);
  t.match(out, `${moved}/32: announced in fan-250`);
  const { tookMs } = await until('the entry is known everywhere', async () => {
    const tables = await Promise.all(hosts.map(prefixesOf));
    return tables.every((table) => table.includes(`${moved}/32 host2`));
  });
  t.comment(`an entry is known everywhere after ${tookMs} ms`);
  t.match(await runFanway(d, ['table', '--kind', 'prefix']), `${moved}/32  host2`);
  t.comment(`equal tables after ${await equalTables(hosts)} ms`);

  // It moves on to the fourth, which takes it over; the second gives it up by itself.
  await runFanway(d, ['announce', moved]);
  await until('the entry has moved', async () => {
    const tables = await Promise.all(hosts.map(prefixesOf));
    return tables.every((table) => table.length === 1 && table[0] === `${moved}/32 host4`);
  });
  await until('the old owner gives up', async () => (await gossipOf(b)).announced.length === 0);
  await runFanway(d, ['withdraw', moved]);
  await until('the entry is gone everywhere', async () =>
    (await Promise.all(hosts.map(prefixesOf))).every((table) => table.length === 0),
  );

  const watch = a.spawn(
    process.execPath,
    [join(distDirectory(), 'fanway.js'), 'members', '--watch'],
    { env: a.environment, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let watched = '';
  watch.stdout?.on('data', (chunk: Buffer) => {
    watched += chunk.toString();
  });
  await until('it shows the members', async () => watched.includes('host4'));

  // Leaving takes along what was announced.
  await runFanway(c, ['announce', moved]);
  await until('it is seen', async () => (await prefixesOf(a)).length === 1);
  const cId = (await gossipOf(c)).id;
  t.equal(await runFanway(c, ['leave']), 'left\n');
  t.comment(`a leave is known everywhere after ${await seenAs([a, b, d], cId, ['left'])} ms`);
  await until('its entry is gone', async () =>
    (await Promise.all([a, b, d].map(prefixesOf))).every((table) => table.length === 0),
  );
  const fans = (await ask(c, '/v1/status')) as RouterStatus;
  t.match(fans, { gossip: null, links: [{ state: 'up' }] }, 'its fan stays');
  const why = (await eventsOf(a)).find((event) => event.id === cId && event.to === 'left');
  t.ok(why && why.why.length > 3, `the log says why: ${why?.why}`);
  t.match(readFileSync(join(a.runDirectory, 'router.log'), 'utf8'), `${cId}): alive -> left`);
  await until('who watches sees it leave', async () => watched.includes('host3: alive -> left: '));
  // And it may come back.
  await joinHost(cluster, c);
  await allAlive(hosts);
  t.equal((await gossipOf(c)).id, cId, 'with the same id');
  t.equal((await gossipOf(c)).epoch, 2, 'in its next life');
  await until('who watches sees it return', async () => /^host3: .* -> alive: /m.test(watched));
  watch.kill();
  t.equal(await metricOf(a, 'node_failed'), 0);
});

t.test('kill -9 of control, and of everything', { skip }, async (t) => {
  const cluster = await startCluster(t, { hosts: 4 });
  const { hosts, lab } = cluster;
  const [a, b, c, d] = [lab.host(0), lab.host(1), lab.host(2), lab.host(3)];
  const moved = formatIpv4(0xfa000000 | ((a.address & 0xffff) << 8) | 77);
  await runFanway(b, ['announce', moved]);
  await until('it is seen', async () => (await prefixesOf(d)).length === 1);

  const { pid } = (await ask(b, '/v1/status')) as RouterStatus;
  const before = await gossipOf(b);
  process.kill(pid, 'SIGKILL');
  const { value: after, tookMs } = await until('control is back', async () => {
    const status = (await ask(b, '/v1/status').catch(() => undefined)) as RouterStatus | undefined;
    return (
      status !== undefined && status.pid !== pid && status.gossip?.state === 'up' && status.gossip
    );
  });
  t.comment(`control is back after ${tookMs} ms`);
  t.match(after, { id: before.id, epoch: before.epoch + 1, announced: [`${moved}/32`] });
  await allAlive(hosts);
  await until('the entry is there in the new life', async () =>
    (await Promise.all(hosts.map(prefixesOf))).every((table) => table[0] === `${moved}/32 host2`),
  );
  t.comment(`equal tables after ${await equalTables(hosts)} ms`);
  const seen = (await eventsOf(a)).filter(({ id }) => id === before.id).map(({ to }) => to);
  t.notOk(seen.includes('dead'), `nobody took it for dead: ${seen.join(' ')}`);

  powerCut(b);
  t.comment(`a silent death is known after ${await seenAs([a, c, d], before.id, ['dead'])} ms`);
  await until('its entry does not count any more', async () =>
    (await Promise.all([a, c, d].map(prefixesOf))).every((table) => table.length === 0),
  );
  const death = (await eventsOf(a)).findLast(({ id }) => id === before.id);
  t.match(death?.to, 'dead');
  t.ok((death?.why.length ?? 0) > 3, `why: ${death?.why}`);
  t.ok(existsSync(join(b.runDirectory, 'gossip.json')), 'what a killed router had is written down');
  const { err } = await fanway(b, 'up', '250.0.0.0/8', 'eth0/16');
  t.match(
    err,
    new RegExp(`in the cluster \\S+: fanway join .*announce what it had: ${moved}/32\n`),
  );
  t.equal(
    ((await ask(b, '/v1/status')) as RouterStatus).gossip,
    null,
    'a fresh router is not joined',
  );
  t.match((await fanway(b, 'key', 'list')).err, /gossip does not run here: fanway join begins it/);
  await joinHost(cluster, b);
  await allAlive(hosts);
  t.equal((await gossipOf(b)).epoch, before.epoch + 2);
  t.same(await prefixesOf(a), [], 'and announces nothing of its former life');
  t.comment(`equal tables after ${await equalTables(hosts)} ms`);
});
