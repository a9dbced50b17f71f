import t from 'tap';
import { FOUND_MAX, findCall, type PlacedEntry } from '../../src/api/entries.ts';
import type { MemberJson } from '../../src/api/members.ts';
import { type FindSources, findThings } from '../../src/control/entries/find.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { parsePrefix6 } from '../../src/net/prefix6.ts';

const member = (name: string, local: string): MemberJson => ({
  ...{ id: `id-of-${name}`, name, state: 'alive', underlay: `${local}:7946`, endpoints: [] },
  ...{ encaps: [], mtu: 1500, vnis: [], version: '', rttMs: 1, loss: 0, lastHeardMs: 1 },
  ...{ sinceMs: 1, epoch: 1, sequence: 1, self: name === 'alpha' },
  fans: [{ overlay: '250.0.0.0/8', underlay: '172.30.0.0/16', local }],
});

const entry: PlacedEntry = {
  ...{ link: 'fan', kind: 'prefix', entry: '250.0.28.77/32', host: '172.30.1.27' },
  ...{ source: 'gossip', owner: 'id-of-beta', name: 'beta' },
};

const sources: FindSources = {
  fans: [
    {
      map: { overlay: parsePrefix('250.0.0.0/8'), underlay: parsePrefix('172.30.0.0/16') },
      ...{ local: parseIpv4('172.30.0.28'), name: 'fan', bridged: true },
    },
  ],
  fans6: [
    {
      overlay: parsePrefix6('fd00:fa::/32'),
      underlay: parsePrefix('172.30.0.0/16'),
      ...{ local: parseIpv4('172.30.0.28'), name: 'fan' },
    },
  ],
  members: [member('alpha', '172.30.0.28'), member('beta', '172.30.1.27')],
  workloads: [{ address: parseIpv4('250.0.28.10'), name: 'web-1 (net, eth0)' }],
  entries: [entry],
  answer: (_link, address) =>
    address === parseIpv4('250.0.28.77')
      ? {
          prefix: '250.0.28.77/32',
          host: '172.30.1.27',
          source: 'gossip',
          owner: 'x',
          name: 'beta',
        }
      : null,
};

t.test(
  'an address, a host, a workload and an entry are found by what they are called',
  async (t) => {
    const find = (wanted: string) => findThings(wanted, sources);
    t.match(find('250.1.27.9'), [{ kind: 'address', host: '172.30.1.27', member: 'id-of-beta' }]);
    t.match(find('250.0.28.77'), [{ host: '172.30.1.27', text: /announced .* by beta/ }]);
    t.match(find('250.0.28.10'), [{ text: /handed out for web-1/, member: 'id-of-alpha' }]);
    t.match(find('172.30.1.27'), [{ kind: 'host', name: 'beta' }], 'an underlay address is a host');
    t.match(find('fd00:fa:11b::7'), [
      { kind: 'address', host: '172.30.1.27', member: 'id-of-beta' },
    ]);
    t.same(find('9.9.9.9'), []);
    t.same(find('fd01::1'), []);
    t.match(find('WEB-1'), [{ kind: 'workload', address: '250.0.28.10', member: 'id-of-alpha' }]);
    t.match(find('bet'), [
      { kind: 'host', name: 'beta' },
      { kind: 'entry', name: '250.0.28.77/32', text: /told by beta/ },
    ]);
    t.same(find('nobody'), []);
    const many = { ...sources, entries: Array.from({ length: 500 }, () => entry) };
    t.equal(findThings('77', many).length, FOUND_MAX, 'an answer has an end');
    t.throws(() => findCall.request({ wanted: ' ' }, ''), /not from 1 to/);
    t.throws(() => findCall.request({ wanted: 'x'.repeat(101) }, ''), /not from 1 to/);
  },
);
