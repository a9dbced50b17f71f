import { type ChildProcess, execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import {
  chooseUser,
  hasCapability,
  mapsId,
  readCapabilities,
  spawnUnprivileged,
} from '../../src/sys/process/capabilities.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root (or uid 0 of a user namespace)';
const WAIT = "process.stdout.write('ready'); setTimeout(() => {}, 5000)";

async function ready(child: ChildProcess): Promise<number> {
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
  });
  return child.pid ?? 0;
}

/** Every thread of a process, with the sets that would let it do something. */
function threadsWithPower(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).filter((thread) => {
    const sets = readCapabilities(pid, Number(thread));
    return (sets.effective | sets.permitted | sets.inheritable | sets.ambient) !== 0n;
  });
}

t.test('readCapabilities() reads our own', async (t) => {
  const sets = readCapabilities();
  t.type(sets.effective, 'bigint');
  t.equal(hasCapability('NET_ADMIN'), ((sets.effective >> 12n) & 1n) === 1n);
});

t.test('mapsId() reads uid_map', async (t) => {
  t.ok(mapsId('         0          0 4294967295\n', 65_534));
  t.notOk(mapsId('         0       1000          1\n', 65_534));
  t.ok(mapsId('0 1000 1\n1 100000 65536\n', 65_534));
  t.notOk(mapsId('', 0));
});

t.test('a child of root holds nothing in any thread', { skip }, async (t) => {
  const before = readCapabilities();
  const child = spawnUnprivileged(process.execPath, ['-e', WAIT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const pid = await ready(child);
  t.ok(readdirSync(`/proc/${pid}/task`).length > 1, 'it has several threads');
  t.strictSame(threadsWithPower(pid), []);
  t.strictSame(readCapabilities(), before, 'we keep ours');
  const user = chooseUser([process.execPath]);
  const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  t.equal(uid, String('uid' in user ? user.uid : 0), 'uid' in user ? '' : user.reason);
});

t.test('so does one that keeps uid 0', { skip }, async (t) => {
  const child = spawnUnprivileged(process.execPath, ['-e', WAIT], {
    stdio: ['ignore', 'pipe', 'inherit'],
    uid: 0,
    gid: 0,
  });
  t.teardown(() => child.kill('SIGKILL'));
  const pid = await ready(child);
  t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\s+0\s/m);
  t.strictSame(threadsWithPower(pid), []);
});

t.test('an ordinary spawn afterwards is as before', { skip }, async (t) => {
  spawnUnprivileged('true', [], { stdio: 'ignore' });
  const status = execFileSync('cat', ['/proc/self/status'], { encoding: 'utf8' });
  const effective = /^CapEff:\s*(\S+)/m.exec(status)?.[1] ?? '';
  t.equal(BigInt(`0x${effective}`), readCapabilities().effective);
});

t.test('the child cannot make a namespace, nor a grandchild of it', { skip }, async (t) => {
  for (const uid of [{}, { uid: 0, gid: 0 }]) {
    const child = spawnUnprivileged(
      'sh',
      ['-c', 'unshare --net true 2>/dev/null || echo refused'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        ...uid,
      },
    );
    let output = '';
    for await (const chunk of child.stdout ?? []) output += String(chunk);
    t.equal(output, 'refused\n');
  }
});

t.test('chooseUser() says what the user nobody may not read', { skip }, async (t) => {
  const user = chooseUser(['/proc/self/environ']);
  t.match('reason' in user ? user.reason : '', /nobody/);
});
