import t from 'tap';
import {
  RECORD_BYTES,
  RING_BYTES,
  RING_RECORDS,
  RingReader,
  RingWriter,
} from '../../src/shm/ring.ts';

const OFFSET = 128;

function makeRing() {
  const buffer = new SharedArrayBuffer(OFFSET + RING_BYTES);
  return { writer: new RingWriter(buffer, OFFSET), reader: new RingReader(buffer, OFFSET), buffer };
}

/** Writes `value` as one record; false when the ring is full. */
function push(writer: RingWriter, value: number): boolean {
  const at = writer.reserve();
  if (at < 0) return false;
  writer.view.setUint32(at, value, true);
  writer.view.setUint32(at + RECORD_BYTES - 4, value, true);
  writer.commit();
  return true;
}

/** The next record, undefined when there is none. */
function pull(reader: RingReader): number | undefined {
  const at = reader.peek();
  if (at < 0) return undefined;
  const value = reader.view.getUint32(at, true);
  const last = reader.view.getUint32(at + RECORD_BYTES - 4, true);
  reader.release();
  return value === last ? value : Number.NaN;
}

t.test('records come out in the order in which they went in, round and round', async (t) => {
  const { writer, reader } = makeRing();
  let [next, seen] = [0, 0];
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 500 + round; i++) t.ok(push(writer, next++) || t.fail('full'));
    for (let value = pull(reader); value !== undefined; value = pull(reader)) {
      if (value !== seen) t.equal(value, seen, 'in order');
      seen++;
    }
  }
  t.equal(seen, next);
  t.equal(reader.lost, 0);
});

t.test('a full ring loses the newest and counts it; what is there stays', async (t) => {
  const { writer, reader } = makeRing();
  for (let i = 0; i < RING_RECORDS; i++) push(writer, i);
  t.equal(push(writer, 99), false);
  t.equal(push(writer, 99), false);
  t.equal(reader.lost, 2);
  t.equal(pull(reader), 0);
  t.equal(push(writer, RING_RECORDS), true, 'one was read: there is room for one');
  t.equal(push(writer, 99), false);
  for (let i = 1; i <= RING_RECORDS; i++) if (pull(reader) !== i) t.fail(`record ${i}`);
  t.equal(pull(reader), undefined);
});

t.test('counts wrap at 2³²', async (t) => {
  const { writer, reader, buffer } = makeRing();
  new Int32Array(buffer, OFFSET, 2).fill(-3);
  for (let i = 0; i < 10; i++) t.equal(push(writer, i), true);
  for (let i = 0; i < 10; i++) t.equal(pull(reader), i);
  for (let i = 0; i < RING_RECORDS; i++) push(writer, i);
  t.equal(push(writer, 0), false, 'full is still full');
});

t.test('a successor goes on where its predecessor stopped', async (t) => {
  const { writer, reader, buffer } = makeRing();
  const successor = new RingWriter(buffer, OFFSET);
  push(writer, 1);
  push(successor, 2);
  t.same([pull(reader), pull(reader), pull(reader)], [1, 2, undefined]);
});

t.test('a reader that sleeps is woken once, and never misses what came first', async (t) => {
  const { writer, reader } = makeRing();
  t.equal(writer.takeAsleep(), false, 'nobody sleeps');
  t.equal(reader.sleep(), true);
  push(writer, 1);
  t.equal(writer.takeAsleep(), true);
  t.equal(writer.takeAsleep(), false);
  push(writer, 2);
  t.equal(reader.sleep(), false, 'there is something to read');
  t.same([pull(reader), pull(reader)], [1, 2]);
});
