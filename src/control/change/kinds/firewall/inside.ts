/**
 * The rules of a layer-2 network between the containers of one host: what they say to each other crosses
 * the kernel's bridge alone, where the data path never sees it. So the kernel asks the same rules, in a
 * table of the family bridge, of each frame from one port to another, and between a port and the host
 * itself. What comes and goes by our own port the data path judges.
 *
 * A rule is about who opens a connection. TCP says so itself: a SYN is asked the way it goes, and all that
 * comes after it passes if either end might have opened it. Of UDP, SCTP and protocols without ports the
 * table remembers who opened what, for twenty minutes of silence; so it takes no connection tracking, which
 * not every kernel has for bridges and which would be the host's own too. What is remembered outlives a
 * change of the rules, and is held against the new ones.
 * @module
 */
import { checkDevice } from '../../../../sys/host/nft.ts';
import type { Host } from '../../../host/host.ts';
import type { Context, Kind, LinkRules } from '../kind.ts';
import type { Memo } from '../memo.ts';
import {
  dropIfThere,
  isOutdated,
  loadByBridge,
  lostChains,
  type OwnChain,
  rulesTableOf,
} from './chains.ts';
import { portsOf } from './guard.ts';
import { commentOf, matchOf, type RuleWay } from './rule-text.ts';

/** `link` is the network's bridge, `device` our port of it. */
export type InsideChange = { kind: 'inside'; link: string; device: string };

/** What of the bridge a table is made of. */
export type BridgeFacts = {
  ports: readonly string[];
  /** The kernel can say which bridge a frame is in (nft_meta_bridge); else its ports now stand for it. */
  byBridge: boolean;
};

const ND = 'meta protocol ip6 meta l4proto 58 icmpv6 type { 133, 134, 135, 136, 137 }';
/** ICMP errors go with the connection that they speak of; which that is, is not looked for here. */
const ERRORS = [
  'meta protocol ip meta l4proto 1 icmp type { 3, 11, 12 }',
  'meta protocol ip6 meta l4proto 58 icmpv6 type { 1, 2, 3, 4 }',
];
/** Later pieces of a packet show no ports, and are nothing without the first. */
const PIECES = [
  'meta protocol ip ip frag-off & 0x1fff != 0',
  'meta protocol ip6 frag frag-off != 0',
];
/** What says itself that it opens something, and what says that it does not. */
const OPENS = [
  'meta l4proto 6 tcp flags & (syn | ack) == syn',
  'meta protocol ip meta l4proto 1 icmp type 8',
  'meta protocol ip6 meta l4proto 58 icmpv6 type 128',
];
const ANSWERS = 'meta l4proto { 1, 6, 58 }';

/** Connections that are remembered, of each kind and family. */
const FLOWS_MAX = 65_535;
const FLOWS_TIMEOUT = '20m';
type Family = { set: string; address: string; protocol: string; prefix: 'ip' | 'ip6' };
const FAMILIES: readonly Family[] = [
  { set: '4', address: 'ipv4_addr', protocol: 'meta protocol ip', prefix: 'ip' },
  { set: '6', address: 'ipv6_addr', protocol: 'meta protocol ip6', prefix: 'ip6' },
];
const WITH_PORTS = 'meta l4proto { 17, 132 }';

/** The ends of a packet as a set has them: as it goes, or the other way round. */
function endsText({ prefix }: Family, way: RuleWay, withPorts: boolean): string {
  const [from, to] = way === 'forth' ? ['s', 'd'] : ['d', 's'];
  const ports = withPorts ? ` . th ${from}port . th ${to}port` : '';
  return `${prefix} ${from}addr . ${prefix} ${to}addr . meta l4proto${ports}`;
}

/** Where it is remembered who opened what. */
export function flowSets(link: string): string {
  const table = `bridge ${rulesTableOf(link)}`;
  const how = `flags dynamic,timeout; timeout ${FLOWS_TIMEOUT}; size ${FLOWS_MAX};`;
  const sets = FAMILIES.flatMap(({ set, address }) => {
    const ends = `${address} . ${address} . inet_proto`;
    return [
      `add set ${table} flows${set} { type ${ends} . inet_service . inet_service; ${how} }`,
      `add set ${table} pairs${set} { type ${ends}; ${how} }`,
    ];
  });
  return `add table ${table}\n${sets.join('\n')}\n`;
}

/** What the other end has opened goes the way back. */
function knownRules(): string[] {
  return FAMILIES.flatMap((family) => [
    `${family.protocol} ${WITH_PORTS} ${endsText(family, 'back', true)} @flows${family.set} goto back`,
    `${family.protocol} ${endsText(family, 'back', false)} @pairs${family.set} goto back`,
  ]);
}

/** Remembers what passes, by the end that opened it. */
function rememberRules(way: RuleWay): string[] {
  const lines = FAMILIES.flatMap((family) => [
    `${family.protocol} ${WITH_PORTS} update @flows${family.set} { ${endsText(family, way, true)} } accept`,
    `${family.protocol} update @pairs${family.set} { ${endsText(family, way, false)} } accept`,
  ]);
  return [`${ANSWERS} accept`, ...lines, 'accept'];
}

/** Where each frame of the bridge is judged. */
function hookRules(
  { link, device }: InsideChange,
  { ports, byBridge }: BridgeFacts,
  ways: readonly ('i' | 'o')[],
): string[] {
  checkDevice(link);
  const ours = ways.map((way) => `${way}ifname "${checkDevice(device)}" accept`);
  const names = ports.filter((port) => port !== device).map((port) => `"${port}"`);
  if (!byBridge && names.length === 0) return [];
  const theirs = ways.map((way) =>
    byBridge
      ? `meta ${way}brname "${link}" goto judge`
      : `${way}ifname { ${names.join(', ')} } goto judge`,
  );
  return [...ours, ...theirs];
}

const JUDGE = [
  // A tag within a tag: no bridge sees what is behind it, and Linux takes it off all the same.
  'meta protocol { 8021q, 8021ad } counter drop',
  'meta protocol != { ip, ip6 } accept',
  ...[ND, ...ERRORS, ...PIECES].map((match) => `${match} accept`),
  ...OPENS.map((match) => `${match} goto forth`),
  `${ANSWERS} goto loose`,
  ...knownRules(),
  'goto forth',
];

/** The rules one way round; `loose`: what they deny is asked the other way round too. */
function ruleRules({ rules, labelled }: LinkRules, way: RuleWay, loose: boolean): string[] {
  const end = way === 'forth' ? 'goto opened' : 'goto answered';
  const lines = rules.flatMap(({ text, rule }) => {
    const match = matchOf(rule, way, labelled);
    if (match === undefined) return [];
    if (rule.action === 'allow') return [`${match} ${end} ${commentOf(text)}`];
    return [`${match} ${loose ? 'goto back' : `counter drop ${commentOf(text)}`}`];
  });
  return [...lines.map((line) => line.trim()), end];
}

/** The table whole; nothing where there are no rules. */
export function insideChains(
  change: InsideChange,
  rules: LinkRules,
  facts: BridgeFacts,
): OwnChain[] {
  if (rules.rules.length === 0) return [];
  const table = rulesTableOf(change.link);
  const what = `rules between containers on ${change.link}`;
  const chain = (name: string, lines: readonly string[], hook = ''): OwnChain => {
    return { family: 'bridge', table, name, hook, rules: lines, what };
  };
  const at = (hook: string, ways: readonly ('i' | 'o')[]): OwnChain =>
    chain(hook, hookRules(change, facts, ways), `type filter hook ${hook} priority 0`);
  return [
    chain('opened', rememberRules('forth')),
    chain('answered', rememberRules('back')),
    chain('back', ruleRules(rules, 'back', false)),
    chain('forth', ruleRules(rules, 'forth', false)),
    chain('loose', ruleRules(rules, 'forth', true)),
    chain('judge', JUDGE),
    ...[at('forward', ['i', 'o']), at('input', ['i']), at('output', ['o'])],
  ];
}

/** Loads the table in place of the one before, with as much as the kernel's bridge can do. */
async function load(
  change: InsideChange,
  rules: LinkRules,
  memo: Memo,
  { host, log }: Context,
): Promise<void> {
  const ports = await portsOf(change.link, host);
  const before = memo.problem;
  await loadByBridge((byBridge) => insideChains(change, rules, { ports, byBridge }), memo, host, {
    before: flowSets(change.link),
    problem: 'rules do not hold between containers of this host',
  });
  if (memo.problem !== undefined && memo.problem !== before) log.warn(change.link, memo.problem);
}

async function unload({ link }: InsideChange, memo: Memo, host: Host): Promise<void> {
  await dropIfThere('bridge', rulesTableOf(link), host);
  for (const key of ['chains', 'byBridge', 'problem', 'foreign'] as const) delete memo[key];
}

/** The table as it should be with what the kernel could do last; undefined while nobody knows the rules. */
async function chainsNow(
  change: InsideChange,
  { byBridge = false }: Memo,
  { host, rulesOf }: Context,
): Promise<OwnChain[] | undefined> {
  const rules = rulesOf?.(change.link);
  if (rules === undefined) return undefined;
  return insideChains(change, rules, { ports: await portsOf(change.link, host), byBridge });
}

export const inside: Kind<InsideChange> = {
  fields: { link: 'string', device: 'string' },
  describe({ link }) {
    return `hold the rules of ${link} between containers of this host too, while there are some (nftables)`;
  },
  async apply(change, memo, context) {
    const rules = context.rulesOf?.(change.link);
    if (rules === undefined) return;
    if (rules.rules.length === 0) await unload(change, memo, context.host);
    else await load(change, rules, memo, context);
  },
  async refresh(change, memo, context) {
    const chains = await chainsNow(change, memo, context);
    const isSame =
      chains === undefined ||
      (chains.length === 0
        ? memo.chains === undefined
        : chains.every((chain) => !isOutdated(chain, memo)));
    if (isSame) return false;
    await inside.apply(change, memo, context);
    return true;
  },
  async missing(change, memo, context) {
    const chains = await chainsNow(change, memo, context);
    return chains === undefined ? [] : lostChains(chains, memo, context.host);
  },
  async undo(change, memo, { host }) {
    await unload(change, memo, host);
  },
};
