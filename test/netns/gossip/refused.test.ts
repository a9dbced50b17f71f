import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fanway } from '../../control/lab-router.ts';
import { skipWithoutTun } from '../privileges.ts';
import {
  allAlive,
  joinHost,
  membersOf,
  metricOf,
  newKey,
  runFanway,
  startCluster,
  until,
} from './cluster.ts';

const skip = skipWithoutTun();

t.test('without the right key nobody gets in, nor an answer', { skip }, async (t) => {
  const cluster = await startCluster(t, { hosts: 2, fans: false });
  const { lab, hosts } = cluster;
  const [a, b] = [lab.host(0), lab.host(1)];
  await runFanway(b, ['leave']);
  const wrong = newKey(b);
  await joinHost({ ...cluster, keyFile: wrong.file }, b);
  await until(
    'its datagrams are refused',
    async () => (await metricOf(a, 'sealed_refused_key')) >= 3,
  );
  t.equal((await membersOf(b)).size, 1, 'it knows nobody');
  t.match(await runFanway(b, ['peers']), /^no peers\n1 seed, no answer yet: 172\.30\.0\.28: /);
  t.match(
    await runFanway(a, ['status']),
    /refused, \d+ datagrams, the last .*172\.30\.1\.27 seals with key [0-9a-f]{8}, and the keys here/,
  );
  t.equal((await membersOf(a)).get('host2')?.state ?? 'left', 'left');
  const sent = await metricOf(a, 'datagrams_sent');

  // The same for another label with the right key, and for plaintext.
  await runFanway(b, ['leave']);
  await joinHost(cluster, b, ['--label', 'other']);
  await until(
    'refused by the label',
    async () =>
      (await metricOf(a, 'sealed_refused_tag')) + (await metricOf(a, 'sealed_refused_label')) >= 1,
  );
  t.equal((await membersOf(b)).size, 1);
  await runFanway(b, ['leave']);
  await runFanway(b, ['join', '172.30.0.28', '--name', 'host2', '--insecure-plaintext']);
  await until(
    'plaintext is refused',
    async () => (await metricOf(a, 'sealed_refused_plaintext')) >= 1,
  );
  t.equal((await membersOf(b)).size, 1);
  t.match(await runFanway(b, ['status']).catch(String), /PLAINTEXT: whoever reaches the port/);
  t.equal(await metricOf(b, 'plaintext'), 1);
  t.equal(await metricOf(a, 'plaintext'), 0);
  t.ok((await metricOf(a, 'datagrams_sent')) - sent < 20, 'nothing is sent to strangers');
  await runFanway(b, ['leave']);

  // Without a key it would begin a cluster of its own.
  rmSync(join(b.runDirectory, 'state', 'gossip.key'));
  const keyless = await fanway(b, 'join', '172.30.0.28');
  t.equal(keyless.code, 3);
  t.match(
    keyless.err,
    `ssh root@172.30.0.28 cat ${join(b.runDirectory, 'state', 'gossip.key')} | fanway join 172.30.0.28 --key -`,
  );
  t.equal((await fanway(b, 'status')).code, 5, 'no router stays for it');
  await joinHost(cluster, b);
  await allAlive(hosts);
  t.match(await fanway(b, 'down', '-e', '--force'), {
    code: 0,
    err: /the router stays, for gossip: fanway leave ends it/,
  });
});
