/**
 * What members ask of us about a packet: who is answered, how often, and what is made of nonsense.
 */
import t from 'tap';
import { type EndQuestion, endAnswer } from '../../src/api/network/ends.ts';
import { Ends, type EndsOptions } from '../../src/control/probe/ends.ts';
import type { MemberView } from '../../src/gossip/base/api.ts';
import type { Asked } from '../../src/gossip/seal/asked.ts';
import { ABOUT_CHARS_MAX } from '../../src/wire/gossip/bounds.ts';
import { Question } from '../../src/wire/gossip/types.ts';

const [MEMBER, OTHER, GONE] = ['a', 'b', 'c'];
const found = { facts: [{ what: 'owner', value: 'here', by: 'us' }], dies: '', counter: '' };
const QUESTION: EndQuestion = {
  ...{ side: 'arrives', kind: 'network', vni: 100, overlay: '', outer: '172.30.1.27' },
  ...{ wire: 'vxlan 4789 100', from: '10.1.0.1', to: '10.1.0.9', protocol: 6, port: 443 },
};

function member(id: string, state: MemberView['state']): MemberView {
  return {
    ...{ id, name: id, state, endpoint: undefined, endpoints: [], encaps: [], mtu: 1500, vnis: [] },
    ...{
      fans: [],
      underlays: [],
      version: '',
      rttMs: undefined,
      loss: 0,
      lastHeardMs: 0,
      sinceMs: 0,
    },
    ...{ epoch: 1, sequence: 1, isSelf: false },
  };
}

function rig() {
  let limited = 0;
  const options: EndsOptions = {
    fans: () => [],
    networks: () => [],
    members: () => [member(MEMBER, 'alive'), member(OTHER, 'suspect'), member(GONE, 'dead')],
    entries: { get: () => undefined },
    answer: () => null,
    network: { find: () => found },
    fan: { find: () => found },
    ask: () => Promise.reject(new Error('nobody is asked here')),
    limited: () => void limited++,
  };
  const ends = new Ends(options);
  const ask = async (asked: Partial<Asked>) => {
    const question = { question: Question.Explain, about: JSON.stringify(QUESTION), from: MEMBER };
    const told = await ends.answer({ ...question, isProved: true, ...asked });
    return told === undefined ? undefined : endAnswer(JSON.parse(told), '');
  };
  return { ends, ask, limited: () => limited };
}

t.test('members whose questions are signed are answered, and nobody else', async (t) => {
  const { ask } = rig();
  t.match(await ask({}), { problem: '', finding: { dies: /no network with VNI 100/ } });
  t.match(await ask({ isProved: false }), { problem: /members only/, finding: { facts: [] } });
  t.match(await ask({ from: GONE }), { problem: /members only/ });
  t.match(await ask({ from: 'nobody' }), { problem: /members only/ });
  t.equal(await ask({ question: Question.Counters }), undefined, 'another question');
});

t.test('nonsense is told to be that', async (t) => {
  const { ask } = rig();
  for (const about of ['', '{', '[]', '{"side":"up"}', '"'.repeat(ABOUT_CHARS_MAX)]) {
    t.match(await ask({ about }), { problem: /does not understand/ }, about.slice(0, 20));
  }
});

t.test('a member that asks too often hears so, and others are answered', async (t) => {
  const { ask, limited } = rig();
  const told = await Promise.all(Array.from({ length: 100 }, () => ask({})));
  const answered = told.filter((one) => one?.problem === '').length;
  t.ok(answered >= 16 && answered < 40, `${answered} of 100 at once`);
  t.equal(limited(), 100 - answered, 'the others are counted');
  t.match(told.at(-1), { problem: /too often/ });
  t.match(await ask({ from: OTHER }), { problem: '' });
});

t.test('a question fits what may travel', async (t) => {
  const longest = 'fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
  const about = { ...QUESTION, from: longest, to: longest, outer: longest, overlay: longest };
  t.ok(JSON.stringify(about).length <= ABOUT_CHARS_MAX);
});

t.test('what a host knows nothing of it asks nobody about', async (t) => {
  const { ends } = rig();
  t.same(await ends.explain({ from: '', to: '10.1.0.9', protocol: 1, port: 0 }), []);
});
