import t from 'tap';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { CLEAN, type Conditions, ImpairedWire, type Station } from './wire.ts';

t.test('the scheduler runs in order of time, then of asking', async (t) => {
  const scheduler = new Scheduler();
  const random = new Random(7);
  const ran: { timeMs: number; order: number }[] = [];
  for (let order = 0; order < 2000; order += 1) {
    const timeMs = random.below(100);
    scheduler.at(timeMs, () => ran.push({ timeMs: scheduler.nowMs, order }));
    if (order % 3 === 0) scheduler.runUntil(scheduler.nowMs);
  }
  scheduler.at(50, () => scheduler.after(7, () => ran.push({ timeMs: 57, order: 5000 })));
  scheduler.runUntil(56);
  t.equal(scheduler.nowMs, 56, 'time stands where it was told to');
  t.notOk(ran.some(({ order }) => order === 5000));
  scheduler.runUntil(1000);
  t.equal(ran.length, 2001);
  const sorted = [...ran].sort((a, b) => a.timeMs - b.timeMs || a.order - b.order);
  t.same(ran, sorted);
  t.equal(scheduler.nowMs, 1000);
});

t.test('the scheduler stops when it is asked to', async (t) => {
  const scheduler = new Scheduler();
  for (let i = 1; i <= 10; i += 1) scheduler.at(i * 10, () => {});
  t.equal(
    scheduler.runUntil(100, () => scheduler.nowMs >= 40),
    true,
  );
  t.equal(scheduler.nowMs, 40);
  t.equal(scheduler.runUntil(100), false);
});

t.test('a seed gives one sequence, another seed another', async (t) => {
  const draw = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 20 }, () => random.below(1000));
  };
  t.same(draw(42), draw(42));
  const firsts = new Set(Array.from({ length: 200 }, (_, seed) => draw(seed).join()));
  t.equal(firsts.size, 200);
  const random = new Random(1);
  const numbers = Array.from({ length: 10_000 }, () => random.next());
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  t.ok(mean > 0.48 && mean < 0.52, `mean ${mean}`);
  t.ok(numbers.every((x) => x >= 0 && x < 1));
  t.same(
    random.some([1, 2, 3], 5).sort((a, b) => a - b),
    [1, 2, 3],
  );
});

/** Sends `count` datagrams from station 0 to station 1 and tells what came, in order. */
function carry(conditions: Partial<Conditions>, count: number, seed = 1) {
  const scheduler = new Scheduler();
  const wire = new ImpairedWire(
    scheduler,
    new Random(seed),
    { ...CLEAN, ...conditions },
    {
      overheadBytes: 72,
    },
  );
  const came: { number: number; atMs: number }[] = [];
  const stations: Station[] = [0, 1].map((index) => ({
    index,
    arrive: (_from, _sender, payload) => {
      came.push({ number: new DataView(payload.buffer).getUint32(0), atMs: scheduler.nowMs });
    },
  }));
  const [a, b] = stations as [Station, Station];
  wire.attach(10, a);
  wire.attach(20, b);
  const send = (number: number) => {
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, number);
    wire.send({ address: 10, port: 1 }, a, { address: 20, port: 1 }, payload);
  };
  for (let number = 0; number < count; number += 1) scheduler.at(number, () => send(number));
  return { scheduler, wire, came, a, b };
}

t.test('a clean wire brings everything once and in order', async (t) => {
  const { scheduler, wire, came } = carry({}, 1000);
  scheduler.runUntil(10_000);
  t.same(
    came.map(({ number }) => number),
    Array.from({ length: 1000 }, (_, i) => i),
  );
  t.ok(came.every(({ number, atMs }) => atMs - number >= 0.2 && atMs - number <= 2.2));
  t.same(wire.sent[0], { datagrams: 1000, bytes: 1000 * (4 + 72 + 28) });
  t.equal(wire.sent[1], undefined);
});

t.test('each impairment does what it says', async (t) => {
  const lossy = carry({ lossShare: 0.3 }, 10_000);
  lossy.scheduler.runUntil(20_000);
  t.ok(lossy.came.length > 6800 && lossy.came.length < 7200, `${lossy.came.length} came`);
  t.equal(lossy.wire.lost, 10_000 - lossy.came.length);

  const doubled = carry({ duplicateShare: 0.5, lateShare: 0.1, lateMs: 30_000 }, 1000);
  doubled.scheduler.runUntil(60_000);
  t.ok(doubled.came.length > 1400 && doubled.came.length < 1600, `${doubled.came.length} came`);
  t.equal(new Set(doubled.came.map(({ number }) => number)).size, 1000);
  t.ok(doubled.came.some(({ number, atMs }) => atMs - number > 10_000));

  const mixed = carry({ reorderShare: 0.2, reorderMs: 50 }, 1000);
  mixed.scheduler.runUntil(10_000);
  t.equal(mixed.came.length, 1000);
  t.ok(mixed.came.some(({ number }, i) => number < (mixed.came[i - 1]?.number ?? 0)));
});

t.test('a cut may be one-way, and heals', async (t) => {
  const { scheduler, wire, came, a, b } = carry({}, 300);
  scheduler.at(99.5, () => wire.cut('one way', (from, to) => from === 0 && to === 1));
  scheduler.at(199.5, () => wire.heal('one way'));
  scheduler.runUntil(150.5);
  t.notOk(wire.isOpen(a.index, b.index));
  t.ok(wire.isOpen(b.index, a.index));
  scheduler.runUntil(1000);
  t.equal(came.length, 200);
  t.equal(wire.stopped, 100);
  t.ok(came.every(({ number }) => number < 100 || number >= 200));
});

t.test('an address without a station swallows what is sent to it', async (t) => {
  const { scheduler, wire, came, b } = carry({}, 10);
  wire.detach(20, b);
  scheduler.runUntil(100);
  t.same(came, []);
  t.equal(wire.stopped, 10);
});
