import t from 'tap';
import { Counters } from '../../src/gossip/base/counters.ts';
import { BroadcastQueue, Lane, transmitLimit } from '../../src/gossip/post/broadcast.ts';
import { type Message, MessageType } from '../../src/wire/gossip/types.ts';

/** A message that is told from others by its number; its size is a tenth of that. */
const message = (number: number): Message => ({ type: MessageType.Ack, number });
const numbers = (messages: Message[]): number[] =>
  messages.map((each) => (each.type === MessageType.Ack ? each.number : -1));

function make(max: number) {
  const counters = new Counters();
  const sizeOf = (each: Message): number => (each.type === MessageType.Ack ? each.number / 10 : 0);
  return { counters, queue: new BroadcastQueue(max, counters, sizeOf) };
}

t.test('transmitLimit() grows with the logarithm of the members', async (t) => {
  const table: [number, number][] = [
    [1, 8],
    [9, 8],
    [10, 12],
    [64, 12],
    [99, 12],
    [100, 16],
    [1024, 20],
  ];
  for (const [members, limit] of table) t.equal(transmitLimit(members), limit, `${members}`);
});

t.test('what was sent least goes first, the oldest of those before the others', async (t) => {
  const { queue } = make(10);
  queue.add('a', message(100), Lane.Bulk);
  queue.add('b', message(110), Lane.Bulk);
  t.same(numbers(queue.take(12, 8)), [100]);
  t.same(numbers(queue.take(12, 8)), [110]);
  queue.add('c', message(120), Lane.Bulk);
  t.same(numbers(queue.take(12, 8)), [120]);
  t.same(numbers(queue.take(25, 8)), [100, 110]);
});

t.test('urgent messages go before bulk, however often they were sent', async (t) => {
  const { queue } = make(10);
  queue.add('bulk', message(100), Lane.Bulk);
  queue.add('urgent', message(110), Lane.Urgent);
  t.same(numbers(queue.take(12, 8)), [110]);
  t.same(numbers(queue.take(12, 8)), [110]);
  t.same(numbers(queue.take(25, 8)), [110, 100]);
});

t.test('what does not fit lets smaller ones pass', async (t) => {
  const { queue } = make(10);
  queue.add('large', message(500), Lane.Urgent);
  queue.add('small', message(100), Lane.Urgent);
  t.same(numbers(queue.take(20, 8)), [100]);
  t.same(numbers(queue.take(60, 8)), [500, 100]);
});

t.test('each is sent as often as the limit says, then it is done', async (t) => {
  const { queue, counters } = make(10);
  queue.add('a', message(100), Lane.Bulk);
  let sends = 0;
  while (queue.take(100, 64).length > 0) sends++;
  t.equal(sends, transmitLimit(64));
  t.equal(queue.size, 0);
  t.equal(counters.value('broadcasts.finished'), 1);
});

t.test('a newer message under the same key begins anew', async (t) => {
  const { queue, counters } = make(10);
  queue.add('a', message(100), Lane.Bulk);
  queue.take(100, 8);
  queue.add('a', message(110), Lane.Urgent);
  t.equal(queue.size, 1);
  t.equal(counters.value('broadcasts.replaced'), 1);
  let sends = 0;
  for (let taken = queue.take(100, 8); taken.length > 0; taken = queue.take(100, 8)) {
    t.same(numbers(taken), [110]);
    sends++;
  }
  t.equal(sends, transmitLimit(8));
});

t.test('a full queue lets go of what was sent most, bulk first', async (t) => {
  const { queue, counters } = make(3);
  queue.add('urgent', message(100), Lane.Urgent);
  queue.add('often', message(110), Lane.Bulk);
  queue.take(100, 8);
  queue.add('fresh', message(120), Lane.Bulk);
  queue.add('more', message(130), Lane.Bulk);
  t.equal(queue.size, 3);
  t.equal(counters.value('overflow.broadcasts'), 1);
  t.same(numbers(queue.take(100, 8)), [100, 120, 130]);
  t.ok(queue.drop('urgent'));
  t.notOk(queue.drop('often'), 'it is the one that went');
});
