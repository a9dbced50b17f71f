import t from 'tap';
import type { LinkStatus } from '../../src/api/status.ts';
import { bypassFindings } from '../../src/cli/doctor/doctor-bypass.ts';
import { bypassText } from '../../src/cli/inspect/status.ts';

t.test('bypassText() says how many ports pass by the bridge, and why others do not', async (t) => {
  t.equal(bypassText({ ports: ['a', 'b'], others: [], why: '' }), '2 of 2 ports past the bridge');
  const others = ['c', 'd', 'e', 'f', 'g'].map((port) => ({ port, why: 'is isolated' }));
  t.equal(
    bypassText({ ports: ['a'], others, why: '' }),
    '1 of 6 ports past the bridge (through it: c is isolated, d is isolated, e is isolated, 2 more)',
  );
  t.equal(
    bypassText({ ports: [], others: [], why: 'the bridge knows VLANs' }),
    'all through the bridge: the bridge knows VLANs',
  );
});

t.test('bypassFindings() leaves out fans of data processes', async (t) => {
  const link = (name: string, bypass: LinkStatus['bypass']) => ({ name, bypass });
  const of = (...links: ReturnType<typeof link>[]) => bypassFindings(links);
  t.same(of(link('a', undefined)), { isWhole: true, fans: [] });
  const whole = { ports: ['p'], others: [], why: '' };
  t.same(of(link('a', whole), link('b', undefined)), {
    isWhole: true,
    fans: ['a: 1 of 1 port past the bridge'],
  });
  t.match(of(link('a', whole), link('b', { ...whole, why: 'VLANs' })), { isWhole: false });
  t.match(of(link('a', { ...whole, others: [{ port: 'x', why: 'y' }] })), { isWhole: false });
});
