import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { combinations } from '../support/combinations.ts';
import { groundOf, judge } from '../support/ground.ts';
import { DATAPATHS } from '../support/kernel-path.ts';
import { skipLong } from '../support/long.ts';
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
const CASES = PAIRS.flatMap(([encap, wrongEncap]) =>
  DATAPATHS.filter(({ name }) => name === 'userspace' || encap === 'vxlan').map((datapath) => {
    return { encap, wrongEncap, ...datapath };
  }),
);

for (const { encap, wrongEncap, name: datapath, flags, watch } of CASES) {
  t.test(
    `${encap} beside ${wrongEncap}, forwarded by ${datapath}: only honest combinations enter`,
    { skip: skip || (datapath === 'kernel' && skipLong), buffered: true },
    async (t) => {
      const target = await Target.create({ encap, flags });
      t.teardown(() => target.close());
      const other = [OTHER_OVERLAY, 'eth0/16', 'bridge', 'fan-other', '--encap', wrongEncap];
      await fanwayUp(target.victim, ...other);
      await target.watchDevices();
      watch(target);
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
