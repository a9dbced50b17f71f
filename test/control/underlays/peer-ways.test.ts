/** The ways to one peer, on time that stands still: what is lost when, and what comes back. */
import t from 'tap';
import {
  PeerWays,
  SILENCE_MS,
  UP_DELAY_MS,
} from '../../../src/control/plane/underlays/peer-ways.ts';
import { generator } from '../../netns/impair.ts';

const ASK_MS = 40;
const LOOK_MS = 20;

/** A peer that answers on each way after so many ms; below 0 it does not. */
class Simulation {
  readonly peer: PeerWays;
  nowMs = 0;
  usable = 0;
  /** Each change of the usable ways, with its time. */
  readonly changes: { atMs: number; usable: number }[] = [];
  readonly #due: { atMs: number; way: number; token: string }[] = [];
  #tokens = 0;

  constructor(count: number, byLatency = false) {
    this.peer = new PeerWays(count, byLatency, 0);
  }

  run(ms: number, delays: (way: number, atMs: number) => number): void {
    for (const end = this.nowMs + ms; this.nowMs < end; this.nowMs += 1) {
      if (this.nowMs % ASK_MS === 0) this.#ask(delays);
      if (this.nowMs % LOOK_MS !== 0) continue;
      for (const { atMs, way, token } of this.#due.filter((one) => one.atMs <= this.nowMs)) {
        this.peer.ways[way]?.answered(token, atMs);
      }
      this.#due.splice(0, Infinity, ...this.#due.filter((one) => one.atMs > this.nowMs));
      const usable = this.peer.look(this.nowMs);
      if (usable !== this.usable) this.changes.push({ atMs: this.nowMs, usable });
      this.usable = usable;
    }
  }

  #ask(delays: (way: number, atMs: number) => number): void {
    for (const [way, it] of this.peer.ways.entries()) {
      const token = String(this.#tokens++);
      it.asked(token, this.nowMs);
      const delayMs = delays(way, this.nowMs);
      if (delayMs >= 0) this.#due.push({ atMs: this.nowMs + delayMs, way, token });
    }
  }
}

t.test('a way is used once it answers, lost when it is silent alone, and comes back', async (t) => {
  const one = new Simulation(2);
  one.run(1000, () => 1);
  t.same(one.changes[0], { atMs: 0, usable: 1 }, 'the first is taken for good');
  t.equal(one.usable, 0b11);
  t.ok((one.changes[1]?.atMs ?? 0) < 200, 'the other as soon as it answers');
  one.run(1000, (way) => (way === 1 ? -1 : 1));
  const lost = one.changes[2];
  t.equal(lost?.usable, 0b01);
  t.ok((lost?.atMs ?? 0) - 1000 < SILENCE_MS + 3 * ASK_MS, `after ${(lost?.atMs ?? 0) - 1000} ms`);
  t.match(one.peer.ways[1], { state: 'lost', cause: 'silent', losses: 1 });
  one.run(2000, () => 1);
  const back = one.changes[3];
  t.equal(back?.usable, 0b11);
  t.ok((back?.atMs ?? 0) - 2000 >= UP_DELAY_MS, 'not at once');
});

t.test('who is silent everywhere has lost nothing', async (t) => {
  const one = new Simulation(2);
  one.run(1000, () => 1);
  one.run(3000, () => -1);
  t.equal(one.usable, 0b11, 'neither is better than the other');
  one.run(1000, () => 1);
  t.equal(one.changes.length, 2, 'and nothing changed');
  // A peer that knows nothing of questions.
  const old = new Simulation(3);
  old.run(5000, () => -1);
  t.same(old.changes, [{ atMs: 0, usable: 1 }]);
});

t.test('a queue that fills is no silence, nor is a lost question now and then', async (t) => {
  const one = new Simulation(2);
  one.run(1000, () => 1);
  one.run(2000, (way, atMs) => (way === 0 ? 1 + (atMs - 1000) / 5 : 1));
  t.equal(one.usable, 0b11, 'up to 400 ms of delay');
  one.run(5000, (way, atMs) => (way === 0 && (atMs / ASK_MS) % 3 === 0 ? -1 : 1));
  t.equal(one.changes.length, 2, 'a third of the questions lost');
  t.ok((one.peer.ways[0]?.lost ?? 0) > 0.15, 'which is told');
});

t.test(
  'loss alone moves nothing, on one way or on all, and silence after it is still seen',
  async (t) => {
    for (const share of [0.02, 0.1, 0.3, 0.5]) {
      const random = generator(7);
      const one = new Simulation(2);
      one.run(1000, () => 1);
      one.run(60_000, (way) => (way === 0 && random() < share ? -1 : 1));
      t.equal(one.changes.length, 2, `${share} of the questions lost`);
      t.equal(one.usable, 0b11);
      const fromMs = one.nowMs;
      while (one.usable === 0b11 && one.nowMs - fromMs < 5000)
        one.run(20, (way) => (way === 0 ? -1 : 1));
      const tookMs = one.nowMs - fromMs;
      t.ok(
        tookMs <= (share < 0.05 ? 300 : 1200),
        `nothing comes any more: known after ${tookMs} ms`,
      );
    }
    // More is sent by both than they carry: were one left, the other would have all of it.
    const random = generator(8);
    const two = new Simulation(2);
    two.run(1000, () => 1);
    two.run(60_000, (way) => {
      const isUsed = ((two.usable >>> way) & 1) === 1;
      return isUsed && random() < (two.usable === 0b11 ? 0.4 : 0.7) ? -1 : 1;
    });
    t.ok(two.changes.length <= 4, `${two.changes.length} changes: at most once, when it begins`);
  },
);

t.test('what comes and goes is waited for longer each time', async (t) => {
  const one = new Simulation(2);
  one.run(1000, () => 1);
  const waits: number[] = [];
  for (let turn = 0; turn < 4; turn++) {
    one.run(500, (way) => (way === 1 ? -1 : 1));
    t.equal(one.usable, 0b01);
    const fromMs = one.nowMs;
    while (one.usable === 0b01 && one.nowMs - fromMs < 20_000) one.run(100, () => 1);
    waits.push(one.nowMs - fromMs);
  }
  for (const [i, wait] of waits.entries()) {
    if (i > 0) t.ok(wait > 1.5 * (waits[i - 1] ?? 0), `${wait} ms after ${waits[i - 1]} ms`);
  }
  // On and off all the time: it is left alone.
  const flapping = new Simulation(2);
  flapping.run(60_000, (way, atMs) => (way === 1 && Math.floor(atMs / 700) % 2 === 1 ? -1 : 1));
  t.ok(flapping.changes.length < 8, `${flapping.changes.length} changes in a minute`);
});

t.test('all lost but one that answers again: that is better than nothing', async (t) => {
  const one = new Simulation(2);
  one.run(1000, () => 1);
  one.peer.ways[0]?.lose('carrier', one.nowMs);
  one.peer.ways[1]?.lose('unreachable', one.nowMs);
  t.equal(one.peer.look(one.nowMs), 1, 'without any the first');
  one.run(200, (way) => (way === 1 ? 1 : -1));
  t.equal(one.usable, 0b10);
  t.equal(one.peer.preferred, 1);
  one.peer.ways[0]?.carrierIsBack();
  one.run(5000, () => 1);
  t.equal(one.usable, 0b11);
  t.equal(one.peer.preferred, 0, 'the first goes before');
});

t.test('latency prefers the shorter way, and does not go to and fro', async (t) => {
  const one = new Simulation(2, true);
  one.run(2000, (way) => (way === 0 ? 10 : 3));
  t.equal(one.peer.preferred, 1);
  one.run(2000, (way) => (way === 0 ? 2.9 : 3));
  t.equal(one.peer.preferred, 1, 'hardly better');
  one.run(2000, (way) => (way === 0 ? 1 : 3));
  t.equal(one.peer.preferred, 0);
  one.run(1000, (way) => (way === 0 ? -1 : 3));
  t.equal(one.peer.preferred, 1, 'what is lost is no way at all');
});
