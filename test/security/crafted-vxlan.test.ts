import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedVxlan } from '../support/crafted-vxlan.ts';
import { shootEcnCells } from '../support/ecn-probes.ts';
import { groundOf, runBattery } from '../support/ground.ts';
import { Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;

for (const offload of ['auto', 'off'] as const) {
  t.test(`crafted VXLAN datagrams, offload ${offload}`, { skip, buffered: true }, async (t) => {
    const target = await Target.create({ encap: 'vxlan', offload });
    t.teardown(() => target.close());
    const probes = craftedVxlan(groundOf(target, 'vxlan'));
    t.ok(probes.filter(({ end }) => end !== 'delivered').length >= 80, `${probes.length} probes`);
    await runBattery(t, target, probes);
    await shootEcnCells(t, target, groundOf(target, 'vxlan'), 'ecn_not_capable');
  });
}
