import t from 'tap';
import { ETHERTYPE_ARP } from '../../src/wire/ethernet.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { isTransportSumRight } from '../support/bytes.ts';
import { groundOf } from '../support/ground.ts';
import { Guest } from '../support/guest.ts';
import { inFrame, innerUdp, outer, shim } from '../support/probes.ts';
import { ENCAPSULATIONS, moved, Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;
t.setTimeout(1_200_000);

const NAMES = ['not_ect', 'ect1', 'ect0', 'ce'] as const;
const [N, T1, T0, CE] = [0, 1, 2, 3];
const DROP = -1;
/** RFC 6040 figure 4, written out again: row inner, columns outer Not-ECT, ECT(0), ECT(1), CE. */
const RESULT: Readonly<Record<number, readonly number[]>> = {
  [N]: [N, N, N, DROP],
  [T0]: [T0, T0, T1, CE],
  [T1]: [T1, T1, T1, CE],
  [CE]: [CE, CE, CE, CE],
};
const COLUMNS = [N, T0, T1, CE];
/** Expedited forwarding and AF31, in the upper six bits. */
const [EF, AF31] = [0xb8, 0x68];

for (const encap of ENCAPSULATIONS) {
  for (const dscp of ['pipe', 'uniform'] as const) {
    // Offloads meet these bytes on one path only, so "off" is walked with one mode.
    const offload = dscp === 'uniform' ? 'off' : 'auto';
    t.test(`${encap}, ${dscp}, offload ${offload}`, { skip, buffered: true }, async (t) => {
      const target = await Target.create({ encap, offload, flags: ['--dscp', dscp] });
      t.teardown(() => target.close());
      const ground = groundOf(target, encap);
      const guest = await Guest.create(target, encap, ground.port);

      await t.test('encapsulation copies the codepoint, congestion included', async (t) => {
        for (const ecn of [N, T1, T0, CE]) {
          for (const inside of [0, EF, AF31]) {
            guest.send(
              innerUdp(ground, {
                source: ground.container,
                destination: ground.inner,
                tos: inside | ecn,
              }),
            );
            const [packet] = await guest.collect(1);
            const title = `DSCP ${inside >> 2}, ${NAMES[ecn]}`;
            t.equal(packet?.tos, (dscp === 'uniform' ? inside : 0) | ecn, `${title}: outer`);
            t.equal(packet?.inner[1], inside | ecn, `${title}: inner untouched`);
          }
        }
      });

      await t.test(
        'decapsulation combines by the table, every cell with its counter',
        async (t) => {
          for (const inner of [N, T0, T1, CE]) {
            for (const [column, outside] of COLUMNS.entries()) {
              const result = RESULT[inner]?.[column] ?? DROP;
              const cell = `ecn.${NAMES[inner]}_${NAMES[outside]}`;
              const packet = innerUdp(ground, { tos: EF | inner });
              const frame = outer(ground, shim(ground, inFrame(ground, packet)), {
                tos: AF31 | outside,
              });
              const before = await target.counters();
              const { counters, inside: all } = await target.shoot([frame], 2000);
              // Nobody in this container answers, which the data path asks after by ARP.
              const isArp = (frame: Buffer) => frame.readUInt16BE(12) === ETHERTYPE_ARP;
              const inside = encap === 'vxlan' ? all.filter((frame) => !isArp(frame)) : all;
              t.strictSame(moved(before, await target.counters(), 'ecn.'), { [cell]: 1 }, cell);
              if (result === DROP) {
                t.strictSame(counters, {
                  'ingress.received': 1,
                  'ingress.drop.ecn_not_capable': 1,
                });
                t.equal(inside.length, 0, 'dropped');
                continue;
              }
              t.strictSame(counters, { 'ingress.received': 1, 'ingress.delivered': 1 });
              const [delivered] = inside;
              const arrived = delivered?.subarray(encap === 'vxlan' ? 14 : 0);
              const wanted = (dscp === 'uniform' ? AF31 : EF) | result;
              t.equal(arrived?.[1], wanted, `${cell}: TOS inside`);
              const expected = innerUdp(ground, { tos: wanted });
              t.ok(arrived?.equals(expected), 'nothing else changed, checksum right');
              t.ok(arrived !== undefined && isTransportSumRight(arrived));
            }
          }
        },
      );
      t.equal(await target.settle(), 0, 'received = delivered + named drops');
    });
  }
}
