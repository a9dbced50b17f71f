import { copyFileSync, cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type LabHost, portName } from '../../../src/demo/lab.ts';
import { skipLong } from '../../support/long.ts';
import { sleep } from '../../support/patience.ts';
import { skipWithoutTun } from '../privileges.ts';
import {
  allAlive,
  equalTables,
  gossipOf,
  joinHost,
  makeCluster,
  membersOf,
  prefixesOf,
  runFanway,
  seenAs,
  startCluster,
  until,
} from './cluster.ts';

const skip = skipWithoutTun() || skipLong;

/** Lines of a router's log about conflicts. */
function conflictLines(host: LabHost): string[] {
  return readFileSync(join(host.runDirectory, 'router.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes(': conflict: '));
}

t.test('one address announced on both sides of a partition', { skip }, async (t) => {
  const { lab, hosts } = await startCluster(t, { hosts: 4 });
  const { netlink } = lab.middle;
  await netlink.createBridge('sw1', { up: true });
  const plug = async (bridge: string): Promise<void> => {
    const { index } = await netlink.link(bridge);
    for (const host of [2, 3]) await netlink.setLink(portName(host), { master: index, up: true });
  };
  const ids: string[] = [];
  for (const host of hosts) ids.push((await gossipOf(host)).id);
  await plug('sw1');
  for (const host of [0, 1]) await seenAs([lab.host(host)], ids[2] ?? '', ['dead']);
  for (const host of [2, 3]) await seenAs([lab.host(host)], ids[0] ?? '', ['dead']);
  await runFanway(lab.host(0), ['announce', '250.9.9.9']);
  await runFanway(lab.host(2), ['announce', '250.9.9.9']);
  await plug('sw0');
  await allAlive(hosts);

  const [winner, loser] =
    (ids[0] ?? '') < (ids[2] ?? '') ? [lab.host(0), lab.host(2)] : [lab.host(2), lab.host(0)];
  const { tookMs } = await until('the loser stops announcing', async () => {
    return (await gossipOf(loser)).announced.length === 0;
  });
  t.comment(`settled after ${tookMs} ms`);
  await until('all have the winner', async () =>
    (await Promise.all(hosts.map(prefixesOf))).every(
      (table) => table.length === 1 && table[0] === `250.9.9.9/32 ${winner.name}`,
    ),
  );
  t.same((await gossipOf(winner)).announced, ['250.9.9.9/32']);
  await equalTables(hosts);
  for (const host of [winner, loser]) {
    await until(`${host.name} has told it`, async () =>
      conflictLines(host).some(
        (line) =>
          line.includes(winner.name) && line.includes(loser.name) && line.includes('250.9.9.9'),
      ),
    );
    t.comment(conflictLines(host)[0]);
  }
  for (const host of [winner, loser]) {
    const [conflict] = (await gossipOf(host)).conflicts;
    t.match(conflict, {
      what: 'prefix',
      winner: { name: winner.name },
      loser: { name: loser.name },
    });
  }
});

t.test('two machines with one identity, as after a careless copy', { skip }, async (t) => {
  const cluster = await makeCluster(t, { hosts: 3, fans: false });
  const { lab } = cluster;
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  await joinHost(cluster, a);
  await joinHost(cluster, b);
  await allAlive([a, b]);
  const { id } = await gossipOf(b);
  mkdirSync(join(c.runDirectory, 'state'), { mode: 0o700 });
  for (const name of ['identity', 'epoch']) {
    copyFileSync(join(b.runDirectory, 'state', name), join(c.runDirectory, 'state', name));
  }
  await joinHost(cluster, c);
  t.equal((await gossipOf(c)).id, id, 'the copy has the same id');
  const sides: LabHost[] = [];
  const { tookMs } = await until('one of the two sees it', async () => {
    for (const host of [a, b, c]) {
      if (conflictLines(host).some((line) => line.includes(id))) sides.push(host);
    }
    return sides.length > 0;
  });
  t.comment(`seen after ${tookMs} ms: ${sides.map((host) => conflictLines(host)[0]).join(' | ')}`);
  // Whoever loses falls silent; the third member still has one node of that id, alive.
  await until('one is left', async () => {
    const members = [...(await membersOf(a)).values()].filter((member) => member.id === id);
    return members.length === 1 && members[0]?.state === 'alive';
  });
});

t.test(
  'a clone whose only seed is its model gives way, and says what to do',
  { skip },
  async (t) => {
    const cluster = await makeCluster(t, { hosts: 4, fans: false });
    const { lab } = cluster;
    const [a, b, c, d] = [lab.host(0), lab.host(1), lab.host(2), lab.host(3)];
    for (const host of [a, b, d]) await joinHost(cluster, host);
    await allAlive([a, b, d]);
    const { id } = await gossipOf(a);
    // All of it is copied, the name too; it knocks at nobody but the first.
    cpSync(join(a.runDirectory, 'state'), join(c.runDirectory, 'state'), { recursive: true });
    await runFanway(c, ['join', '172.30.0.28', '--name', 'host1', '--key', cluster.keyFile]);
    const { value, tookMs } = await until('both name both', async () => {
      const said = [];
      for (const host of [a, c]) said.push((await gossipOf(host)).conflicts[0]);
      const [atModel, atClone] = said;
      return (
        /is silent now/.test(atClone?.advice ?? '') && atModel !== undefined && { atModel, atClone }
      );
    });
    t.comment(`settled after ${tookMs} ms: ${JSON.stringify(value.atClone)}`);
    for (const conflict of [value.atModel, value.atClone]) {
      t.match(conflict, {
        what: 'node-id',
        winner: { id, name: 'host1 at 172.30.0.28' },
        loser: { id, name: 'host1 at 172.30.2.26' },
        advice: /fanway join SEED --new-identity/,
      });
    }
    // Longer than a death takes to be told: nobody lost the model.
    await sleep(12_000);
    await allAlive([a, b, d]);
    for (const host of [b, d]) t.equal((await membersOf(host)).get('host1')?.id, id);
    await runFanway(c, ['leave']);
    await joinHost(cluster, c, ['--new-identity']);
    await allAlive([a, b, c, d]);
    t.not((await gossipOf(c)).id, id);
  },
);

t.test('two hosts that give one address as theirs', { skip }, async (t) => {
  const cluster = await makeCluster(t, { hosts: 3, fans: false });
  const { lab } = cluster;
  await joinHost(cluster, lab.host(0));
  await joinHost(cluster, lab.host(1));
  await joinHost(cluster, lab.host(2), ['--advertise', '172.30.1.27']);
  const { value, tookMs } = await until('it is seen', async () => {
    const { conflicts } = await gossipOf(lab.host(0));
    return conflicts[0];
  });
  t.comment(`seen after ${tookMs} ms: ${JSON.stringify(value)}`);
  t.match(value.subject, '172.30.1.27');
  t.same([value.winner.name, value.loser.name].sort(), ['host2', 'host3']);
  const status = await runFanway(lab.host(0), ['status']).catch(String);
  t.match(status, /CONFLICT: .*172\.30\.1\.27.* host[23] .* host[23] /);
});
