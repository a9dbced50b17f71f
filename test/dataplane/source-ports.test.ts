import t from 'tap';
import { SourcePorts } from '../../src/dataplane/ground/source-ports.ts';
import { Random } from '../fuzz/mutate.ts';

const PORTS = 16;
const GAP_MS = 40;

/** A hash for flow `n` in a bucket of its own, with the upper bits well mixed. */
function hashOf(n: number): number {
  return ((Math.imul(n + 1, 0x9e3779b1) & ~0x1fff) | n) >>> 0;
}

t.test('new flows spread over the ports by their hash, whenever they begin', async (t) => {
  const ports = new SourcePorts(true);
  const seen = new Set<number>();
  for (let flow = 0; flow < 200; flow++) {
    const port = ports.choose(hashOf(flow), PORTS, false, 5);
    t.ok(port >= 0 && port < PORTS, `port ${port}`);
    seen.add(port);
  }
  t.equal(seen.size, PORTS);
});

t.test('slow flows share one port in a burst, and another one in the next', async (t) => {
  const ports = new SourcePorts(true);
  const flows = Array.from({ length: 100 }, (_, n) => hashOf(n));
  for (const hash of flows) ports.choose(hash, PORTS, false, 1000);
  const shared: number[] = [];
  for (let burst = 1; burst <= PORTS; burst++) {
    ports.nextBurst();
    const taken = new Set(flows.map((hash) => ports.choose(hash, PORTS, false, 1000 + burst * 90)));
    t.equal(taken.size, 1, `burst ${burst}`);
    shared.push(...taken);
  }
  t.equal(new Set(shared).size, PORTS, 'the bursts take the ports in turn');
});

t.test(
  'super-packets go by the hash after a silence, as does what may be a new flow',
  async (t) => {
    const ports = new SourcePorts(true);
    const flows = Array.from({ length: 100 }, (_, n) => hashOf(n));
    const first = flows.map((hash) => ports.choose(hash, PORTS, false, 0));
    ports.nextBurst();
    const bulk = flows.map((hash) => ports.choose(hash, PORTS, true, 90));
    t.strictSame(bulk, first);
    ports.nextBurst();
    const late = flows.map((hash) => ports.choose(hash, PORTS, false, 5000));
    t.strictSame(late, first);
  },
);

t.test('no flow changes its port before a silence, whatever the others do', async (t) => {
  const seed = Number(process.env['FANWAY_FUZZ_SEED']) || Date.now() >>> 0;
  const random = new Random(seed);
  const ports = new SourcePorts(true);
  const last = new Map<number, { port: number; atMs: number }>();
  let nowMs = 0;
  let moves = 0;
  for (let packet = 0; packet < 200_000; packet++) {
    if (random.below(20) === 0) {
      nowMs += random.pick([0.05, 0.3, 4, 16, 41]);
      ports.nextBurst();
    }
    // Some flows are busy, most are slow, and all of them share some buckets.
    const flow = random.below(3) === 0 ? random.below(4) : random.below(400);
    const hash = hashOf(flow % 300) ^ (flow < 300 ? 0 : 0x40_0000);
    const port = ports.choose(hash >>> 0, PORTS, random.below(4) === 0, nowMs);
    const before = last.get(flow);
    if (before !== undefined && before.port !== port) {
      moves++;
      if (nowMs - before.atMs <= GAP_MS) {
        t.fail(`seed ${seed}: flow ${flow} moved after ${nowMs - before.atMs} ms`);
        return;
      }
    }
    last.set(flow, { port, atMs: nowMs });
  }
  t.ok(moves > 100, `${moves} moves were seen`);
});

t.test('a smaller pool still gets ports of its own', async (t) => {
  const ports = new SourcePorts(true);
  for (let flow = 0; flow < 100; flow++) {
    t.ok(ports.choose(hashOf(flow), 3, false, 0) < 3);
    t.equal(ports.choose(hashOf(flow), 1, false, 90), 0);
  }
});

t.test('where flows may not move, they stay with the port of their hash', async (t) => {
  const ports = new SourcePorts(false);
  for (let flow = 0; flow < 200; flow++) {
    const first = ports.choose(hashOf(flow), PORTS, false, 0);
    ports.nextBurst();
    t.equal(ports.choose(hashOf(flow), PORTS, false, 200), first);
  }
});
