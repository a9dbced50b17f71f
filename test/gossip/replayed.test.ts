import t, { type Test } from 'tap';
import { Random } from '../fuzz/mutate.ts';
import { SealedLab } from './sealed-lab.ts';
import { type Datagram, ringOf } from './secure-rig.ts';

/** Datagrams that are recorded and sent again, in all. */
const REPLAYED = Number(process.env['FANWAY_REPLAYED'] ?? 100_000);
const SITUATIONS = 5;
const NODES = 6;
/** It dies while the others are recorded. */
const DEAD = NODES - 1;
const HOUR_MS = 3_600_000;

type History = { lab: SealedLab; recorded: Datagram[] };

/** Nodes that announce, withdraw, and lose one of them, until enough was said. */
function history(): History {
  const lab = new SealedLab(NODES);
  const random = new Random(7);
  const announced: [node: number, mac: number][] = [];
  const wanted = Math.ceil(REPLAYED / SITUATIONS);
  lab.announce(DEAD, 99);
  while (lab.wire.recorded.length < wanted) {
    const [node, mac] = [random.below(DEAD), random.below(1000)];
    lab.announce(node, mac);
    announced.push([node, mac]);
    const [withNode, without] = announced.length > 20 ? (announced.shift() ?? []) : [];
    if (withNode !== undefined && without !== undefined) lab.withdraw(withNode, without);
    lab.run(250);
    const dead = lab.nodes[DEAD];
    if (dead?.running && lab.wire.recorded.length > wanted / 2) dead.running = false;
  }
  lab.run(30_000);
  return { lab, recorded: lab.wire.recorded.splice(0) };
}

function beliefs(lab: SealedLab): unknown[] {
  return Array.from({ length: DEAD }, (_, index) => lab.beliefsOf(index));
}

function sumOf({ nodes }: SealedLab, name: 'sealed.opened' | 'datagrams.received'): number {
  return nodes.reduce((sum, { outer }) => sum + outer.count(name), 0);
}

/** Sends it all again, ten thousand a second, and sees to it that nothing comes of it. */
function replay(t: Test, what: string, { lab, recorded }: History): void {
  const { wire } = lab;
  // What is still under way is no replay.
  wire.run();
  const before = beliefs(lab);
  const opened = [sumOf(lab, 'sealed.opened'), sumOf(lab, 'datagrams.received')];
  const startMs = wire.nowMs;
  const again = recorded.filter(({ to }) => lab.isRunning(to));
  const replies = new Map<number, number>();
  let [taken, longer, elsewhere, provoked] = [0, 0, 0, 0];
  wire.recorded.length = 0;
  for (const [index, datagram] of again.entries()) {
    if (index % 10 === 0) wire.nowMs += 1;
    if (wire.deliver(datagram)) taken += 1;
    for (const reply of wire.recorded.splice(0)) {
      if (reply.bytes.length > datagram.bytes.length) longer += 1;
      if (reply.to.address !== datagram.from.address) elsewhere += 1;
      replies.set(Number(reply.to.address), (replies.get(Number(reply.to.address)) ?? 0) + 1);
    }
    // What came of it arrives at who is said to have sent it, and ends there.
    wire.run();
    provoked += wire.recorded.splice(0).length;
  }
  const seconds = (wire.nowMs - startMs) / 1000;
  const most = Math.max(0, ...replies.values());
  t.equal(taken, 0, `${again.length} sent again ${what}: taken`);
  t.same([longer, elsewhere, provoked], [0, 0, 0], 'longer replies, elsewhere, answers to them');
  t.ok(most <= (NODES - 1) * (5 + 20 * seconds), `${most} challenges to one address`);
  t.same([sumOf(lab, 'sealed.opened'), sumOf(lab, 'datagrams.received')], opened);
  t.same(beliefs(lab), before, 'nobody believes anything else');
  lab.run(10_000);
  const after = lab.beliefsOf(0);
  t.same(after.macs, (before[0] as typeof after).macs, 'nothing withdrawn comes back');
  t.equal(after.members.filter((member) => member.includes(' dead ')).length, 1, 'nor the dead');
  for (let index = 1; index < DEAD; index++) t.equal(lab.beliefsOf(index).hash, after.hash);
}

t.test('in the same second', async (t) => replay(t, 'at once', history()));

t.test('after an hour', async (t) => {
  const past = history();
  past.lab.run(HOUR_MS);
  replay(t, 'after an hour', past);
});

t.test('after the senders have restarted', async (t) => {
  const past = history();
  for (const index of [1, 2, 3]) past.lab.start(index);
  past.lab.run(30_000);
  const from = [1, 2, 3].map((index) => past.lab.nodes[index]?.outer.at.address);
  const recorded = past.recorded.filter((one) => from.includes(one.from.address));
  replay(t, 'after the senders have restarted', { lab: past.lab, recorded });
});

t.test('after the receivers have restarted', async (t) => {
  const past = history();
  for (const index of [0, 2, 4]) past.lab.start(index);
  // Some of it comes before they know anybody.
  const early = past.recorded.filter(({ to }) => past.lab.isRunning(to)).slice(0, 1000);
  const taken = early.filter((datagram) => past.lab.wire.deliver(datagram)).length;
  t.equal(taken, 0, 'before they know anybody');
  past.lab.run(30_000);
  replay(t, 'after the receivers have restarted', past);
});

t.test('after the key was changed', async (t) => {
  const past = history();
  const { lab, recorded } = past;
  const fresh = ringOf('fresh').inUse;
  for (const { outer } of lab.nodes) {
    outer.ring.add(fresh.bytes);
    outer.ring.use(fresh.id);
    outer.secure.keysChanged();
  }
  lab.run(30_000);
  const half = Math.floor(recorded.length / 2);
  replay(t, 'with the old key kept', { lab, recorded: recorded.slice(0, half) });
  for (const { outer } of lab.nodes) {
    outer.ring.remove(ringOf('key').inUse.id);
    outer.secure.keysChanged();
  }
  lab.run(30_000);
  replay(t, 'with the old key removed', { lab, recorded: recorded.slice(half) });
});
