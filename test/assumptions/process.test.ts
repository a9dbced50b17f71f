// What holds between processes: shared memory, wake-ups, locks, privileges.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { errno, errnoName, libc } from '../../src/sys/libc/libc.ts';
import { createEventFd, SharedMemory, signalEventFd } from '../../src/sys/libc/memory.ts';

const koffi = createRequire(import.meta.url).resolve('koffi');
const BYTES = 65_536;

/** Starts JavaScript that has `koffi` and `c` (libc) at hand. */
function start(program: string, stdio: (number | 'pipe' | 'ignore' | 'inherit')[]): ChildProcess {
  const prelude = `const koffi = require(process.argv[1]); const c = koffi.load(null);`;
  return spawn(process.execPath, ['-e', prelude + program, koffi], { stdio });
}

async function output(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout ?? []) text += String(chunk);
  return text;
}

t.test('a memfd mapped by two processes is one memory', async (t) => {
  const memory = SharedMemory.create('fanway-test', BYTES);
  t.teardown(() => memory.close());
  const words = new Int32Array(memory.buffer);
  words[0] = 41;
  const child = start(
    `const mmap = c.func('uintptr_t mmap(uintptr_t, size_t, int, int, int, long)');
     const address = mmap(0, ${BYTES}, 3, 1, 3, 0);
     const words = new Int32Array(koffi.view(BigInt(address), ${BYTES}));
     Atomics.add(words, 0, 1);
     words[1] = 7;
     process.stdout.write(String(words[0]));`,
    ['ignore', 'pipe', 'inherit', memory.fd],
  );
  t.equal(await output(child), '42');
  t.equal(Atomics.load(words, 0), 42);
  t.equal(words[1], 7);
});

t.test('an eventfd wakes a poll in another process', async (t) => {
  const event = createEventFd();
  t.teardown(() => libc.close(event));
  const child = start(
    `const poll = c.func('int poll(uint8_t *, ulong, int)');
     const fds = Buffer.alloc(8);
     fds.writeInt32LE(3, 0);
     fds.writeInt16LE(1, 4);
     process.stdout.write('ready ');
     process.stdout.write(String(poll(fds, 1, 5000)));`,
    ['ignore', 'pipe', 'inherit', event],
  );
  child.stdout?.once('data', () => signalEventFd(event));
  t.equal(await output(child), 'ready 1');
});

t.test('flock is let go when its holder is killed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'lock');
  const LOCK_EX_NB = 2 | 4;
  const child = start(
    `const fd = require('fs').openSync(${JSON.stringify(path)}, 'w');
     c.func('int flock(int, int)')(fd, ${LOCK_EX_NB});
     process.stdout.write('held');
     setInterval(() => {}, 1000);`,
    ['ignore', 'pipe', 'inherit'],
  );
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  const fd = openSync(path, 'r+');
  t.teardown(() => closeSync(fd));
  const held = libc.flock(fd, LOCK_EX_NB) === 0 ? 'free' : errnoName(errno());
  t.equal(held, 'EAGAIN');
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  t.equal(libc.flock(fd, LOCK_EX_NB), 0);
});

t.test('an inherited descriptor outlives the process that opened it', async (t) => {
  const memory = SharedMemory.create('fanway-test', BYTES);
  const child = start(
    `process.stdin.on('end', () => {
       process.stdout.write(String(require('fs').fstatSync(3).size));
     });
     process.stdin.resume();`,
    ['pipe', 'pipe', 'inherit', memory.fd],
  );
  memory.close();
  child.stdin?.end();
  t.equal(await output(child), String(BYTES));
});

t.test('Node cannot make a user namespace in itself', async (t) => {
  const CLONE_NEWUSER = 0x1000_0000;
  const refused = libc.unshare(CLONE_NEWUSER) === 0 ? 'made' : errnoName(errno());
  t.equal(refused, 'EINVAL', 'it has several threads, hence util-linux unshare');
});
