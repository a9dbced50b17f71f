import { EventEmitter } from 'node:events';
import t, { type Test } from 'tap';
import { planFan } from '../../src/control/links/plan.ts';
import { EntryTable } from '../../src/control/plane/entry-table.ts';
import { NO_RATE, type RateNow } from '../../src/control/plane/link-state.ts';
import { CounterBlock, counterRows } from '../../src/control/plane/tables/counter-values.ts';
import { type DataPlanePort, TunnelSet } from '../../src/control/plane/tunnel-set.ts';
import { silentLog } from '../../src/log.ts';
import { plainHost, request } from './snapshots.ts';

/** Links that run, and a real table of their entries. */
class Plane extends EventEmitter implements DataPlanePort {
  readonly entries = new EntryTable();
  /** Packets that it has counted so far. */
  received = 0;

  async addLink({ name }: { name: string }): Promise<{ ifindex: number; offloads: string[] }> {
    this.entries.bind(name, 3);
    return { ifindex: 7, offloads: [] };
  }

  async removeLink(name: string): Promise<Record<string, number>> {
    this.entries.unbind(name);
    return { 'egress.received': this.received };
  }

  async updateLink(): Promise<void> {}

  async setSuperBytes(): Promise<void> {}

  async keep(): Promise<void> {}

  takeClaims(): [] {
    return [];
  }
  forgetMac(): void {}
  counters(): Record<string, number> {
    return { 'egress.received': this.received };
  }
  values(_name: string, places: readonly number[]): Float64Array {
    return new Float64Array(places.length).fill(this.received);
  }

  rateOf(): RateNow {
    return NO_RATE;
  }

  buffersRefused(): string {
    return '';
  }

  status(): [] {
    return [];
  }

  paths(): [] {
    return [];
  }

  setPathLimits(): number {
    return 0;
  }

  sendFrom(): void {}

  async close(): Promise<void> {}
}

/** A fan, and tunnels over a plane for it. */
function stage(t: Test) {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16'), plainHost());
  if (plan.outcome !== 'changes') throw new Error(`the plan is ${plan.outcome}`);
  const { spec } = plan;
  const plane = new Plane();
  t.teardown(() => plane.entries.close());
  const tunnels = new TunnelSet(async () => plane, silentLog);
  return { spec, plane, tunnels };
}

t.test('entries outlive the device of their link', async (t) => {
  const { spec, tunnels } = stage(t);
  const [prefix, peer] = [{ address: 0xfa001e07, length: 32 }, 0xac1e001d];
  const answer = () => tunnels.answer(spec.name, prefix.address);

  t.equal(answer(), undefined, 'nothing runs yet');
  await tunnels.addLink(spec);
  tunnels.setEntry(spec.name, prefix, peer);
  t.same(answer(), { prefix, peer });

  await tunnels.removeLink(spec.name);
  t.equal(answer(), undefined);
  await tunnels.addLink(spec);
  t.same(answer(), { prefix, peer }, 'the device was deleted and made anew');

  tunnels.deleteEntry(spec.name, prefix);
  t.equal(answer(), undefined);
  await tunnels.removeLink(spec.name);
  await tunnels.addLink(spec);
  t.equal(answer(), undefined, 'what is over stays over');
});

t.test('counters outlive the device of their link, and not the link', async (t) => {
  const { spec, plane, tunnels } = stage(t);
  const received = (): (number | undefined)[] => [
    tunnels.counters()[spec.name]?.['egress.received'],
    tunnels.values(['egress.received']).get(spec.name)?.[0],
  ];

  await tunnels.addLink(spec);
  plane.received = 5;
  t.same(received(), [5, 5]);
  for (const total of [7, 9]) {
    await tunnels.removeLink(spec.name);
    t.same(received(), [undefined, undefined], 'nothing runs');
    plane.received = 2;
    await tunnels.addLink(spec);
    t.same(received(), [total, total], 'what was counted before, and now');
  }
  await tunnels.removeLink(spec.name);
  tunnels.forgetLink(spec.name);
  await tunnels.addLink(spec);
  t.same(received(), [2, 2], 'another link of the same name');
});

t.test('a link that changes its data path is counted in one row meanwhile', async (t) => {
  const rows = counterRows(['a', 'b', 'a'], new Map());
  t.same(
    [...rows],
    [
      ['a', 0],
      ['b', 1],
    ],
  );
  const block = new CounterBlock(rows, 2);
  for (const link of ['a', 'b', 'a']) block.set(link, Float64Array.of(1, 2));
  t.same([...(block.get('b') ?? [])], [1, 2]);
  t.equal(counterRows(['a', 'b', 'a'], rows), rows, 'nothing came or went');
});
