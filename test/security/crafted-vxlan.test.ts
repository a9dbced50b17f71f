import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedVxlan } from '../support/crafted-vxlan.ts';
import { shootEcnCells } from '../support/ecn-probes.ts';
import { groundOf, runBattery } from '../support/ground.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;

for (const { name, flags, probe, watch, ecnDrop } of DATAPATHS) {
  // Offloads are a word to fanway's own processes.
  for (const offload of name === 'kernel' ? (['auto'] as const) : (['auto', 'off'] as const)) {
    const title = `crafted VXLAN datagrams, forwarded by ${name}, offload ${offload}`;
    t.test(title, { skip, buffered: true }, async (t) => {
      const target = await Target.create({ encap: 'vxlan', offload, flags });
      t.teardown(() => target.close());
      watch(target);
      const probes = craftedVxlan(groundOf(target, 'vxlan')).map(probe);
      t.ok(probes.filter(({ end }) => end !== 'delivered').length >= 80, `${probes.length} probes`);
      await runBattery(t, target, probes);
      await shootEcnCells(t, target, groundOf(target, 'vxlan'), ecnDrop);
    });
  }
}
