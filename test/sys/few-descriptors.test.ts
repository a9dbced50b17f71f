// What was opened for something that then cannot be had is closed again.
import { readdirSync } from 'node:fs';
import t from 'tap';
import { SharedMemory } from '../../src/sys/libc/memory.ts';
import { ChildMounts } from '../../src/sys/process/mounts.ts';
import { withDescriptorsLeft } from '../support/descriptors.ts';

t.test('memory that there is no room for', async (t) => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  // As much as a process has addresses, and more than a file may have.
  for (const [bytes, code] of [
    [2 ** 47, 'ENOMEM'],
    [-1, 'EINVAL'],
  ] as const) {
    t.throws(() => SharedMemory.create('fanway-test', bytes), { code });
  }
  t.equal(open(), before);
});

t.test('mounts of its own for a child, with no file left to open', async (t) => {
  const spawn = (): never => {
    throw new Error('it comes to that');
  };
  for (const left of [0, 1, 2]) {
    let thrown: unknown;
    const rest = withDescriptorsLeft(left, () => {
      try {
        ChildMounts.start(spawn);
      } catch (error) {
        thrown = error;
      }
    });
    t.match(thrown, { code: 'EMFILE' });
    t.equal(rest, left, `${left} could be opened, and still can`);
  }
});
