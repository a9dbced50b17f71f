import t from 'tap';
import { Linger, Way } from '../../src/dataplane/pace/linger.ts';

const LOOK_MS = 0.002;
const LONE_ROUNDS = 8;

/**
 * A machine on which the next packet comes `gapMs` after the wait began, and on which giving way
 * takes `awayMs`.
 */
class Machine {
  gapMs = 0.02;
  awayMs = 0;
  nowMs = 1000;
  #beganMs = 0;
  looks = 0;
  /** The way that a guess finds something; none unless told. */
  comes: number | undefined;
  guesses = 0;
  readonly linger = new Linger({
    ready: () => {
      this.looks++;
      this.nowMs += LOOK_MS;
      return this.nowMs - this.#beganMs >= this.gapMs ? 1 : 0;
    },
    guess: (way) => {
      this.guesses++;
      this.nowMs += LOOK_MS;
      return way === this.comes && this.nowMs - this.#beganMs >= this.gapMs ? 1 : 0;
    },
    giveWay: () => {
      this.nowMs += this.awayMs;
    },
    nowMs: () => this.nowMs,
  });

  /** One round and the wait after it; true when the wait caught the next packet. */
  round(packets: number, way: number = Way.Out): boolean {
    this.linger.note(packets, way);
    this.#beganMs = this.nowMs;
    this.looks = 0;
    this.guesses = 0;
    return this.linger.wait() > 0;
  }

  /** Enough lone packets for the wait to begin. */
  settle(way: number = Way.Out): void {
    for (let i = 1; i < LONE_ROUNDS; i++) {
      this.linger.note(1, way);
    }
  }
}

t.test('an answer that is on its way is awaited awake', async (t) => {
  const machine = new Machine();
  machine.settle();
  for (let i = 0; i < 100; i++) t.ok(machine.round(1), `packet ${i}`);
});

t.test('the first packets after a burst, and bursts, let the loop sleep at once', async (t) => {
  const machine = new Machine();
  t.notOk(machine.round(1));
  t.equal(machine.looks, 0);
  machine.settle();
  t.ok(machine.round(1));
  t.notOk(machine.round(2));
  t.equal(machine.looks, 0, 'a burst');
  t.notOk(machine.round(1));
  t.equal(machine.looks, 0, 'after a burst');
  t.notOk(machine.round(0));
  t.equal(machine.looks, 0, 'woken for something else');
});

t.test('where nothing comes, it is tried only now and then', async (t) => {
  const machine = new Machine();
  machine.gapMs = 20;
  machine.settle();
  let waits = 0;
  let longestMs = 0;
  for (let i = 0; i < 1600; i++) {
    const beganMs = machine.nowMs;
    t.notOk(machine.round(1));
    longestMs = Math.max(longestMs, machine.nowMs - beganMs);
    if (machine.looks > 0) waits++;
  }
  t.ok(waits >= 90 && waits <= 110, `${waits} of 1600 waits`);
  t.ok(longestMs <= 0.11, `${longestMs} ms at most`);

  machine.gapMs = 0.02;
  let caught = 0;
  for (let i = 0; i < 100; i++) caught += Number(machine.round(1));
  t.ok(caught > 30, `and it is taken up again: ${caught} of 100 caught`);
});

t.test('each way is judged by itself', async (t) => {
  const machine = new Machine();
  machine.settle();
  for (let i = 0; i < 20; i++) {
    machine.gapMs = 0.02;
    t.ok(machine.round(1, Way.Out), 'what goes out is answered');
    machine.gapMs = 20;
    machine.round(1, Way.In);
  }
  machine.gapMs = 20;
  let waits = 0;
  for (let i = 0; i < 160; i++) {
    machine.round(1, Way.In);
    waits += Number(machine.looks > 0);
  }
  t.equal(waits, 10);
});

t.test('a core that others keep is left to them', async (t) => {
  const machine = new Machine();
  machine.gapMs = 20;
  machine.awayMs = 3;
  machine.settle();
  t.notOk(machine.round(1));
  t.equal(
    machine.looks + machine.guesses,
    2,
    'once before the core was given away, and once after',
  );
});

t.test(
  'what follows is taken without a question, and others are asked about all the same',
  async (t) => {
    const machine = new Machine();
    machine.settle();
    const round = (way: number): boolean => {
      machine.comes = way === Way.Out ? Way.In : Way.Out;
      return machine.round(1, way);
    };
    let looks = 0;
    for (let i = 0; i < 400; i++) {
      machine.gapMs = i % 2 === 0 ? 0.007 : 0;
      t.ok(round(i % 2), `packet ${i}`);
      looks += machine.looks;
    }
    t.ok(looks >= 5 && looks <= 60, `${looks} questions`);
  },
);

t.test(
  'where each is there at once, no three are taken in a row without a look at all',
  async (t) => {
    const machine = new Machine();
    machine.settle();
    machine.gapMs = 0;
    let unasked = 0;
    for (let i = 0; i < 100; i++) {
      const way = i % 2;
      machine.comes = way === Way.Out ? Way.In : Way.Out;
      t.ok(machine.round(1, way));
      unasked = machine.looks > 0 ? 0 : unasked + 1;
      t.ok(unasked <= 3);
    }
  },
);

t.test('it learns which way follows which', async (t) => {
  const machine = new Machine();
  machine.settle();
  machine.gapMs = 0.005;
  machine.comes = Way.Out;
  let looks = 0;
  for (let i = 0; i < 50; i++) {
    t.ok(machine.round(1, Way.Out));
    looks += machine.looks;
  }
  t.ok(looks < 20, `${looks} questions where one way follows itself`);
});

t.test('an error of poll is handed on', async (t) => {
  const linger = new Linger({
    ...{ ready: () => -1, guess: () => 0 },
    ...{ giveWay: () => {}, nowMs: () => 0 },
  });
  for (let i = 0; i < LONE_ROUNDS; i++) linger.note(1, Way.In);
  t.equal(linger.wait(), -1);
});
