import t from 'tap';
import { Suspicion, suspicionTimes } from '../../src/gossip/members/suspicion.ts';

const VERSION = { epoch: 1, sequence: 1 };

t.test('suspicionTimes() grows with the logarithm of the members', async (t) => {
  // [members, minimum ms, maximum ms, confirmations]
  const table: [number, number, number, number][] = [
    [2, 3000, 3000, 0],
    [3, 3000, 18_000, 1],
    [4, 3000, 18_000, 2],
    [10, 3000, 18_000, 2],
    [64, 5419, 32_511, 2],
    [100, 6000, 36_000, 2],
    [1000, 9000, 54_000, 2],
  ];
  for (const [members, minMs, maxMs, confirmations] of table) {
    const times = suspicionTimes(members, 1000);
    t.equal(Math.round(times.minMs), minMs, `${members} members, minimum`);
    t.equal(Math.round(times.maxMs), maxMs, `${members} members, maximum`);
    t.equal(times.confirmations, confirmations, `${members} members, confirmations`);
  }
});

t.test('each accuser shortens the time, down to the minimum', async (t) => {
  const times = { minMs: 1000, maxMs: 6000, confirmations: 2 };
  const suspicion = new Suspicion(VERSION, 'a', 500, times);
  t.equal(suspicion.deadlineMs, 6500);
  t.notOk(suspicion.confirm('a'), 'the same accuser again is no news');
  t.equal(suspicion.deadlineMs, 6500);
  t.ok(suspicion.confirm('b'));
  t.equal(
    Math.round(suspicion.deadlineMs),
    500 + Math.round(6000 - (Math.log(2) / Math.log(3)) * 5000),
  );
  t.ok(suspicion.confirm('c'));
  t.equal(suspicion.deadlineMs, 1500);
  t.notOk(suspicion.confirm('d'), 'more accusers than count are not passed on');
  t.equal(suspicion.deadlineMs, 1500);
});

t.test('where nobody can confirm the minimum holds at once', async (t) => {
  const suspicion = new Suspicion(VERSION, 'a', 0, suspicionTimes(2, 1000));
  t.equal(suspicion.deadlineMs, 3000);
  t.notOk(suspicion.confirm('b'));
});

t.test('who hears that another has waited in vain waits no longer than the minimum', async (t) => {
  const suspicion = new Suspicion(VERSION, 'a', 500, suspicionTimes(10, 1000));
  t.equal(suspicion.deadlineMs, 18_500);
  suspicion.hurry();
  t.equal(suspicion.deadlineMs, 3500, 'but this long, from its own first doubt on');
});

t.test('whom only one suspects is to be asked once more, and once', async (t) => {
  const times = { minMs: 3000, maxMs: 18_000, confirmations: 2 };
  const alone = new Suspicion(VERSION, 'a', 0, times);
  t.notOk(alone.isToAskAgain(14_999));
  t.ok(alone.isToAskAgain(15_000));
  t.notOk(alone.isToAskAgain(15_001));
  const confirmed = new Suspicion(VERSION, 'a', 0, times);
  confirmed.confirm('b');
  t.notOk(confirmed.isToAskAgain(17_999), 'several have asked it already');
});
