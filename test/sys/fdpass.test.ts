import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import t from 'tap';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../src/sys/libc/constants.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import {
  DESCRIPTORS_MAX,
  receiveDescriptors,
  sendDescriptors,
} from '../../src/sys/sockets/fdpass.ts';
import { socketPair } from '../../src/sys/sockets/local-sockets.ts';

const FD_CLOEXEC = 1;
const F_GETFD = 1;

for (const [name, type] of [
  ['stream', SOCK_STREAM],
  ['datagram', SOCK_DGRAM],
  ['packets', SOCK_SEQPACKET],
] as const) {
  t.test(`descriptors cross a socket of ${name}`, async (t) => {
    const [a, b] = socketPair(type);
    t.teardown(() => {
      closeSync(a);
      closeSync(b);
    });
    t.equal(receiveDescriptors(b, 16), undefined, 'nothing has come');
    const files = ['/proc/self/stat', '/proc/version'].map((path) => openSync(path, 'r'));
    t.equal(sendDescriptors(a, Buffer.from('two'), files), 3);
    const passed = receiveDescriptors(b, 16);
    t.equal(Buffer.from(passed?.bytes ?? []).toString(), 'two');
    const [, version = -1] = passed?.descriptors ?? [];
    t.equal(passed?.descriptors.length, 2);
    t.equal(fstatSync(version).ino, fstatSync(files[1] ?? -1).ino, 'the same file');
    t.match(readFileSync(version, 'utf8'), /Linux/);
    t.equal(libc.fcntl(version, F_GETFD, 0) & FD_CLOEXEC, FD_CLOEXEC, 'not for our children');
    for (const fd of [...files, ...(passed?.descriptors ?? [])]) closeSync(fd);
    t.equal(sendDescriptors(a, Buffer.from('none'), []), 4);
    t.same(receiveDescriptors(b, 16)?.descriptors, []);
  });
}

t.test('what cannot be passed is refused, and nothing is kept', async (t) => {
  const [a, b] = socketPair(SOCK_SEQPACKET);
  t.teardown(() => closeSync(a));
  t.throws(() => sendDescriptors(a, new Uint8Array(0), [0]), RangeError);
  const many = new Array<number>(DESCRIPTORS_MAX + 1).fill(0);
  t.throws(() => sendDescriptors(a, Buffer.from('x'), many), RangeError);
  t.throws(() => sendDescriptors(a, Buffer.from('x'), [9999]), { code: 'EBADF' });
  const highest = openSync('/proc/version', 'r');
  closeSync(highest);
  sendDescriptors(a, Buffer.from('x'), [0, 1, 2]);
  t.throws(() => receiveDescriptors(b, 16, 2), { code: 'EMSGSIZE' });
  const next = openSync('/proc/version', 'r');
  t.equal(next, highest, 'those that came were closed again');
  closeSync(next);
  let full = 1;
  for (let i = 0; i < 100_000 && full > 0; i++) full = sendDescriptors(a, Buffer.alloc(64), []);
  t.equal(full, 0, 'a full socket takes nothing, and nobody waits');
  closeSync(b);
  t.throws(() => sendDescriptors(a, Buffer.from('x'), []), { code: /EPIPE|ECONNRESET/ });
});
