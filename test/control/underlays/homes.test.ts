/** Who is where on the underlays of a link, by what members say of themselves. */
import t from 'tap';
import { LinkHomes } from '../../../src/control/plane/underlays/homes.ts';
import type { MemberState, MemberView } from '../../../src/gossip/base/api.ts';
import { noHost, parseHostAddress, parseHostPrefix } from '../../../src/net/underlay-address.ts';
import { NOWHERE } from '../../../src/table/links/homes.ts';

const at = parseHostAddress;
const net = parseHostPrefix;
const FIRST = net('172.30.0.0/16');
const SECOND = net('172.31.0.0/16');
const SPEC = {
  ...{ underlay: FIRST, local: at('172.30.0.28') },
  further: [{ underlay: SECOND, local: at('172.31.0.28'), device: 'eth1' }],
};

function member(
  told: readonly (readonly [first: string, local: string])[],
  state: MemberState = 'alive',
  underlay = SECOND,
): MemberView {
  const underlays = told.map(([first, local]) => {
    return { first: at(first), underlay, local: local === '' ? noHost(4) : at(local) };
  });
  return {
    ...{ id: 'm', name: 'm', state, endpoint: undefined, endpoints: [], encaps: [] },
    ...{ mtu: 1500, vnis: [], fans: [], underlays, version: '', rttMs: undefined, loss: 0 },
    ...{ lastHeardMs: 0, sinceMs: 0, epoch: 1, sequence: 1, isSelf: false },
  };
}

t.test('a peer is where it says, others by arithmetic', async (t) => {
  const homes = new LinkHomes(SPEC, [member([['172.30.1.27', '172.31.0.99']])]);
  const [told, other] = [at('172.30.1.27'), at('172.30.2.26')];
  t.equal(homes.addressOn(0, told), told);
  t.equal(homes.addressOn(1, told), at('172.31.0.99'));
  t.equal(homes.addressOn(1, other), at('172.31.2.26'));
  t.same([homes.isTold(1, told), homes.isTold(1, other)], [true, false]);
  t.equal(homes.peerAt(1, at('172.31.0.99')), told);
  t.equal(homes.peerAt(1, at('172.31.2.26')), other);
  t.equal(homes.peerAt(1, at('172.31.1.27')), undefined, 'where it would be, but is not');
  t.equal(homes.peerAt(1, at('10.0.0.1')), undefined, 'of no underlay');
  t.same(homes.rows(), [{ underlay: 1, peer: 0xac1e011b, word: 0xac1f0063 }]);
});

t.test('who has no address there says so', async (t) => {
  const homes = new LinkHomes(SPEC, [member([['172.30.1.27', '']])]);
  t.equal(homes.addressOn(1, at('172.30.1.27')), undefined);
  t.equal(homes.peerAt(1, at('172.31.1.27')), undefined);
  t.same(homes.rows(), [{ underlay: 1, peer: 0xac1e011b, word: NOWHERE }]);
});

t.test('what is not about us, or of two members, is not believed', async (t) => {
  const usual = at('172.31.1.27');
  const one = ['172.30.1.27', '172.31.0.99'] as const;
  for (const [what, members] of [
    ['another network', [member([one], 'alive', net('172.31.0.0/24'))]],
    ['an address outside of it', [member([['172.30.1.27', '10.0.0.1']])]],
    ['our own address', [member([['172.30.1.27', '172.31.0.28']])]],
    ['a host outside of the first', [member([['10.0.0.1', '172.31.0.99']])]],
    ['who has left', [member([one], 'left')]],
    ['two of one host', [member([one]), member([['172.30.1.27', '172.31.0.77']])]],
    ['two at one address', [member([one]), member([['172.30.5.5', '172.31.0.99']])]],
    ['ourselves', [{ ...member([one]), isSelf: true }]],
  ] as const) {
    const homes = new LinkHomes(SPEC, members);
    t.equal(homes.addressOn(1, at('172.30.1.27')), usual, what);
    t.equal(homes.peerAt(1, at('172.31.0.99')), at('172.30.0.99'), what);
  }
  const dead = member([['172.30.1.27', '172.31.0.77']], 'dead');
  t.equal(new LinkHomes(SPEC, [dead]).addressOn(1, at('172.30.1.27')), at('172.31.0.77'));
  const both = new LinkHomes(SPEC, [dead, member([one])]);
  t.equal(both.addressOn(1, at('172.30.1.27')), at('172.31.0.99'), 'who is there goes before');
});
