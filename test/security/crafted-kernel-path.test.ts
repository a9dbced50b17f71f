import t from 'tap';
import { FanLinkMaps } from '../../src/control/plane/kernel/fan-maps.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatMac } from '../../src/net/mac.ts';
import { detachFromDevice } from '../../src/sys/bpf/bpf.ts';
import { tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { FilterPriority } from '../../src/sys/netlink/tc.ts';
import { namedCounters } from '../../src/table/counters.ts';
import { statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { arp, ethernet } from '../support/bytes.ts';
import { combinations } from '../support/combinations.ts';
import { groundOf, judge } from '../support/ground.ts';
import { Guest } from '../support/guest.ts';
import { watchContainer } from '../support/kernel-path.ts';
import { sleep, until } from '../support/patience.ts';
import { carry, innerUdp, type Probe } from '../support/probes.ts';
import { fanwayUp, moved as movedBy, Target } from '../support/target.ts';

const skip = skipWithoutTun();
const BROADCAST = 0xffffffffffff;
const FLOOD_PACKETS = 20_000;
/** What hosts say besides. */
const STRAYS_MAX = 50;
/** How long a datagram may take to reach a counter, ms. */
const REACH_MS = 2000;

t.test('what the programs of a fan look up, tell, and leave behind', { skip }, async (t) => {
  const target = await Target.create({ encap: 'vxlan', flags: ['--datapath', 'kernel'] });
  t.teardown(() => target.close());
  watchContainer(target);
  const ground = groundOf(target, 'vxlan');
  const { victim } = target;
  const device = (await victim.netlink.links()).find(({ kind }) => kind === 'vxlan');
  const index = device?.index ?? 0;
  const tcx = () => victim.run(() => tcxPrograms(index, 'ingress'));
  const filter = await victim.netlink.attachedProgram(index, 'ingress', FilterPriority.First);
  const [program = filter] = tcx() ?? [];
  const maps = FanLinkMaps.open(program);
  t.teardown(() => maps.close());
  t.ok(maps.inherited, `program ${program} has maps`);
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

  const guest = await Guest.create(target, 'vxlan', ground.port);
  const tells = (counter: string, who: string): Promise<unknown> =>
    until(`${counter} tells of ${who}`, 10_000, async () => {
      const drops = (await statusOf(victim)).links[0]?.drops ?? [];
      return drops.some((one) => one.counter === counter && one.cause.includes(who));
    });
  const asks = (addresses: readonly number[]): Buffer[] =>
    addresses.map((target) => {
      const { container: sender, containerMac: senderMac } = ground;
      return ethernet(
        BROADCAST,
        senderMac,
        0x0806,
        arp({ operation: 1, senderMac, sender, target }),
      );
    });
  const strange = (last: number): Buffer =>
    carry({ ...ground, peer: 0xcb007100 + last }, innerUdp(ground));

  await t.test('control hears of drops, misses and paths', async (t) => {
    for (const last of [1, 2, 2]) target.underlay.send(strange(last));
    target.underlay.send(carry(ground, moved));
    guest.send(innerUdp(ground, { source: ground.otherInner, destination: ground.inner }));
    for (const frame of asks([0x08080808])) guest.sendFrame(frame);
    await tells('ingress.drop.stranger', ': 203.0.113.1; 203.0.113.2');
    await tells('ingress.drop.foreign_source', `: ${formatIpv4(ground.peer)}`);
    const mac = formatMac(ground.containerMac);
    await tells('egress.drop.foreign_source', `${formatIpv4(ground.otherInner)} (MAC ${mac})`);
    await tells('egress.drop.outside_overlay', `: 8.8.8.8, by MAC ${mac}`);

    // The kernel sends back what does not fit, and says so where it would say it to a socket.
    const { address: peer } = target.attacker;
    await victim.netlink.addRoute({ dst: { address: peer, length: 32 }, dev: 'eth0', mtu: 1400 });
    const ends = { source: ground.container, destination: ground.inner };
    const large = innerUdp(ground, ends, {}, Buffer.alloc(1400 - 28));
    guest.wire.take();
    const [told] = await until('the container is told', 5000, async () => {
      guest.send(large);
      await sleep(50);
      const errors = guest.wire.arrived().filter((frame) => frame[23] === 1 && frame[34] === 3);
      return errors.length > 0 && errors;
    });
    t.equal(told?.readUInt16BE(40), 1350, 'what fits inside');
    const paths = async () => (await statusOf(victim)).paths;
    const known = { peer: formatIpv4(peer), mtu: 1400, mtuFrom: 'route' };
    await until('status tells of the path', 5000, async () => {
      const [path] = await paths();
      return path?.mtu === known.mtu && path.mtuFrom === known.mtuFrom;
    });
    t.match(await paths(), [known]);
    const counters = await target.counters();
    t.ok((counters['egress.drop.send_too_big'] ?? 0) > 0);
    t.ok((counters['event.packet_too_big_sent'] ?? 0) > 0);
    await victim.netlink.deleteRoute({ dst: { address: peer, length: 32 }, dev: 'eth0' });
    t.equal(await target.settle(), 0, 'received = delivered + named drops');
  });

  await t.test('of a flood of all that may come, each packet has its end', async (t) => {
    const wrong = { ...ground, vni: 0xf90000 };
    const batch = target.underlay.batch(
      combinations(ground, wrong).flatMap(({ frames }) => frames),
    );
    // What a busy machine drops before any program sees it: at the cable, and at the device.
    const dropped = async (): Promise<number> => {
      const links = await Promise.all(['eth0', index].map((one) => victim.netlink.link(one)));
      return links.reduce((sum, { statistics }) => sum + statistics.rxDropped, 0);
    };
    const [before, droppedBefore] = [await target.counters(), await dropped()];
    let sent = 0;
    await until('all is sent', 20_000, () => {
      sent += batch.send();
      return sent >= FLOOD_PACKETS;
    });
    t.equal(await target.settle(), 0, 'received = delivered + named drops');
    const { 'ingress.received': received = 0 } = movedBy(before, await target.counters());
    const ends = received + (await dropped()) - droppedBefore;
    t.ok(ends >= sent && ends - sent < STRAYS_MAX, `${ends} ends of ${sent} packets`);
  });

  await t.test('what nobody reads is counted, and the next control reads on', async (t) => {
    const { pid } = await statusOf(victim);
    process.kill(pid, 'SIGSTOP');
    const counted = () => namedCounters(maps.counters());
    let from = 0x08000000;
    await until('the ring is full', 20_000, async () => {
      const addresses = Array.from({ length: 250 }, () => from++);
      guest.wire.batch(asks(addresses)).send();
      await sleep(100);
      return (counted()['event.events_lost'] ?? 0) > 0;
    });
    t.ok((counted()['event.events_lost'] ?? 0) > 0, 'none waits, and each is counted');
    process.kill(pid, 'SIGKILL');
    await fanwayUp(victim, '250.0.0.0/8', 'eth0/16', 'bridge', target.bridge);
    t.not((await statusOf(victim)).pid, pid, 'another control process');
    await until('the next one hears', 20_000, async () => {
      target.underlay.send(strange(3));
      const [link] = (await statusOf(victim)).links;
      return link?.drops.some(({ cause }) => cause.includes('203.0.113.3'));
    });
    const { 'event.events_lost': lost = 0 } = await target.counters();
    t.ok(lost > 0, 'what was lost is still counted');
    t.equal((await statusOf(victim)).links[0]?.datapath, 'kernel');
    t.equal(await target.settle(), 0, 'received = delivered + named drops');
  });

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
