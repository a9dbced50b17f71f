/** The hash table in shared memory, also while another thread writes it. */
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { HashReader, HashWriter, SLOT_BYTES } from '../../src/shm/hash.ts';
import { Random } from '../fuzz/mutate.ts';
import { testProgram } from '../netns/relay.ts';
import { until } from '../support/patience.ts';

const SEED = 0x5eed;

t.test('long churn with other keys each time leaves no traces', async (t) => {
  const slots = 256;
  const buffer = new ArrayBuffer(slots * SLOT_BYTES);
  const writer = new HashWriter(buffer, 0, slots, SEED);
  const reader = new HashReader(buffer, 0, slots, SEED);
  const random = new Random(99);
  const live = new Map<number, number>();
  for (let round = 0; round < 100_000; round++) {
    const key = random.below(2 ** 32);
    if (!writer.set(2, key, 1 + (round & 0xffff))) throw new Error('no room in a half full table');
    live.set(key, 1 + (round & 0xffff));
    if (live.size <= slots / 2) continue;
    const [oldest = 0] = live.keys();
    live.delete(oldest);
    if (!writer.delete(2, oldest)) throw new Error('an entry was lost');
  }
  t.equal(writer.count, live.size);
  t.same(new Map([...writer.entries()].map(({ key, value }) => [key, value])), live);
  for (const [key, value] of live) if (reader.find(2, key) !== value) t.fail('not found');
  for (const key of [...live.keys()]) writer.delete(2, key);
  t.same(new Set(new Int32Array(buffer).filter((_, i) => i % 4 === 0)), new Set([0]), 'all empty');
});

t.test('a neighbourhood that is full refuses, and says so', async (t) => {
  const slots = 64;
  const writer = new HashWriter(new ArrayBuffer(slots * SLOT_BYTES), 0, slots, SEED);
  for (let key = 0; key < slots; key++) t.ok(writer.set(2, key, 1));
  t.notOk(writer.set(2, slots, 1));
  t.equal(writer.find(2, slots), 0);
});

t.test('what a writer that was killed half way leaves is not seen', async (t) => {
  const buffer = new ArrayBuffer(64 * SLOT_BYTES);
  const writer = new HashWriter(buffer, 0, 64, SEED);
  const reader = new HashReader(buffer, 0, 64, SEED);
  writer.set(2, 77, 5);
  const words = new Int32Array(buffer);
  const at = words.indexOf(77) - 1;
  const seal = words[at + 3] ?? 0;
  words[at + 2] = 6;
  t.equal(reader.find(2, 77), 0, 'a value that its seal does not fit');
  words[at + 2] = 5;
  words[at + 3] = seal ^ 1;
  t.equal(reader.find(2, 77), 0, 'a seal of something else');
  words[at + 3] = seal;
  t.equal(reader.find(2, 77), 5);
});

t.test('a reader beside a writer sees old or new, never anything else', async (t) => {
  const keys = 64;
  const shared = new SharedArrayBuffer(1024 * SLOT_BYTES + 8);
  const flags = new Int32Array(shared, 1024 * SLOT_BYTES, 2);
  const worker = new Worker(testProgram('shm/hash-writer-main.js'), {
    workerData: { shared, keys, seed: SEED },
  });
  try {
    await until('the writer', 5000, () => Atomics.load(flags, 1) === 1);
    const reader = new HashReader(shared, 0, 1024, SEED);
    let [found, missed, wrong] = [0, 0, 0];
    const untilMs = performance.now() + 300;
    while (performance.now() < untilMs) {
      for (let key = 0; key < keys; key++) {
        const value = reader.find(2, key);
        // Each key has values of its own; key 0 is there always.
        if (value === 0) key === 0 ? wrong++ : missed++;
        else if (value % keys === key) found++;
        else wrong++;
      }
    }
    t.equal(wrong, 0);
    t.ok(found > 1000, `${found} found, ${missed} met while they were away`);
  } finally {
    Atomics.store(flags, 0, 1);
    await worker.terminate();
  }
});
