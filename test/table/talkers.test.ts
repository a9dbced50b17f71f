import t from 'tap';
import { TALKERS_MAX, Talkers } from '../../src/table/talkers.ts';

/** The talkers of an address that are told now. */
function told(talkers: Talkers, link: number, address: number, nowMs: number): number[] {
  const found: number[] = [];
  for (let place = 0; place < TALKERS_MAX; place++) {
    place = talkers.take(link, address, place, nowMs);
    if (place < 0) break;
    found.push(talkers.talker);
  }
  return found.sort((a, b) => a - b);
}

const ADDRESS = 0xfa001c0a;

t.test('Talkers knows who asked for which address, on which link', async (t) => {
  const talkers = new Talkers();
  t.same(told(talkers, 0, ADDRESS, 1), []);
  talkers.note(0, ADDRESS, 1001, 0x0242, 0xfa010a0a, 5);
  talkers.note(0, ADDRESS, 1002, 0x0242, 0xfa010a0b, 5);
  talkers.note(0, ADDRESS, 1001, 0x0242, 0xfa010a0c, 6);
  talkers.note(1, ADDRESS, 1003, 0x0242, 0xfa010a0d, 6);
  t.same(told(talkers, 0, ADDRESS, 10), [1001, 1002]);
  t.same(told(talkers, 0, ADDRESS, 11), [], 'not twice in a moment');
  t.same(told(talkers, 0, ADDRESS, 500), [1001, 1002]);
  t.same(told(talkers, 1, ADDRESS, 500), [1003]);
  t.same(told(talkers, 0, ADDRESS + 1, 500), []);
  t.ok(talkers.take(0, ADDRESS, 0, 1000) >= 0);
  t.same([talkers.macHigh, talkers.macLow], [0x0242, 0xfa010a0c], 'its newest MAC');
});

t.test('Talkers is bounded: of too many the oldest are forgotten', async (t) => {
  const talkers = new Talkers();
  for (let i = 0; i < 1000; i++) talkers.note(0, ADDRESS, i, 0x0242, i, 1 + i);
  const found = told(talkers, 0, ADDRESS, 5000);
  t.equal(found.length, TALKERS_MAX);
  t.equal(found[0], 1000 - TALKERS_MAX);
});
