import t from 'tap';
import {
  emitArrival,
  emitEchoRequest,
  readArrivalMs,
  readEchoToken,
} from '../../../src/control/plane/echo/echo.ts';
import { AutoRate, RATE_MAX } from '../../../src/control/plane/rate/auto-rate.ts';
import { OneWay } from '../../../src/control/plane/rate/one-way.ts';

const LOOK_MS = 10;
/** 100 Mb/s. */
const LINE = 12_500_000;
/** What the bottleneck's queue holds, ms at its rate. */
const QUEUE_MS = 400;

/** Numbers between 0 and 1 that are the same in each run. */
function numbers(): () => number {
  let seed = 1;
  return () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return seed / 2 ** 32;
  };
}

/** An answer on its way. */
type Answer = { atMs: number; sentMs: number; delayMs: number };

/** A sender that always has something, a queue, and what it adds to the way. */
class Line {
  readonly auto = new AutoRate();
  passes = LINE;
  /** What the sender has to send where nothing limits it. */
  offers = LINE * 1.1;
  nowMs = 0;
  sent = 0;
  queued = 0;
  passed = 0;
  /** Longer by so much than it was at first. */
  longerMs = 0;
  /** What an answer takes beside its delay until somebody looks at it, ms. */
  lateMs = 0;
  #answers: Answer[] = [];
  readonly delays: number[] = [];

  run(ms: number, noise = () => 0): void {
    this.delays.length = 0;
    this.passed = 0;
    for (let end = this.nowMs + ms; this.nowMs < end; this.nowMs += LOOK_MS) {
      const { rate } = this.auto;
      const limited = rate !== 0 && rate < this.offers;
      const bytes = ((limited ? rate : this.offers) * LOOK_MS) / 1000;
      const room = (this.passes * LOOK_MS) / 1000;
      this.sent += bytes;
      const through = Math.min(this.queued + bytes, room);
      this.passed += through;
      this.queued = Math.min(this.queued + bytes - through, (this.passes * QUEUE_MS) / 1000);
      const delayMs = (this.queued / this.passes) * 1000;
      this.delays.push(delayMs);
      const sentMs = this.nowMs;
      this.#answers.push({
        ...{ atMs: sentMs + delayMs + this.lateMs, sentMs },
        delayMs: delayMs + this.longerMs + noise(),
      });
      const seen = this.#seen();
      this.auto.look({
        ...{ nowMs: this.nowMs, sentBytes: this.sent, isLimited: limited },
        ...{ delayMs: seen?.delayMs, ageMs: seen === undefined ? 0 : this.nowMs - seen.sentMs },
      });
      if (this.auto.isNewPath) this.longerMs = 0;
    }
  }

  /** The least of what has come by now. */
  #seen(): Answer | undefined {
    const come = this.#answers.filter(({ atMs }) => atMs <= this.nowMs);
    this.#answers = this.#answers.filter(({ atMs }) => atMs > this.nowMs);
    return come.reduce<Answer | undefined>(
      (least, one) => (least === undefined || one.delayMs <= least.delayMs ? one : least),
      undefined,
    );
  }

  /** Share of what the line passes, and the delay that all but one in a hundred had at most. */
  figures(ms: number): { share: number; p99: number } {
    const sorted = [...this.delays].sort((a, b) => a - b);
    const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
    return { share: (this.passed * 1000) / (this.passes * ms), p99 };
  }
}

t.test('a link that meets no bottleneck has no rate', async (t) => {
  const line = new Line();
  line.offers = LINE * 0.9;
  line.run(10_000);
  t.equal(line.auto.rate, 0);
});

t.test('it finds the bottleneck, keeps its queue short and the line full', async (t) => {
  const line = new Line();
  line.run(4000);
  t.ok(line.auto.rate > 0.85 * LINE && line.auto.rate < 1.05 * LINE, `${line.auto.rate} bytes/s`);
  line.run(60_000);
  const { share, p99 } = line.figures(60_000);
  t.ok(p99 <= 5, `99 % of the time at most ${p99.toFixed(1)} ms`);
  t.ok(share >= 0.97, `${share.toFixed(3)} of the line`);
});

for (const [title, lateMs, noiseMs] of [
  ['answers that come late', 100, 0],
  ['a host that is busy: late, and some ms are added to each', 40, 2],
] as const) {
  t.test(`${title} cost no more`, async (t) => {
    const line = new Line();
    const next = numbers();
    const noise = () => -Math.log(1 - next()) * noiseMs;
    line.lateMs = lateMs;
    line.run(5000, noise);
    line.run(60_000, noise);
    const { share, p99 } = line.figures(60_000);
    t.ok(p99 <= 6, `99 % of the time at most ${p99.toFixed(1)} ms`);
    t.ok(share >= 0.93, `${share.toFixed(3)} of the line`);
  });
}

t.test('an idle link keeps what it has found, and a line far beyond any has no rate', async (t) => {
  const line = new Line();
  line.run(5000);
  while (line.auto.rate < LINE) line.run(LOOK_MS);
  line.auto.rest();
  const { rate } = line.auto;
  t.ok(rate < LINE, 'a trial ends with the traffic');
  line.nowMs += 3_600_000;
  line.offers = LINE / 10;
  line.run(5000);
  t.ok(line.auto.rate > 0.9 * rate, `${line.auto.rate} of ${rate} bytes/s after an hour`);
  line.passes = 2 * RATE_MAX;
  line.offers = 2 * RATE_MAX;
  line.run(20_000);
  t.equal(line.auto.rate, 0);
});

t.test('a slow line: a packet takes longer than any noise', async (t) => {
  const line = new Line();
  line.passes = LINE / 100;
  line.offers = line.passes * 1.5;
  const next = numbers();
  // Whoever comes waits for what is left of a packet.
  const noise = () => (next() * 1514 * 1000) / line.passes;
  line.run(10_000, noise);
  line.run(60_000, noise);
  const { share, p99 } = line.figures(60_000);
  t.ok(share >= 0.9 && p99 < 60, `${share.toFixed(3)} of 1 Mb/s, ${p99.toFixed(1)} ms`);
});

t.test('a silence before the load does not count as what passes', async (t) => {
  const line = new Line();
  line.offers = LINE * 0.5;
  line.run(1000);
  line.nowMs += 4000;
  line.offers = LINE * 1.5;
  line.run(1000);
  t.ok(line.auto.rate > 0.7 * LINE, `${line.auto.rate} bytes/s at once`);
});

t.test('it follows down and up', async (t) => {
  const line = new Line();
  line.lateMs = 20;
  line.run(10_000);
  line.passes = LINE / 4;
  line.run(3000);
  const { rate } = line.auto;
  t.ok(rate > 0.15 * LINE && rate < 0.27 * LINE, `${rate} bytes/s: down to a quarter within 3 s`);
  line.run(30_000);
  const low = line.figures(30_000);
  t.ok(low.p99 <= 12 && low.share >= 0.95, `${low.p99.toFixed(1)} ms, ${low.share.toFixed(3)}`);
  line.passes = LINE;
  line.run(5000);
  t.ok(line.auto.rate > 0.9 * LINE, `${line.auto.rate} bytes/s: up again within 5 s`);
});

t.test('noise costs little, and a way that has become longer is no queue', async (t) => {
  const line = new Line();
  const next = numbers();
  const noise = () => (next() < 0.1 ? 20 : 0);
  line.run(5000, noise);
  line.run(30_000, noise);
  t.ok(line.figures(30_000).share > 0.93, 'one answer in ten is late by 20 ms');
  line.longerMs = 30;
  line.run(8000);
  line.run(20_000);
  t.ok(line.figures(20_000).share > 0.85, 'the line is full again on a way that is 30 ms longer');
});

t.test('it goes on from a rate that was found before', async (t) => {
  const line = new Line();
  line.auto.resume(LINE * 0.9);
  line.run(10_000);
  const { share, p99 } = line.figures(10_000);
  t.ok(share > 0.95 && p99 <= 8, `${share.toFixed(3)} of the line, ${p99.toFixed(1)} ms`);
});

t.test('a queue of the other direction stops it at a quarter of what passed', async (t) => {
  const run = (isBlind: boolean): number => {
    const auto = new AutoRate();
    let sent = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let nowMs = 0; nowMs < 20_000; nowMs += LOOK_MS) {
      sent += ((auto.rate === 0 ? LINE : Math.min(LINE, auto.rate)) * LOOK_MS) / 1000;
      // It comes and goes, whatever we send.
      const delayMs = nowMs < 1000 ? 0 : 20 + 15 * Math.sin(nowMs / 700);
      auto.look({ nowMs, delayMs, sentBytes: sent, isLimited: true, isBlind });
      if (auto.rate > 0) least = Math.min(least, auto.rate);
    }
    return least / LINE;
  };
  t.ok(run(true) > 0.14, `${run(true).toFixed(3)} of what was found at first`);
  t.ok(run(false) < 0.1, `${run(false).toFixed(3)} where the delay is known to be ours`);
});

t.test('a host tells when a request came, and says so to nobody who does not ask', async (t) => {
  for (const family of [4, 6] as const) {
    const request = emitEchoRequest(family, 64, '0123456789abcdef', true);
    request.writeUInt16BE(77, 4);
    const told = emitArrival(request, family, false, 1_800_000_000_123.456);
    if (told === undefined) throw new Error('it was asked');
    t.equal(readEchoToken(told, family, false), '0123456789abcdef');
    t.equal(told.readUInt16BE(4), 77, 'under the same number');
    const ms = readArrivalMs(told, false) ?? 0;
    t.ok(Math.abs(ms - 1_800_000_000_123.456) < 0.01, `${ms}`);
    const plain = emitEchoRequest(family, 64, '0123456789abcdef');
    t.equal(emitArrival(plain, family, false, 1), undefined);
    t.equal(emitArrival(told, family, false, 1), undefined, 'a reply is no request');
    t.equal(readArrivalMs(plain, false), undefined, "the kernel's answer says nothing");
    for (let length = 0; length < 28; length++) {
      t.equal(readArrivalMs(told.subarray(0, length), length % 2 === 0), undefined);
      const short = request.subarray(0, Math.min(length, 19));
      t.equal(emitArrival(short, family, length % 2 === 0, 1), undefined);
    }
  }
});

t.test('one way is told from the other, whatever the clocks say', async (t) => {
  /** Delays that it finds, most and least, where only one way waits. */
  const run = (driftPpm: number, out: (ms: number) => number, back: (ms: number) => number) => {
    const way = new OneWay();
    const found: number[] = [];
    let least = Number.POSITIVE_INFINITY;
    for (let ms = 0; ms < 120_000; ms += 100) {
      const offset = 86_400_000 * 7 + (driftPpm * ms) / 1e6;
      const roundTrip = 1 + out(ms) + back(ms);
      least = Math.min(least, roundTrip);
      found.push(way.note(ms, 0.5 + out(ms) + offset, roundTrip - least));
    }
    return found.slice(600);
  };
  const saw = (ms: number): number => (ms < 20_000 ? 0 : (ms / 10) % 50);
  const none = (): number => 0;
  for (const drift of [0, 100, -100]) {
    t.ok(
      Math.max(...run(drift, none, saw)) < 1,
      `what waits on the way back is not ours, ${drift}`,
    );
    const ours = run(drift, saw, none);
    t.ok(Math.max(...ours) > 38 && Math.max(...ours) < 42, `what waits on our way is, ${drift}`);
  }
  const stepped = new OneWay();
  for (let ms = 0; ms < 10_000; ms += 100) stepped.note(ms, 1, 0);
  t.ok(stepped.note(10_000, 5001, 0) < 1, 'a clock that is set forward is no queue');
  t.ok(stepped.note(10_100, 5011, 10) > 9, 'and what waits then is seen');
  t.ok(stepped.note(10_200, -300, 0) < 1, 'nor is one that is set back');
});

t.test('nobody answers: the rate stays', async (t) => {
  const auto = new AutoRate();
  for (let ms = 0; ms < 5000; ms += LOOK_MS) {
    auto.look({ nowMs: ms, delayMs: undefined, sentBytes: ms * 12_500, isLimited: false });
  }
  t.equal(auto.rate, 0);
});
