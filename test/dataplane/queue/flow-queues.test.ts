import t from 'tap';
import { Arena } from '../../../src/dataplane/ground/arena.ts';
import { CELLS_BYTES, CELLS_MAX, Cells, NONE } from '../../../src/dataplane/queue/cells.ts';
import { Codel, INTERVAL_US, TARGET_US } from '../../../src/dataplane/queue/codel.ts';
import { Class, classOf, FlowQueues } from '../../../src/dataplane/queue/flow-queues.ts';

const PACKET = 1500;
/** 100 Mb/s: one packet takes this long, µs. */
const PACKET_US = 120;

/** Queues on a clock of their own, with packets that know whose they are. */
class Scene {
  readonly cells = new Cells(new Arena(CELLS_BYTES + (1 << 20)));
  readonly given: number[] = [];
  readonly markedFlows: number[] = [];
  readonly capable = new Set<number>();
  readonly shallow = new Set<number>();
  nowUs = 0;
  readonly queues = new FlowQueues(this.cells, {
    isShallow: (cell) => this.shallow.has(this.flowOf(cell)),
    mark: (cell) => {
      if (!this.capable.has(this.flowOf(cell))) return false;
      this.markedFlows.push(this.flowOf(cell));
      return true;
    },
    giveUp: (cell) => {
      this.given.push(this.flowOf(cell));
      this.cells.give(cell);
    },
  });

  flowOf(cell: number): number {
    return this.cells.peer[cell] as number;
  }

  push(flow: number, bytes = PACKET, class_: number = Class.Usual): boolean {
    const cell = this.cells.take(bytes);
    if (cell === NONE) return false;
    this.cells.length[cell] = bytes;
    this.cells.peer[cell] = flow;
    this.cells.enteredUs[cell] = this.nowUs;
    this.queues.push(cell, flow, class_);
    return true;
  }

  /** Sends the next packet; the flow it is of, −1 where none waits. */
  pull(): number {
    const cell = this.queues.pull(this.nowUs);
    if (cell === NONE) return -1;
    const flow = this.flowOf(cell);
    this.cells.give(cell);
    this.nowUs = (this.nowUs + PACKET_US) | 0;
    return flow;
  }
}

t.test('flows take turns by bytes, whatever each of them offers', async (t) => {
  const scene = new Scene();
  for (let i = 0; i < 60; i++) scene.push(1);
  for (let i = 0; i < 20; i++) scene.push(2);
  for (let i = 0; i < 40; i++) scene.push(3, 750);
  const counts = new Map<number, number>();
  for (let i = 0; i < 60; i++) {
    const flow = scene.pull();
    counts.set(flow, (counts.get(flow) ?? 0) + (flow === 3 ? 750 : PACKET));
  }
  const [a = 0, b = 0, c = 0] = [1, 2, 3].map((flow) => counts.get(flow));
  t.ok(Math.max(a, b, c) - Math.min(a, b, c) <= 2 * PACKET, `${a}, ${b} and ${c} bytes`);
});

t.test(
  'a packet of a flow that has nothing waiting goes before those that always have',
  async (t) => {
    const scene = new Scene();
    for (let flow = 1; flow <= 8; flow++) for (let i = 0; i < 50; i++) scene.push(flow);
    for (let i = 0; i < 40; i++) scene.pull();
    for (let round = 0; round < 5; round++) {
      scene.push(99, 200);
      t.equal(scene.pull(), 99, 'it is the next');
      for (let i = 0; i < 10; i++) t.not(scene.pull(), 99);
    }
  },
);

t.test('a flow keeps its order, and nothing is lost or made', async (t) => {
  const scene = new Scene();
  const order: number[] = [];
  for (let i = 0; i < 300; i++) {
    const cell = scene.cells.take(PACKET);
    scene.cells.length[cell] = PACKET - (i % 100);
    scene.cells.socket[cell] = i;
    scene.cells.enteredUs[cell] = 0;
    scene.queues.push(cell, i % 3, Class.Usual);
  }
  for (;;) {
    const cell = scene.queues.pull(0);
    if (cell === NONE) break;
    order.push(scene.cells.socket[cell] as number);
    scene.cells.give(cell);
  }
  t.equal(new Set(order).size, 300);
  for (const flow of [0, 1, 2]) {
    const own = order.filter((number) => number % 3 === flow);
    t.same(
      own,
      [...own].sort((a, b) => a - b),
      `flow ${flow}`,
    );
  }
  t.equal(scene.queues.bytes, 0);
  t.equal(scene.queues.packets, 0);
});

t.test('classes: EF first within a quarter, CS1 last and never without a share', async (t) => {
  t.equal(classOf(0xb8), Class.First, 'EF');
  t.equal(classOf(0x20), Class.Least, 'CS1');
  t.equal(classOf(0x04), Class.Least, 'LE');
  t.equal(classOf(0x68), Class.Usual, 'AF31');
  t.equal(classOf(0xbb), Class.First, 'ECN bits do not count');
  const scene = new Scene();
  const sent = [0, 0, 0];
  const pushed = [0, 0, 0];
  for (let i = 0; i < 1000; i++) {
    // Each of the classes always has something.
    for (const class_ of [0, 1, 2]) {
      while ((sent[class_] as number) + 3 > (pushed[class_] as number)) {
        scene.push(10 + class_, PACKET, class_);
        pushed[class_] = (pushed[class_] as number) + 1;
      }
    }
    scene.nowUs = 0;
    const class_ = scene.pull() - 10;
    sent[class_] = (sent[class_] as number) + 1;
  }
  const [first = 0, usual = 0, least = 0] = sent;
  t.ok(first > 400 && first < 620, `EF that takes all it can gets no more than its half: ${first}`);
  t.ok(usual > 300, `the usual class: ${usual}`);
  t.ok(least > 50 && least < 90, `the last class keeps a sixteenth: ${least}`);
});

t.test('CoDel: a standing queue loses ever more, a short one nothing', async (t) => {
  const scene = new Scene();
  // A sender that does not react keeps 20 ms in the queue.
  const ahead = 167;
  for (let i = 0; i < ahead; i++) scene.push(1);
  let lost = 0;
  const times: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    while (scene.queues.packets < ahead) scene.push(1);
    scene.pull();
    if (scene.given.length > lost) {
      lost = scene.given.length;
      times.push(scene.nowUs);
    }
  }
  t.ok((times[0] ?? 0) >= INTERVAL_US, `none before a whole interval: ${times[0]}`);
  t.ok(lost > 20, `${lost} in 2.4 s`);
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  t.ok(
    (gaps.at(-1) ?? 0) < (gaps[0] ?? 0) / 3,
    `from one in ${gaps[0]} µs to one in ${gaps.at(-1)}`,
  );

  const calm = new Scene();
  for (let i = 0; i < 20_000; i++) {
    while (calm.queues.packets < 30) calm.push(1);
    calm.pull();
  }
  t.equal(calm.given.length, 0, 'under the target for good');
});

t.test('who knows ECN is marked and loses nothing; ECT(1) hears of it sooner', async (t) => {
  const scene = new Scene();
  scene.capable.add(1);
  for (let i = 0; i < 10_000; i++) {
    while (scene.queues.packets < 100) scene.push(1);
    scene.pull();
  }
  t.equal(scene.given.length, 0);
  t.ok(scene.markedFlows.length > 5, `${scene.markedFlows.length} marks`);

  const shallow = new Scene();
  shallow.capable.add(2);
  shallow.shallow.add(2);
  for (let i = 0; i < 20; i++) shallow.push(2);
  for (let i = 0; i < 20; i++) shallow.pull();
  t.equal(shallow.given.length, 0);
  t.ok(shallow.markedFlows.length >= 8, `${shallow.markedFlows.length} of 20 waited over 1 ms`);
});

t.test('room is bounded, and whoever fills it pays', async (t) => {
  const scene = new Scene();
  scene.push(7, 100);
  let pushes = 0;
  while (scene.push(1)) pushes++;
  t.ok(pushes <= CELLS_MAX, `${pushes} packets`);
  t.not(scene.cells.take(70_000), 0, 'nothing fits what is longer than any packet');
  for (let i = 0; i < 64; i++) {
    const cell = scene.queues.pullFattest();
    t.equal(scene.flowOf(cell), 1);
    scene.cells.give(cell);
  }
  t.ok(scene.push(3), 'then there is room again');
  t.equal(scene.pull(), 7, 'and the small flow has lost nothing');
});

t.test('the clock may run over', async (t) => {
  const codel = new Codel(1);
  let nowUs = 0x7fff_0000 | 0;
  let lost = 0;
  for (let i = 0; i < 4000; i++) {
    if (codel.judge(0, TARGET_US * 2, false, nowUs)) lost++;
    nowUs = (nowUs + 1000) | 0;
  }
  t.ok(lost > 50 && lost < 1500, `${lost} in 4 s across the end of 32 bits`);
});
