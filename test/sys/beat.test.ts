import t from 'tap';
import { Beat, untilBeat } from '../../src/sys/process/beat.ts';

t.test('untilBeat() counts all intervals from the same moment', async (t) => {
  t.equal(untilBeat(0, 500), 500);
  t.equal(untilBeat(1000.4, 500), 499.6);
  t.equal(untilBeat(1437, 500), 63);
  t.equal(untilBeat(1489.5, 500), 10.5);
  t.equal(untilBeat(1499.5, 500), 500.5, 'a timer that was early has had its beat');
  for (const ms of [250, 500, 1000]) t.equal((7310 + untilBeat(7310, ms)) % ms, 0);
});

t.test('work of several intervals is done in the same wake-ups, until it is closed', async (t) => {
  const wakes: number[] = [];
  const done = { short: 0, long: 0 };
  const beats = [
    new Beat(40, () => {
      wakes.push(Math.round(performance.now() / 40));
      done.short++;
    }),
    new Beat(80, () => {
      wakes.push(Math.round(performance.now() / 40));
      done.long++;
    }),
  ];
  while (done.long < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const beat of beats) beat.close();
  const before = { ...done };
  t.ok(done.short >= done.long);
  t.ok(new Set(wakes).size < wakes.length, 'some at the same time');
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.same(done, before, 'closed');
});

t.test('one that ends, or begins, in the middle of a beat', async (t) => {
  let [first, second, third] = [0, 0, 0];
  let later: Beat | undefined;
  const gone = new Beat(30, () => second++);
  const beat = new Beat(30, () => {
    first++;
    gone.close();
    gone.close();
    later ??= new Beat(30, () => third++);
  });
  while (third < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  beat.close();
  later?.close();
  t.ok(first >= 3 && second <= 1, `${first} ${second}`);
});
