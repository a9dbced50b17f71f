import t from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { groundOf, judge } from '../support/ground.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { sleep, until } from '../support/patience.ts';
import { INNER_MAC, inFrame, innerUdp, outer, shim } from '../support/probes.ts';
import { Target } from '../support/target.ts';

/** Longer than control needs to ask the bridge about a claim. */
const ASKED_MS = 700;

const skip = skipWithoutTun();

for (const { name, flags, watch } of DATAPATHS) {
  t.test(
    `a peer cannot take the MAC of a container here, forwarded by ${name}`,
    { skip },
    async (t) => {
      const target = await Target.create({ encap: 'vxlan', flags });
      t.teardown(() => target.close());
      watch(target);
      const ground = groundOf(target, 'vxlan');
      const container = target.lab.container(0);
      const frame = (source: number): Buffer =>
        outer(ground, shim(ground, inFrame(ground, innerUdp(ground), { source })));
      const counter = async (name: string): Promise<number> => (await target.counters())[name] ?? 0;

      // The container asks for a neighbour on the other host: that is how its MAC is known.
      await runEcho(container, [formatIpv4(ground.inner)], { count: 1, timeout: 100 });
      const theft = await target.shoot([frame(target.containerMac)], 2000);
      t.equal(judge({ name: 'theft', frames: [], end: 'bad_mac' }, theft), '');
      const honest = await target.shoot([frame(INNER_MAC)], 2000);
      t.equal(judge({ name: 'honest', frames: [], end: 'delivered' }, honest), '');

      for (let i = 0; i < 20; i++) target.underlay.send(frame(target.containerMac));
      const gateway = formatIpv4(ground.slice + 1);
      const { targets } = await runEcho(target.victim, [formatIpv4(ground.container)], {
        count: 20,
      });
      t.equal(targets[0]?.received, 20, `${gateway} still reaches its container`);
      t.equal(await target.settle(), 0);

      await t.test('not even while it says nothing: the bridge knows it is here', async (t) => {
        const before = await counter('ingress.drop.bad_mac');
        for (let i = 0; i < 3; i++) {
          target.underlay.send(frame(target.containerMac));
          await sleep(ASKED_MS);
        }
        await until('all three were refused', 5000, async () => {
          return (await counter('ingress.drop.bad_mac')) === before + 3;
        });
        t.equal(await counter('event.local_macs_forgotten'), 0);
      });

      await t.test('once its port is gone it may be elsewhere', async (t) => {
        await container.detach();
        const before = await counter('ingress.delivered');
        await until('a frame with its MAC comes in', 5000, async () => {
          target.underlay.send(frame(target.containerMac));
          await sleep(100);
          return (await counter('ingress.delivered')) > before;
        });
        // The kernel's programs are told, and count nothing.
        t.equal(await counter('event.local_macs_forgotten'), name === 'kernel' ? 0 : 1);
      });
    },
  );
}

t.test('a container made anew in silence is asked for', { skip }, async (t) => {
  const target = await Target.create({ encap: 'vxlan' });
  t.teardown(() => target.close());
  const ground = groundOf(target, 'vxlan');
  const container = target.lab.container(0);
  await runEcho(container, [formatIpv4(ground.inner)], { count: 1, timeout: 100 });
  const frame = outer(ground, shim(ground, inFrame(ground, innerUdp(ground))));
  const newMac = 0x0242_0000_beef;
  const { netlink } = container;
  await netlink.setLink('eth0', { up: false });
  await netlink.setLink('eth0', { address: newMac, up: true });
  target.underlay.take();
  // An ARP answer of the new MAC about the container's address, in a tunnel packet to the asker.
  const answer = Buffer.from(
    `0806000108000604000202420000beef${ground.container.toString(16)}` +
      `${INNER_MAC.toString(16).padStart(12, '0')}${ground.inner.toString(16)}`,
    'hex',
  );
  await until('the peer hears of the new MAC', 5000, async () => {
    target.underlay.send(frame);
    await sleep(100);
    return target.underlay.arrived().some((bytes) => bytes.includes(answer));
  });
  t.ok(((await target.counters())['event.neighbour_asked'] ?? 0) >= 1);
  t.equal(await target.settle(), 0);
});
