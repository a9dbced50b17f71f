import t from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { groundOf, judge } from '../support/ground.ts';
import { INNER_MAC, inFrame, innerUdp, outer, shim } from '../support/probes.ts';
import { Target } from '../support/target.ts';

t.test('a peer cannot take the MAC of a container here', { skip: skipWithoutTun() }, async (t) => {
  const target = await Target.create({ encap: 'vxlan' });
  t.teardown(() => target.close());
  const ground = groundOf(target, 'vxlan');
  const container = target.lab.container(0);
  const frame = (source: number): Buffer =>
    outer(ground, shim(ground, inFrame(ground, innerUdp(ground), { source })));

  // The container asks for a neighbour on the other host: that is how its MAC is known.
  await runEcho(container, [formatIpv4(ground.inner)], { count: 1, timeout: 100 });
  const theft = await target.shoot([frame(target.containerMac)], 2000);
  t.equal(judge({ name: 'theft', frames: [], end: 'bad_mac' }, theft), '');
  const honest = await target.shoot([frame(INNER_MAC)], 2000);
  t.equal(judge({ name: 'honest', frames: [], end: 'delivered' }, honest), '');

  for (let i = 0; i < 20; i++) target.underlay.send(frame(target.containerMac));
  const gateway = formatIpv4(ground.slice + 1);
  const { targets } = await runEcho(target.victim, [formatIpv4(ground.container)], { count: 20 });
  t.equal(targets[0]?.received, 20, `${gateway} still reaches its container`);
  t.equal(await target.settle(), 0);
});
