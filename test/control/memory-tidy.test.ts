import t from 'tap';
import { MemoryTidy } from '../../src/control/memory-tidy.ts';
import { collectGarbage } from '../../src/sys/libc/memory.ts';

t.test('a burst is tidied up after once, when it is over', async (t) => {
  let [links, collected] = [0, 0];
  const tidy = new MemoryTidy(
    () => links,
    () => {
      collected++;
    },
  );
  const counts = [0, 4, 4, 60, 120, 120, 120, 120, 118, 118, 0, 0, 0].map((count) => {
    links = count;
    tidy.look();
    return collected;
  });
  t.same(counts, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]);
});

t.test('collectGarbage() gives back what nobody holds', async (t) => {
  // In a function of its own: what this one has touched stays among its registers.
  const before = await (async () => {
    const all = Array.from({ length: 200_000 }, () => [1, 2, 3, 4]);
    t.equal(all.length, 200_000);
    return process.memoryUsage().heapUsed;
  })();
  collectGarbage();
  const LEAST_BYTES = 6_000_000;
  const given = before - process.memoryUsage().heapUsed;
  t.ok(given > LEAST_BYTES, `${given} bytes`);
});
