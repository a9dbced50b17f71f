import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { KeyJson } from '../../../src/api/keys.ts';
import type { LabHost } from '../../../src/demo/lab.ts';
import { formatKeyId, Keyring } from '../../../src/gossip/base/keyring.ts';
import { skipLong } from '../../support/long.ts';
import { skipWithoutTun } from '../privileges.ts';
import {
  allAlive,
  ask,
  equalTables,
  eventsOf,
  gossipOf,
  membersOf,
  metricOf,
  newKey,
  runFanway,
  seenAs,
  startCluster,
  until,
} from './cluster.ts';

const skip = skipWithoutTun() || skipLong;

/** The same change on several hosts: by the command on the first, by its socket on the others. */
async function changeKeys(
  hosts: readonly LabHost[],
  action: 'add' | 'use' | 'remove',
  word: string,
): Promise<void> {
  const [first, ...rest] = hosts;
  if (first !== undefined) await runFanway(first, ['key', action, word]);
  const body = action === 'add' ? { keys: readFileSync(word, 'utf8') } : { id: word };
  for (const host of rest) await ask(host, `/v1/gossip/key/${action}`, body);
}

async function keysOf(host: LabHost): Promise<string> {
  const keys = (await ask(host, '/v1/gossip/keys')) as KeyJson[];
  return keys.map(({ id, inUse }) => `${id}${inUse ? '*' : ''}`).join(' ');
}

t.test('a key is changed while one node is away', { skip }, async (t) => {
  const cluster = await startCluster(t, { hosts: 4, fans: false });
  const { lab, hosts } = cluster;
  const away = lab.host(3);
  const present = hosts.filter((host) => host !== away);
  const [old = ''] = (await keysOf(away)).split('*');
  const { id: awayId } = await gossipOf(away);

  await lab.setCable(3, false);
  await seenAs(present, awayId, ['dead']);
  const key = newKey(lab.host(0));
  await changeKeys(present, 'add', key.file);
  await changeKeys(present, 'use', key.id);
  for (const host of present) {
    t.equal(await keysOf(host), `${key.id}* ${old}`);
    const file = readFileSync(join(host.runDirectory, 'state', 'gossip.key'), 'utf8');
    t.equal(formatKeyId(Keyring.parse(file, 'file').inUse.id), key.id, 'also on disk');
  }
  await equalTables(present);
  for (const host of present) {
    const lost = (await eventsOf(host)).filter(({ id, to }) => to === 'dead' && id !== awayId);
    t.same(lost, [], `${host.name} lost nobody over it`);
  }

  // It returns with the old key only, which the others still have.
  await lab.setCable(3, true);
  t.comment(`back after ${await allAlive(hosts)} ms, with the old key`);
  t.equal(await keysOf(away), `${old}*`);
  await equalTables(hosts);
  await changeKeys([away], 'add', key.file);
  await changeKeys([away], 'use', key.id);
  await changeKeys(hosts, 'remove', old);
  for (const host of hosts) t.equal(await keysOf(host), `${key.id}*`);
  await allAlive(hosts);
  await equalTables(hosts);
});

t.test('who was away until the old key was removed gets one command', { skip }, async (t) => {
  const cluster = await startCluster(t, { hosts: 3, fans: false });
  const { lab, hosts } = cluster;
  const away = lab.host(2);
  const present = [lab.host(0), lab.host(1)];
  const [old = ''] = (await keysOf(away)).split('*');
  const { id: awayId } = await gossipOf(away);
  await lab.setCable(2, false);
  await seenAs(present, awayId, ['dead']);
  const key = newKey(lab.host(0));
  await changeKeys(present, 'add', key.file);
  await changeKeys(present, 'use', key.id);
  await changeKeys(present, 'remove', old);
  await lab.setCable(2, true);

  const log = join(away.runDirectory, 'router.log');
  const { value } = await until('it is told', async () =>
    readFileSync(log, 'utf8')
      .split('\n')
      .find((line) => line.includes(key.id)),
  );
  t.match(value, /fanway key add/, value);
  const members = await membersOf(lab.host(0));
  t.equal(members.get('host3')?.state, 'dead', 'the others do not hear it');
  await until('they count it', async () => {
    const counts = await Promise.all(present.map((host) => metricOf(host, 'sealed_refused_key')));
    return Math.max(...counts) > 0;
  });

  await runFanway(away, ['key', 'add', key.file]);
  t.comment(`back ${await allAlive(hosts)} ms after key add`);
  await equalTables(hosts);
});
