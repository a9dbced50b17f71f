import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { combinations } from '../support/combinations.ts';
import { groundOf, judge } from '../support/ground.ts';
import { watchContainer } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
import { PATIENCE } from '../support/patience.ts';
import { type Encapsulation, fanwayUp, Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;

/** A second fan of the victim's, in another encapsulation: the door for "wrong mode". */
const OTHER_OVERLAY = '249.0.0.0/8';
const REACH_MS = 2000 * PATIENCE;

const PAIRS: readonly (readonly [Encapsulation, Encapsulation, 'userspace' | 'kernel'])[] = [
  ['vxlan', 'ipip', 'userspace'],
  ['vxlan', 'ipip', 'kernel'],
  ['ipip', 'vxlan', 'userspace'],
  ['fou', 'vxlan', 'userspace'],
];

for (const [encap, wrongEncap, datapath] of PAIRS) {
  t.test(
    `${encap} beside ${wrongEncap}, forwarded by ${datapath}: only honest combinations enter`,
    { skip: skip || (datapath === 'kernel' && skipLong), buffered: true },
    async (t) => {
      const flags = datapath === 'kernel' ? ['--datapath', datapath] : [];
      const target = await Target.create({ encap, flags });
      t.teardown(() => target.close());
      const other = [OTHER_OVERLAY, 'eth0/16', 'bridge', 'fan-other', '--encap', wrongEncap];
      await fanwayUp(target.victim, ...other);
      await target.watchDevices();
      if (datapath === 'kernel') watchContainer(target);
      const wrong = { ...groundOf(target, wrongEncap), vni: 0xf90000 };
      const probes = combinations(groundOf(target, encap), wrong).map((probe) =>
        // A data process of the other fan alone does not know what the kernel carries.
        datapath === 'kernel' && probe.end === 'mode_mismatch'
          ? { ...probe, end: 'foreign_source' as const }
          : probe,
      );
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
