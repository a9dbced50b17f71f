/** Flows that wait: each in its order, all in turn, whatever is taken out in between. */
import t from 'tap';
import { NOBODY, WaitingFlows } from '../../../src/dataplane/queue/waiting-flows.ts';
import { Random } from '../../fuzz/mutate.ts';

t.test(
  'a flow that has little waits for a turn of the others, not for all they have',
  async (t) => {
    const flows = new WaitingFlows(1000);
    for (let entry = 0; entry < 900; entry++) flows.wait(entry, entry % 3, 1);
    flows.wait(900, 7, 1);
    const order: number[] = [];
    for (let entry = flows.pull(); entry !== NOBODY; entry = flows.pull()) order.push(entry);
    t.equal(order.length, 901);
    t.ok(order.indexOf(900) < 60, `the ${order.indexOf(900)}th`);
    const first = order.slice(0, 10).map((entry) => entry % 3);
    t.same(new Set(first).size, 1, 'neighbours are of one flow');
  },
);

t.test('a few of each flow go at once in a round, and none that would overtake', async (t) => {
  const flows = new WaitingFlows(8);
  flows.nextRound();
  t.same(
    [1, 2, 3, 4, 5].map(() => flows.mayGo(9, false)),
    [true, true, true, true, false],
  );
  t.equal(flows.mayGo(10, false), true, 'another flow');
  flows.wait(0, 9, 1);
  flows.nextRound();
  t.equal(flows.mayGo(9, false), false, 'one of it waits');
  t.equal(flows.pull(), 0);
  t.equal(flows.mayGo(9, false), true);
});

t.test(
  'where packets are gathered, who sends much waits and who sends little does not',
  async (t) => {
    const flows = new WaitingFlows(8);
    const [much, little] = [9, 10];
    flows.nextRound();
    for (let i = 0; i < 4; i++) t.equal(flows.mayGo(much, true), true, 'nobody knows it yet');
    t.equal(flows.mayGo(little, true), true);
    flows.nextRound();
    t.equal(flows.mayGo(much, true), false);
    t.equal(flows.mayGo(much, false), true, 'only where they are');
    t.equal(flows.mayGo(little, true), true);
    flows.nextRound();
    t.equal(flows.mayGo(much, true), true, 'it had two in the last round');
    flows.nextRound();
    flows.nextRound();
    t.equal(flows.mayGo(much, true), true, 'and none');
  },
);

t.test('random coming and going keeps the order of each flow, and loses nobody', async (t) => {
  const ENTRIES = 64;
  const flows = new WaitingFlows(ENTRIES);
  const random = new Random(12);
  const free = Array.from({ length: ENTRIES }, (_, i) => i);
  const model = new Map<number, number[]>();
  const owner = new Map<number, number>();
  let wrong = 0;
  let moved = 0;
  const left = (entry: number) => {
    const bucket = owner.get(entry) ?? NOBODY;
    if (model.get(bucket)?.shift() !== entry) wrong++;
    free.push(entry);
    moved++;
  };
  for (let step = 0; step < 20_000; step++) {
    const bucket = random.below(8);
    const kind = random.below(5);
    const waiting = model.get(bucket) ?? [];
    if (kind < 3 && free.length > 0) {
      const entry = free.pop() ?? 0;
      flows.wait(entry, bucket, 1 + random.below(20));
      model.set(bucket, [...waiting, entry]);
      owner.set(entry, bucket);
    } else if (kind === 3 && waiting.length > 0) left(flows.giveUp(bucket));
    else {
      const entry = flows.pull();
      if (entry !== NOBODY) left(entry);
      else if (free.length < ENTRIES) wrong++;
    }
    if (step % 5000 === 4999) {
      flows.clear();
      for (const [own, entries] of model) for (const entry of entries) flows.wait(entry, own, 1);
    }
  }
  t.equal(wrong, 0);
  t.ok(moved > 5000, `${moved} moved`);
});
