// Our rules as we send them to the kernel, against the same rules as nft sends them.
import t from 'tap';
import { chainsText, type OwnChain } from '../../src/control/change/kinds/firewall/chains.ts';
import { guardChains } from '../../src/control/change/kinds/firewall/guard.ts';
import { inwardChain } from '../../src/control/change/kinds/firewall/inward.ts';
import { type KeepChange, keepChains } from '../../src/control/change/kinds/firewall/keep.ts';
import { masqueradeChain } from '../../src/control/change/kinds/firewall/masquerade.ts';
import { PacketFilterReader } from '../../src/control/host/packet-filter.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { parseHostAddress } from '../../src/net/underlay-address.ts';
import { findNft, hasNft } from '../../src/sys/host/nft.ts';
import { nfTransaction } from '../../src/sys/netlink/nf/text.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';

const link = 'fan-250-0-28';
const [slice, overlay] = [parsePrefix('250.0.28.0/22'), parsePrefix('250.0.0.0/8')];
const keep = (encap: KeepChange['encap'], local: string): OwnChain[] => {
  const at = { local: parseHostAddress(local), port: 4789, slice, overlay };
  return keepChains({ kind: 'keep', link, encap, ...at });
};

const FORWARD = [
  'add table ip filter',
  'add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }',
  'insert rule ip filter FORWARD iifname "fan-250-0-28" counter accept comment "fanway"',
  'insert rule ip filter FORWARD oifname "fan-250-0-28" counter accept comment "fanway"',
];

/** Every text that a link's rules are made of. */
const TEXTS: [what: string, text: string][] = [
  ['keep, vxlan', chainsText(keep('vxlan', '172.30.0.28'))],
  ['keep, ipip', chainsText(keep('ipip', '172.30.0.28'))],
  [
    'keep, fou over IPv6',
    keep('fou', '2001:db8::28')
      .map((one) => chainsText([one]))
      .join(''),
  ],
  [
    'keep, ipip over IPv6',
    keep('ipip', '2001:db8::28')
      .map((one) => chainsText([one]))
      .join(''),
  ],
  [
    'masquerade',
    chainsText([masqueradeChain({ kind: 'masquerade', link, slice, overlay, bridge: link })]),
  ],
  [
    'inward',
    chainsText([
      inwardChain({ kind: 'inward', link, slice, overlay, device: 'fw-x', gateway: 0xfa00_1c01 }),
    ]),
  ],
  ['guard', chainsText(guardChains({ kind: 'guard', link, bridge: link }, ['veth1', 'fw-x.2']))],
  ['guard without ports', chainsText(guardChains({ kind: 'guard', link, bridge: link }, []))],
  ['accept', `${FORWARD.join('\n')}\n`],
];

t.test('nfTransaction() leaves to nft what it does not know', async (t) => {
  for (const [what, text] of TEXTS) t.ok(nfTransaction(text), what);
  for (const line of [
    'add rule ip fanway_x keep tcp dport 80 drop',
    'add rule ip fanway_x keep ip saddr 10.0.0.0/33 drop',
    'add rule ip fanway_x keep ip saddr host.example drop',
    'add rule ip fanway_x keep iifname "a name that is too long" drop',
    'add rule ip fanway_x keep iifname {',
    'add rule ip fanway_x keep snat to',
    'add chain ip fanway_x keep { type nat hook nowhere priority 0; policy accept; }',
    'add chain ip fanway_x keep { type nat hook input priority 0; policy drop; }',
    'add table nonsense fanway_x',
    'delete rule ip fanway_x keep handle x',
    'list ruleset',
  ]) {
    t.equal(nfTransaction(`${line}\n`), undefined, line);
  }
});

function nft(host: LabHost, args: string[], input = ''): Promise<string> {
  const child = host.spawn(findNft() ?? '', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  // One that only lists ends without having read it.
  child.stdin?.on('error', () => undefined).end(input);
  return new Promise((resolve, reject) => {
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`nft: ${code}`))));
  });
}

const skip = skipWithoutNamespaces() || (hasNft() ? false : 'needs nft (package nftables)');

t.test('the kernel holds the same rules as if nft had loaded them', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const reader = host.run(() => new PacketFilterReader());
  t.teardown(() => reader.close());
  for (const [what, text] of TEXTS) {
    await nft(host, ['-f', '-'], text);
    const theirs = await nft(host, ['list', 'ruleset']);
    await nft(host, ['flush', 'ruleset']);
    await reader.load(text);
    if (text.startsWith('add table ip fanway')) await reader.load(text);
    t.equal(await nft(host, ['list', 'ruleset']), theirs, what);
    t.match(theirs, /table/);
    await nft(host, ['flush', 'ruleset']);
  }

  await reader.load(TEXTS[0]?.[1] ?? '');
  const before = await reader.read();
  await reader.load(TEXTS[6]?.[1] ?? '');
  const known = await reader.read();
  t.equal(known.chains.length, before.chains.length + 2, 'what came is known');
  const whole = host.run(() => new PacketFilterReader());
  t.teardown(() => whole.close());
  const order = (all: readonly object[]) => all.map((one) => JSON.stringify(one)).sort();
  const anew = await whole.read();
  t.same(order(known.chains), order(anew.chains), 'as if it had been read whole');
  t.same(order(known.rules), order(anew.rules));
  await nft(host, ['delete', 'table', 'ip', 'fanway_fan_2d250_2d0_2d28']);
  t.equal((await reader.read()).chains.length, 2, 'what others change is read anew');

  await t.rejects(reader.load('delete table ip fanway_gone\n'), {
    code: 'EREFUSED',
    message: /delete table ip fanway_gone.*ENOENT/,
  });
  const half = 'add table ip fanway_half\nadd rule ip fanway_half nowhere drop\n';
  await t.rejects(reader.load(half), { code: 'EREFUSED', message: /nowhere/ });
  t.notMatch(await nft(host, ['list', 'tables']), /half/, 'all or nothing');
});
