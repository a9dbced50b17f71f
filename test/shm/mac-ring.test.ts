import t from 'tap';
import { MAC_RING_BYTES, MAC_RING_ENTRIES, MacRing } from '../../src/shm/mac-ring.ts';

t.test('MacRing tells what was pushed since a count, and of too many the last', async (t) => {
  const buffer = new ArrayBuffer(64 + MAC_RING_BYTES);
  const writer = new MacRing(buffer, 64);
  const reader = new MacRing(buffer, 64);
  t.same(reader.after(reader.count), []);
  writer.push(3, 0x0242, 0xfa001c0a);
  t.same(reader.after(0), [{ link: 3, high: 0x0242, low: 0xfa001c0a }]);
  const since = reader.count;
  t.same(reader.after(since), []);
  for (let i = 0; i < MAC_RING_ENTRIES + 5; i++) writer.push(i, 1, i);
  const told = reader.after(since);
  t.equal(told.length, MAC_RING_ENTRIES);
  t.equal(told[0]?.link, 5, 'the five that were too many are lost');
  t.equal(told.at(-1)?.link, MAC_RING_ENTRIES + 4);
});
