import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { craftedIp } from '../support/crafted-ip.ts';
import { groundOf, runBattery } from '../support/ground.ts';
import { Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;

for (const encap of ['ipip', 'fou'] as const) {
  for (const offload of ['auto', 'off'] as const) {
    t.test(
      `crafted ${encap} datagrams, offload ${offload}`,
      { skip, buffered: true },
      async (t) => {
        const target = await Target.create({ encap, offload });
        t.teardown(() => target.close());
        const probes = craftedIp(groundOf(target, encap));
        t.ok(
          probes.filter(({ end }) => end !== 'delivered').length >= 80,
          `${probes.length} probes`,
        );
        await runBattery(t, target, probes);
      },
    );
  }
}
