import t from 'tap';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { decidingRule, type Opening } from '../../src/net/policy/decide.ts';
import {
  compareRules,
  formatRule,
  parseLabel,
  parseRule,
  RULE_CHARS_MAX,
} from '../../src/net/policy/rule.ts';
import { parseAddress6 } from '../../src/net/prefix6.ts';

t.test('parseRule() and formatRule() are inverse on canonical texts', async (t) => {
  for (const text of [
    'allow',
    'deny',
    'deny from 10.1.0.5',
    'allow from 10.1.0.0/24 to label:db tcp port 5432',
    'deny to fd00:1::/64 udp port 53-5353 order 10',
    'allow from fd00::1 to fd00::2 icmpv6',
    'deny from label:web to label:db 200',
    'allow from network:red to 10.1.0.5 tcp port 80',
    'deny to network:fan-250',
  ]) {
    t.equal(formatRule(parseRule(text)), text);
  }
  for (const [text, canonical] of [
    ['deny  from any to any', 'deny'],
    ['allow tcp port 80 from 10.1.0.77/24', 'allow from 10.1.0.0/24 tcp port 80'],
    ['deny 6 order 1000', 'deny tcp'],
    ['allow from FD00::0001/128', 'allow from fd00::1'],
  ] as const) {
    t.equal(formatRule(parseRule(text)), canonical);
  }
});

t.test('parseRule() says what is wrong', async (t) => {
  for (const [text, message] of [
    ['', /a rule is allow\|deny/],
    ['drop from any', /a rule is allow\|deny/],
    ['allow from', /after from and to stands who/],
    ['allow from 10.1.0', /neither an address/],
    ['allow from 10.1.0.0/33', /0 to 32/],
    ['allow from 10.1.0.0/8/8', /neither an address/],
    ['allow port 80', /port needs a protocol/],
    ['allow icmp port 80', /port needs a protocol/],
    ['allow tcp port 90-80', /no range/],
    ['allow tcp port 70000', /0 to 65535/],
    ['allow tcp udp', /twice/],
    ['allow from any from any', /twice/],
    ['allow from 10.0.0.1 to fd00::1', /different families/],
    ['allow from label:Web!', /no label/],
    ['allow whatever', /has no meaning/],
    ['allow from network:red to network:blue', /beside network:NAME/],
    ['allow from network:red to label:db', /beside network:NAME/],
    ['allow from network:/x', /no name of a network/],
    [`allow from label:${'a'.repeat(RULE_CHARS_MAX)}`, /at most/],
  ] as const) {
    t.throws(() => parseRule(text), { code: 'ERR_RULE', message }, text);
  }
  t.throws(() => parseLabel('-x'), { code: 'ERR_RULE' });
});

t.test('rules are asked by order, exceptions before what they are exceptions of', async (t) => {
  const texts = [
    'deny to label:db',
    'allow order 2000',
    'deny tcp order 5',
    'allow to label:db tcp',
  ];
  const sorted = texts.map(parseRule).sort(compareRules).map(formatRule);
  t.strictSame(sorted, [
    'deny tcp order 5',
    'allow to label:db tcp',
    'deny to label:db',
    'allow order 2000',
  ]);
});

t.test('decidingRule() finds the first that fits', async (t) => {
  const rules = [
    'deny to label:db',
    'allow from label:web to label:db tcp port 5432',
    'deny from fd00::/16',
  ]
    .map(parseRule)
    .sort(compareRules);
  const plain = { address: parseIpv4('10.1.0.9'), labels: [] };
  const web = { address: parseIpv4('10.1.0.5'), labels: ['web'] };
  const db = { address: parseIpv4('10.1.0.7'), labels: ['db'] };
  const six = { address: parseAddress6('fd00::5'), labels: [] };
  const decide = (opening: Partial<Opening>): string => {
    const rule = decidingRule(rules, { from: web, to: db, protocol: 6, port: 5432, ...opening });
    return rule === undefined ? 'none' : formatRule(rule);
  };
  t.equal(decide({}), 'allow from label:web to label:db tcp port 5432');
  t.equal(decide({ port: 22 }), 'deny to label:db');
  t.equal(decide({ protocol: 17 }), 'deny to label:db');
  t.equal(decide({ from: plain }), 'deny to label:db');
  t.equal(decide({ from: db, to: web }), 'none');
  t.equal(decide({ from: six, to: six }), 'deny from fd00::/16');
  t.equal(decide({ from: plain, to: plain }), 'none');
});
