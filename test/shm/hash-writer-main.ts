/** Changes the entries of a table as fast as it can, until it is told to stop. @module */
import { workerData } from 'node:worker_threads';
import { HashWriter } from '../../src/shm/hash.ts';

const { shared, keys, seed }: { shared: SharedArrayBuffer; keys: number; seed: number } =
  workerData;
const flags = new Int32Array(shared, shared.byteLength - 8, 2);
const writer = new HashWriter(shared, 0, 1024, seed);
writer.set(2, 0, keys);
Atomics.store(flags, 1, 1);
for (let round = 1; Atomics.load(flags, 0) === 0; round++) {
  for (let key = 0; key < keys; key++) {
    // All but one come and go; each has only values that leave its number when divided by `keys`.
    if (key !== 0 && (round + key) % 3 === 0) writer.delete(2, key);
    else
      writer.set(
        2,
        key,
        ((round * keys) & 0xfffffff) - (((round * keys) & 0xfffffff) % keys) + keys + key,
      );
  }
}
