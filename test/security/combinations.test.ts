import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { combinations } from '../support/combinations.ts';
import { groundOf, judge } from '../support/ground.ts';
import { PATIENCE } from '../support/patience.ts';
import { type Encapsulation, fanwayUp, Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;

/** A second fan of the victim's, in another encapsulation: the door for "wrong mode". */
const OTHER_OVERLAY = '249.0.0.0/8';
const REACH_MS = 2000 * PATIENCE;

const PAIRS: readonly (readonly [Encapsulation, Encapsulation])[] = [
  ['vxlan', 'ipip'],
  ['ipip', 'vxlan'],
  ['fou', 'vxlan'],
];

for (const [encap, wrongEncap] of PAIRS) {
  t.test(
    `${encap} beside ${wrongEncap}: only honest combinations enter`,
    { skip, buffered: true },
    async (t) => {
      const target = await Target.create({ encap });
      t.teardown(() => target.close());
      const other = [OTHER_OVERLAY, 'eth0/16', 'bridge', 'fan-other', '--encap', wrongEncap];
      await fanwayUp(target.victim, ...other);
      await target.watchDevices();
      const wrong = { ...groundOf(target, wrongEncap), vni: 0xf90000 };
      const probes = combinations(groundOf(target, encap), wrong);
      t.equal(probes.length, 256);
      t.equal(new Set(probes.map(({ name }) => name)).size, 256);
      // Bridged, the network address of a slice may send, and its broadcast address be sent to.
      const honest = encap === 'vxlan' ? 8 : 2;
      t.equal(
        probes.filter(({ end }) => end === 'delivered').length,
        honest,
        `${honest} are honest`,
      );
      const faults: string[] = [];
      const ends = new Map<string, number>();
      for (const probe of probes) {
        const fault = judge(probe, await target.shoot(probe.frames, REACH_MS));
        if (fault !== '') faults.push(`${probe.name}: ${fault}`);
        ends.set(probe.end, (ends.get(probe.end) ?? 0) + 1);
      }
      t.strictSame(faults, []);
      t.comment([...ends].map(([end, count]) => `${end} ${count}`).join(', '));
      t.equal(await target.settle(), 0, 'received = delivered + named drops');
    },
  );
}
