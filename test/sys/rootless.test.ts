import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  buffersForUsers,
  obstaclesForUsers,
  rootlessObstacle,
  tunObstacle,
} from '../../src/sys/process/rootless.ts';

t.test('rootlessObstacle() names the setting in the way', async (t) => {
  const only = (path: string, value: string) => (asked: string) =>
    asked === path ? value : undefined;
  t.match(rootlessObstacle(only('user/max_user_namespaces', '0')), /max_user_namespaces = 0/);
  t.match(
    rootlessObstacle(only('kernel/unprivileged_userns_clone', '0')),
    /unprivileged_userns_clone = 0/,
  );
});

t.test('obstaclesForUsers() names all of them, with what mends each', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const tun = join(folder, 'tun');
  const values: Record<string, string> = {
    'user/max_user_namespaces': '0',
    'kernel/unprivileged_userns_clone': '0',
    'kernel/apparmor_restrict_unprivileged_userns': '1',
  };
  const shut = obstaclesForUsers((path) => values[path], tun);
  t.equal(shut.length, 4);
  t.match(
    shut.join('\n'),
    /raise it\n.*set it to 1\n.*packaging\/apparmor\/fanway.*\n.*modprobe tun/,
  );
  writeFileSync(tun, '');
  chmodSync(tun, 0o660);
  const open = (path: string): string => (path.endsWith('apparmor_restrict') ? '0' : '1000');
  t.match(obstaclesForUsers(open, tun), [/mode 0660: make it 0666/]);
  chmodSync(tun, 0o666);
  t.same(obstaclesForUsers(open, tun), []);
});

t.test('buffersForUsers() is the line that root types', async (t) => {
  const read =
    (receive: string, send = '4194304') =>
    (path: string): string =>
      path.endsWith('rmem_max') ? receive : send;
  const is = (...of: [string, string?]): string => buffersForUsers(4 << 20, read(...of));
  t.equal(is('212992'), 'sysctl -w net.core.rmem_max=4194304');
  t.equal(is('212992', '212992'), 'sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304');
  t.equal(is('4194304'), '');
  t.equal(
    buffersForUsers(4 << 20, () => undefined),
    '',
    'a namespace that does not show them',
  );
});

t.test('rootlessObstacle() names a missing unshare', async (t) => {
  const path = process.env['PATH'];
  t.teardown(() => {
    process.env['PATH'] = path;
  });
  process.env['PATH'] = '/nonexistent';
  t.match(
    rootlessObstacle(() => undefined),
    /unshare \(package util-linux\) is not installed/,
  );
});

t.test('tunObstacle()', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'tun');
  t.match(tunObstacle(path), /is not there/);
  writeFileSync(path, '');
  t.equal(tunObstacle(path), undefined);
  if (process.getuid?.() === 0) {
    // Root passes every mode, so an ordinary user has to look.
    chmodSync(path, 0o600);
    chmodSync(folder, 0o755);
    const look = `require('fs').accessSync(process.argv[1], 6)`;
    const result = spawnSync(process.execPath, ['-e', look, path], { uid: 65_534, gid: 65_534 });
    t.not(result.status, 0);
  }
});
