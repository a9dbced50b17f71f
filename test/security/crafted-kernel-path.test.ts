import t from 'tap';
import { LinkMaps } from '../../src/control/plane/kernel/maps.ts';
import { detachFromDevice } from '../../src/sys/bpf/bpf.ts';
import { tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { FilterPriority } from '../../src/sys/netlink/tc.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedVxlan } from '../support/crafted-vxlan.ts';
import { shootEcnCells } from '../support/ecn-probes.ts';
import { groundOf, judge, runBattery } from '../support/ground.ts';
import { kernelProbe, watchContainer } from '../support/kernel-path.ts';
import { sleep } from '../support/patience.ts';
import { carry, innerUdp, type Probe } from '../support/probes.ts';
import { Target } from '../support/target.ts';

const skip = skipWithoutTun();
/** How long a datagram may take to reach a counter, ms. */
const REACH_MS = 2000;

t.test('crafted VXLAN datagrams, forwarded by the kernel', { skip }, async (t) => {
  const target = await Target.create({ encap: 'vxlan', flags: ['--datapath', 'kernel'] });
  t.teardown(() => target.close());
  watchContainer(target);
  const ground = groundOf(target, 'vxlan');
  const probes = craftedVxlan(ground).map(kernelProbe);
  t.ok(probes.filter(({ end }) => end !== 'delivered').length >= 80, `${probes.length} probes`);
  await runBattery(t, target, probes);
  await shootEcnCells(t, target, ground, 'bad_header');

  const { victim } = target;
  const device = (await victim.netlink.links()).find(({ kind }) => kind === 'vxlan');
  const index = device?.index ?? 0;
  const tcx = () => victim.run(() => tcxPrograms(index, 'ingress'));
  const filter = await victim.netlink.attachedProgram(index, 'ingress', FilterPriority.First);
  const [program = filter] = tcx() ?? [];
  const maps = LinkMaps.of(program);
  if (maps === undefined) throw new Error(`program ${program} has no maps`);
  t.teardown(() => maps.close());
  const end = async (name: string, expected: Probe['end'], packet: Buffer): Promise<void> => {
    const probe = { name, end: expected, frames: [carry(ground, packet)] };
    t.equal(judge(probe, await target.shoot(probe.frames, REACH_MS)), '', `${name}: ${expected}`);
  };
  const moved = innerUdp(ground, { source: ground.otherInner });
  const own = innerUdp(ground);
  await end('an address of another slice', 'foreign_source', moved);
  maps.setEntry({ address: ground.otherInner, length: 32 }, ground.peer);
  await end('the same, announced by the peer', 'delivered', moved);
  maps.setEntry({ address: ground.inner, length: 24 }, ground.otherPeer);
  await end('an address of its own slice that is elsewhere', 'foreign_source', own);
  maps.setEntry({ address: ground.inner, length: 32 }, ground.peer);
  await end('but for this one: the longest prefix wins', 'delivered', own);
  maps.setEntry({ address: ground.container, length: 32 }, ground.otherPeer);
  await end('our container is elsewhere', 'foreign_destination', own);
  t.same(maps.entries().length, 4);
  for (const prefix of maps.entries()) maps.deleteEntry(prefix);
  await end('arithmetic again', 'delivered', own);
  await end('for all', 'foreign_source', moved);

  if (tcx() === undefined) return;
  for (let i = 0; i < 5; i++) {
    while (tcx()?.length !== 1) await sleep(50);
    victim.run(() => detachFromDevice(index, 'ingress'));
    const frames = [carry(ground, own)];
    const ends = await target.shoot(frames, REACH_MS);
    // The router may have put it back meanwhile.
    if (tcx()?.length !== 0) continue;
    const probe = { name: 'nothing', end: 'device_down', frames } as const;
    t.equal(judge(probe, ends), '', 'nothing passes where nobody judges');
    return;
  }
  t.fail('the program was never away for long enough');
});
