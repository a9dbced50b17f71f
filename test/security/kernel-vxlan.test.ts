import t from 'tap';
import { battery } from '../../bench/battery.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

const skip = skipWithoutTun();
t.setTimeout(1_200_000);

t.test('the same datagrams against the kernel and against fanway', { skip }, async (t) => {
  const table = await battery.run(() => undefined);
  if (typeof table === 'string' || table === undefined) {
    t.pass('comparison', { skip: table ?? 'no table' });
    return;
  }
  const numbers = table.rows.map(([title = '', ...cells]) => ({ title, cells: cells.map(Number) }));
  const hostile = numbers.find(({ title }) => title === 'all that should not');
  const [sent = 0, intoKernel = 0, intoFanway = -1] = hostile?.cells ?? [];
  t.comment(`of ${sent} hostile datagrams: kernel ${intoKernel}, fanway ${intoFanway}`);
  t.ok(sent >= 80);
  t.equal(intoFanway, 0, 'none into fanway');
  t.ok(intoKernel > 0, 'a static forwarding table is no source check');
});
