import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { withoutSecrets } from '../../src/cli/report/secrets.ts';
import { tarOf } from '../../src/cli/report/tar.ts';
import { Lab } from '../../src/demo/lab.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const folder = mkdtempSync(join(tmpdir(), 'fanway-report-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const noTar = spawnSync('tar', ['--version']).error !== undefined && 'tar is not installed';

function tar(...words: string[]): string {
  const run = spawnSync('tar', words, { encoding: 'utf8' });
  t.equal(run.status, 0, run.stderr);
  return run.stdout;
}

t.test('tarOf() makes what tar reads', { skip: noTar }, async (t) => {
  const path = join(folder, 'some.tar');
  const texts = ['', 'a', 'x'.repeat(512), 'y'.repeat(513)];
  const files = texts.map((text, at) => ({ name: `d/${at}`, bytes: Buffer.from(text) }));
  writeFileSync(path, tarOf(files, 1_700_000_000));
  t.equal(tar('-tf', path), 'd/0\nd/1\nd/2\nd/3\n');
  for (const [at, text] of texts.entries()) t.equal(tar('-xOf', path, `d/${at}`), text);
});

t.test('withoutSecrets() removes keys of every form', async (t) => {
  const key = Buffer.alloc(32, 0xa7).toString('base64');
  t.equal(withoutSecrets(`key "${key}" use\n${key}`), 'key "[removed]" use\n[removed]');
  const pem = '-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----';
  t.equal(withoutSecrets(`a\n${pem}\nb`), 'a\n[removed]\nb');
  const hash = 'd'.repeat(64);
  t.equal(withoutSecrets(hash), hash, 'a hash is none');
});

t.test(
  'a report has what was asked, and no key',
  { skip: skipWithoutTun() || noTar },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const empty = join(folder, 'empty.tar');
    t.equal((await fanway(host, 'report', '--out', empty)).code, 0, 'without a router, too');
    t.match(tar('-xOf', empty, 'fanway-report/status.txt'), /no router runs.*\nexit code 5\n$/);
    t.match(tar('-xOf', empty, 'fanway-report/doctor.txt'), /net\/tun/);

    t.equal((await fanway(host, 'up', '250', 'eth0')).code, 0);
    const keyFile = join(folder, 'gossip.key');
    t.equal((await fanway(host, 'keygen', '--out', keyFile)).code, 0);
    t.equal((await fanway(host, 'join', '--key', keyFile)).code, 0);
    const [key = ''] = /^[A-Za-z0-9+/]{43}=/m.exec(readFileSync(keyFile, 'utf8')) ?? [];
    t.equal(Buffer.from(key, 'base64').length, 32);
    // Whoever wrote it there.
    writeFileSync(join(host.runDirectory, 'router.log'), `a key: ${key}\n`, { flag: 'a' });
    const full = join(folder, 'full.tar');
    t.match(await fanway(host, 'report', '--out', full), { code: 0, out: `${full}\n`, err: '' });
    t.equal(statSync(full).mode & 0o777, 0o600);
    const all = readFileSync(full, 'utf8');
    t.notOk(all.includes(key), 'the key is not in it');
    t.match(tar('-xOf', full, 'fanway-report/router.log'), 'a key: [removed]\n');
    t.match(JSON.parse(tar('-xOf', full, 'fanway-report/status.json')), {
      links: [{ name: 'fan-250-0-28', state: 'up' }],
      gossip: { state: 'up' },
    });
    t.match(await fanway(host, 'report', '--out', full), { code: 3, err: /is there already/ });
  },
);
