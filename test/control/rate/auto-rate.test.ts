import t from 'tap';
import { AutoRate } from '../../../src/control/plane/rate/auto-rate.ts';

const LOOK_MS = 10;
/** 100 Mb/s. */
const LINE = 12_500_000;
/** What the bottleneck's queue holds, ms at its rate. */
const QUEUE_MS = 400;

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
      this.auto.look({
        ...{ nowMs: this.nowMs, sentBytes: this.sent, isLimited: limited },
        delayMs: delayMs + this.longerMs + noise(),
      });
      if (this.auto.isNewPath) this.longerMs = 0;
    }
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
  t.ok(share >= 0.95, `${share.toFixed(3)} of the line`);
});

t.test('it follows down and up', async (t) => {
  const line = new Line();
  line.run(10_000);
  line.passes = LINE / 4;
  line.run(5000);
  t.ok(line.auto.rate < LINE / 3, 'down to a quarter within 5 s');
  line.run(30_000);
  const low = line.figures(30_000);
  t.ok(low.p99 <= 6 && low.share >= 0.93, `${low.p99.toFixed(1)} ms, ${low.share.toFixed(3)}`);
  line.passes = LINE;
  line.run(10_000);
  t.ok(line.auto.rate > 0.8 * LINE, 'and up again within 10 s');
});

t.test('noise costs little, and a way that has become longer is no queue', async (t) => {
  const line = new Line();
  let seed = 1;
  const noise = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return seed % 10 === 0 ? 20 : 0;
  };
  line.run(5000, noise);
  line.run(30_000, noise);
  t.ok(line.figures(30_000).share > 0.93, 'one answer in ten is late by 20 ms');
  line.longerMs = 30;
  line.run(8000);
  line.run(20_000);
  t.ok(line.figures(20_000).share > 0.85, 'the line is full again on a way that is 30 ms longer');
});

t.test('nobody answers: the rate stays', async (t) => {
  const auto = new AutoRate();
  for (let ms = 0; ms < 5000; ms += LOOK_MS) {
    auto.look({ nowMs: ms, delayMs: undefined, sentBytes: ms * 12_500, isLimited: false });
  }
  t.equal(auto.rate, 0);
});
