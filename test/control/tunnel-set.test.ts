import { EventEmitter } from 'node:events';
import t from 'tap';
import type { Exception } from '../../src/control/entry-table.ts';
import { planFan } from '../../src/control/plan.ts';
import { type DataPlanePort, TunnelSet } from '../../src/control/tunnel-set.ts';
import { plainHost, request } from './snapshots.ts';

/** What a data plane was told; its links have no exceptions when they are added. */
class Plane extends EventEmitter implements DataPlanePort {
  readonly exceptions = new Map<string, readonly Exception[]>();

  async addLink({ name }: { name: string }): Promise<{ ifindex: number; offloads: string[] }> {
    this.exceptions.set(name, []);
    return { ifindex: 7, offloads: [] };
  }

  async removeLink(name: string): Promise<void> {
    this.exceptions.delete(name);
  }

  entryStatus() {
    return { entries: 0, peers: 0, waiting: 0 };
  }

  async setExceptions(name: string, exceptions: readonly Exception[]): Promise<void> {
    if (!this.exceptions.has(name)) throw new Error(`no link ${name}`);
    this.exceptions.set(name, exceptions);
  }

  async updateLink(): Promise<void> {}

  async setSuperBytes(): Promise<void> {}

  takeClaims(): [] {
    return [];
  }
  forgetMac(): void {}
  counters(): Record<string, number> {
    return {};
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

  async close(): Promise<void> {}
}

t.test('exceptions outlive the device of their link', async (t) => {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16'), plainHost());
  if (plan.outcome !== 'changes') throw new Error(`the plan is ${plan.outcome}`);
  const { spec } = plan;
  const plane = new Plane();
  const tunnels = new TunnelSet(async () => plane);
  const moved = [{ address: 0xfa001e07, length: 32, peer: 0xac1e001d }];

  await tunnels.setExceptions(spec.name, moved);
  t.notOk(plane.exceptions.has(spec.name), 'nothing runs yet');
  await tunnels.addLink(spec);
  t.same(plane.exceptions.get(spec.name), moved, 'told before the link ran');

  await tunnels.removeLink(spec.name);
  await tunnels.addLink(spec);
  t.same(plane.exceptions.get(spec.name), moved, 'the device was deleted and made anew');

  await tunnels.setExceptions(spec.name, []);
  t.same(plane.exceptions.get(spec.name), []);
  await tunnels.removeLink(spec.name);
  await tunnels.addLink(spec);
  t.same(plane.exceptions.get(spec.name), [], 'what is over stays over');
});
