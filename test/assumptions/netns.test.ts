// What the kernel and Node promise about network namespaces and threads.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import t from 'tap';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';

const skip = skipWithoutNamespaces();
const outside = () => readlinkSync('/proc/self/ns/net');
const READ_OWN = "process.stdout.write(require('fs').readlinkSync('/proc/self/ns/net'))";

t.test('fork inherits the namespace of the thread that calls it', { skip }, async (t) => {
  const namespace = NetworkNamespace.create();
  const expected = `net:[${namespace.inode}]`;
  t.not(outside(), expected);
  const child = namespace.spawn(process.execPath, ['-e', READ_OWN], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout ?? []) text += String(chunk);
  t.equal(text, expected, 'child_process.spawn (libuv forks on the main thread)');
  const sync = namespace.run(() => spawnSync(process.execPath, ['-e', READ_OWN]));
  t.equal(String(sync.stdout), expected, 'spawnSync');
  t.equal(String(execFileSync(process.execPath, ['-e', READ_OWN])), outside(), 'and not later');
  namespace.close();
});

t.test('a synchronous read of /proc/thread-self/net shows the namespace', { skip }, async (t) => {
  const namespace = NetworkNamespace.create();
  const inside = namespace.run(() => readFileSync('/proc/thread-self/net/dev', 'utf8'));
  t.match(inside, /^\s*lo:/m);
  t.equal(inside.trim().split('\n').length, 3, 'two header lines and lo');
  namespace.close();
});

t.test('/proc/sys/net belongs to the thread that opens it', { skip }, async (t) => {
  const namespace = NetworkNamespace.create();
  const path = '/proc/sys/net/ipv4/ip_forward';
  const before = readFileSync(path, 'utf8');
  t.equal(
    namespace.run(() => readFileSync(path, 'utf8')),
    '0\n',
    'a new namespace forwards nothing',
  );
  t.equal(readFileSync(path, 'utf8'), before);
  namespace.close();
});

t.test('asynchronous fs does not follow the main thread', { skip }, async (t) => {
  await readFile('/proc/self/stat'); // the pool's threads exist from here on, outside
  const namespace = NetworkNamespace.create();
  let pending: Promise<string> = Promise.resolve('');
  namespace.run(() => {
    pending = readlink('/proc/thread-self/ns/net');
  });
  t.equal(await pending, outside());
  t.throws(
    () => namespace.run(async () => undefined),
    /synchronous/,
    'run() refuses promises for this reason',
  );
  namespace.close();
});

t.test('a namespace is gone when its last descriptor is', { skip }, async (t) => {
  const namespace = NetworkNamespace.create();
  const again = NetworkNamespace.ofProcess(process.pid);
  t.equal(again.inode, NetworkNamespace.home().inode);
  again.close();
  namespace.close();
  t.throws(() => namespace.fd, /closed/);
  t.throws(() => namespace.run(() => 0), /closed/);
});
