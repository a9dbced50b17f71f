import t from 'tap';
import { MemoryTidy } from '../../src/control/memory-tidy.ts';
import { collectGarbage } from '../../src/sys/libc/memory.ts';

t.test('a burst is tidied up after once, when it is over', async (t) => {
  let [links, collected, slowed] = [0, 0, 0];
  const tidy = new MemoryTidy(
    () => links,
    () => {
      collected++;
    },
    () => 0,
    () => {
      slowed++;
    },
  );
  const counts = [0, 4, 4, 60, 120, 120, 120, 120, 118, 118, 0, 0, 0].map((count) => {
    links = count;
    tidy.look();
    return collected;
  });
  t.same(counts, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]);
  t.equal(slowed, 1, 'with a hundred links and more the heap grows slowly');
});

t.test('what has grown since is given back too, not more than twice a minute', async (t) => {
  const MB = 1 << 20;
  let [used, collected] = [50 * MB, 0];
  const tidy = new MemoryTidy(
    () => 40,
    () => {
      collected++;
      used = 50 * MB;
    },
    () => used,
  );
  const look = (times: number): number => {
    for (let i = 0; i < times; i++) tidy.look();
    return collected;
  };
  t.equal(look(2), 1, 'forty links came');
  used = 70 * MB;
  t.equal(look(5), 1, 'not yet');
  t.equal(look(1), 2, 'half a minute later');
  used = 54 * MB;
  t.equal(look(40), 2, 'less than a tenth is no matter');
  used = 56 * MB;
  t.equal(look(1), 3);
});

t.test('a router that had no burst is left to V8', async (t) => {
  let used = 50 << 20;
  const tidy = new MemoryTidy(
    () => 2,
    () => t.fail('collected'),
    () => used,
  );
  for (let i = 0; i < 40; i++) {
    used += 8 << 20;
    tidy.look();
  }
  t.equal(used, 370 << 20);
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
