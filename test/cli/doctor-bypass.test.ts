import t from 'tap';
import type { LinkStatus } from '../../src/api/status.ts';
import { bypassFindings } from '../../src/cli/doctor/doctor-bypass.ts';
import { bypassText } from '../../src/cli/inspect/status.ts';

t.test('bypassText() says how many ports pass by the bridge, and why others do not', async (t) => {
  const [others, notStraight] = [
    ['c', 'd', 'e', 'f', 'g'].map((port) => ({ port, why: 'is isolated' })),
    undefined,
  ];
  const two = { ports: ['a', 'b'], others: [], why: '', notStraight };
  t.equal(bypassText(two), '2 of 2 ports past the bridge', 'of an older router');
  t.match(bypassText({ ...two, notStraight: '' }), /bridge, small packets straight out$/);
  t.match(bypassText({ ...two, notStraight: 'no' }), /, small packets not straight out: no$/);
  t.equal(
    bypassText({ ports: ['a'], others, why: '', notStraight }),
    '1 of 6 ports past the bridge (through it: c is isolated, d is isolated, e is isolated, 2 more)',
  );
  t.equal(
    bypassText({ ports: [], others: [], why: 'the bridge knows VLANs', notStraight: '' }),
    'all through the bridge: the bridge knows VLANs',
  );
});

t.test('bypassFindings() leaves out fans of data processes', async (t) => {
  const link = (name: string, bypass: LinkStatus['bypass']) => ({ name, bypass });
  const of = (...links: ReturnType<typeof link>[]) => bypassFindings(links);
  t.same(of(link('a', undefined)), { isWhole: true, fans: [] });
  const whole = { ports: ['p'], others: [], why: '', notStraight: undefined };
  t.same(of(link('a', whole), link('b', undefined)), {
    isWhole: true,
    fans: ['a: 1 of 1 port past the bridge'],
  });
  t.match(of(link('a', whole), link('b', { ...whole, why: 'VLANs' })), { isWhole: false });
  t.match(of(link('a', { ...whole, others: [{ port: 'x', why: 'y' }] })), { isWhole: false });
});
