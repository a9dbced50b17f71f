/**
 * A process that confines itself and then tries what it should not be able to do, in its first
 * thread and in one that was there before the filter. Harmless wherever the filter does not hold.
 */
import { writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { addressOf, errno, errnoName, libc } from '../../src/sys/libc/libc.ts';
import { sealProcess } from '../../src/sys/process/capabilities.ts';
import { confineProcess } from '../../src/sys/process/seccomp.ts';

const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
const CLONE_NEWUSER = 0x1000_0000;
const PTRACE_TRACEME = 0;
const GETPPID = process.arch === 'arm64' ? 173 : 110;
const PTRACE = process.arch === 'arm64' ? 117 : 101;
const KILL = process.arch === 'arm64' ? 129 : 62;
const EXECVE = process.arch === 'arm64' ? 221 : 59;

function said(result: number): string {
  return result === -1 ? errnoName(errno()) : 'ok';
}

function tryAll(): Record<string, string> {
  const page = new Uint8Array(64);
  return {
    'open a file': said(libc.open('/etc/hostname', 0, 0)),
    'open a socket to a process here': said(libc.socket(AF_UNIX, SOCK_STREAM, 0)),
    'open a socket to elsewhere': said(libc.socket(AF_INET, SOCK_STREAM, 0)),
    'make a namespace': said(libc.unshare(CLONE_NEWUSER)),
    'make a device': said(libc.ioctl(0, 0x4004_54ca, addressOf(page))),
    'trace another process': said(libc.syscall(PTRACE, PTRACE_TRACEME, 0, 0, 0, 0)),
    'signal another process': said(libc.syscall(KILL, process.pid, 0, 0, 0, 0)),
    // No program of that name: without the filter the answer is ENOENT.
    'run another program': said(libc.syscall(EXECVE, addressOf(page), 0, 0, 0, 0)),
    'ask who is above': said(libc.syscall(GETPPID, 0, 0, 0, 0, 0)),
    'change an attribute': said(libc.prctl(15, addressOf(page), 0, 0, 0)),
    'may make memory': said(libc.mmap(0, 4096, 3, 0x22, -1, 0)),
    'may sleep': said(libc.poll(0, 0, 1)),
    'may give way': said(libc.sched_yield()),
  };
}

// Words that the two threads tell each other by: neither turns an event loop once it is confined.
const Word = { Here: 0, Go: 1, Done: 2, Bytes: 3 } as const;

function waitFor(words: Int32Array, word: number): void {
  while (Atomics.load(words, word) === 0) Atomics.wait(words, word, 0, 100);
}

function tell(words: Int32Array, word: number, value = 1): void {
  Atomics.store(words, word, value);
  Atomics.notify(words, word);
}

if (isMainThread) {
  const shared = new SharedArrayBuffer(65_536);
  const words = new Int32Array(shared, 0, 4);
  new Worker(new URL(import.meta.url), { workerData: shared });
  // Its file is loaded by now; from here on nothing could load it.
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (Atomics.load(words, Word.Here) === 0) return;
      clearInterval(timer);
      resolve();
    }, 5);
  });
  sealProcess();
  const { reason } = confineProcess();
  const tries = [tryAll()];
  tell(words, Word.Go);
  waitFor(words, Word.Done);
  const text = Buffer.from(new Uint8Array(shared, 16, Atomics.load(words, Word.Bytes)));
  tries.push(JSON.parse(text.toString()));
  writeSync(1, JSON.stringify({ reason, tries }));
  libc._exit(0);
} else {
  const shared: SharedArrayBuffer = workerData;
  const words = new Int32Array(shared, 0, 4);
  tell(words, Word.Here);
  waitFor(words, Word.Go);
  const text = Buffer.from(JSON.stringify(tryAll()));
  new Uint8Array(shared, 16).set(text);
  tell(words, Word.Bytes, text.length);
  tell(words, Word.Done);
  for (;;) Atomics.wait(words, Word.Here, 1);
}
