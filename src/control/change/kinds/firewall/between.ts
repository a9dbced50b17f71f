/**
 * Networks do not meet where this host routes: what it would forward from another network or fan into a
 * network, or from a network to a fan, is dropped, but for what rules of either network allow that name
 * the other one. What comes from elsewhere (a published port, a routed client) is no matter of ours.
 *
 * Each network stops what would come into it, so that each way is judged once; a fan, which has no rules,
 * leaves that to the network.
 * @module
 */
import { compareRules, otherNetworkOf } from '../../../../net/policy/rule.ts';
import { checkDevice, tableOf } from '../../../../sys/host/nft.ts';
import { forwardingDevices } from '../../../host/forwarding.ts';
import { type AnySpec, isNetwork } from '../../../store/link-spec.ts';
import type { Context, Kind, NamedRule } from '../kind.ts';
import type { Memo } from '../memo.ts';
import { isOutdated, lostChains, type OwnChain, tryChains, unloadChains } from './chains.ts';
import { commentOf, matchOf } from './rule-text.ts';

/** `link` is the network's bridge. */
export type BetweenChange = { kind: 'between'; link: string; network: string };

/** Another link of this host: its devices, and what rules call it. */
type Neighbour = { names: readonly string[]; devices: readonly string[]; isFan: boolean };

/** A rule about two links of this host, by what their devices are called. */
type Pair = NamedRule & { from: readonly string[]; to: readonly string[] };

const NO_LABELS: ReadonlyMap<string, readonly number[]> = new Map();

function named(devices: readonly string[]): string {
  return `{ ${devices.map((device) => `"${checkDevice(device)}"`).join(', ')} }`;
}

/** What a rule of `own` is about, among the links of this host; undefined = one that is not here. */
function pairOf(
  { text, rule }: NamedRule,
  own: readonly string[],
  links: readonly Neighbour[],
): Pair | undefined {
  const name = otherNetworkOf(rule);
  const other = links.find(({ names }) => name !== undefined && names.includes(name));
  if (other === undefined) return undefined;
  const isFromThere = rule.from.kind === 'network';
  const [from, to] = isFromThere ? [other.devices, own] : [own, other.devices];
  return { text, rule, from, to };
}

/** @param told rules of every network here, the own ones included, with the devices of whose they are */
export function betweenChain(
  { link }: BetweenChange,
  others: readonly Neighbour[],
  told: readonly { rules: readonly NamedRule[]; devices: readonly string[] }[],
  links: readonly Neighbour[],
): OwnChain | undefined {
  const all = others.flatMap(({ devices }) => devices);
  if (all.length === 0) return undefined;
  const fans = others.filter(({ isFan }) => isFan).flatMap(({ devices }) => devices);
  const pairs = told.flatMap(({ rules, devices }) =>
    rules.flatMap((rule) => pairOf(rule, devices, links) ?? []),
  );
  const isHere = ({ from, to }: Pair): boolean => from.includes(link) || to.includes(link);
  const here = pairs.filter(isHere).sort((a, b) => compareRules(a.rule, b.rule));
  const ways = [`iifname ${named(all)} oifname "${checkDevice(link)}"`];
  if (fans.length > 0) ways.push(`iifname "${link}" oifname ${named(fans)}`);
  // Only then has the kernel to remember connections.
  const answers = here.some(({ rule }) => rule.action === 'allow')
    ? ways.map((way) => `${way} ct direction reply ct state established,related accept`)
    : [];
  const rules = here.map(({ text, rule, from, to }) => {
    const match = matchOf(rule, 'forth', NO_LABELS) ?? '';
    const end = rule.action === 'allow' ? 'accept' : 'drop';
    return `iifname ${named(from)} oifname ${named(to)} ${match} counter ${end} ${commentOf(text)}`;
  });
  return {
    ...{ family: 'inet', table: tableOf(link), name: 'between' },
    hook: 'type filter hook forward priority 0',
    rules: [...answers, ...rules, ...ways.map((way) => `${way} counter drop`)],
    what: `what keeps ${link} apart from other networks`,
  };
}

function neighbourOf(spec: AnySpec): Neighbour {
  const names = isNetwork(spec) ? [spec.network, spec.name] : [spec.name];
  return { names, devices: forwardingDevices(spec), isFan: !isNetwork(spec) };
}

/**
 * The chain as it should be: undefined where nothing is beside the network, 'unknown' while the rules of a
 * network that was here before are not read yet.
 */
function chainNow(
  change: BetweenChange,
  { others, rulesOf }: Context,
): OwnChain | undefined | 'unknown' {
  const beside = others().map(({ spec }) => spec);
  const own: Neighbour = {
    ...{ names: [change.network, change.link], devices: [change.link], isFan: false },
  };
  const told: { rules: readonly NamedRule[]; devices: readonly string[] }[] = [];
  for (const link of [change.link, ...beside.filter(isNetwork).map(({ name }) => name)]) {
    const rules = rulesOf?.(link);
    if (rules === undefined) return 'unknown';
    told.push({ rules: rules.between, devices: [link] });
  }
  const neighbours = beside.map(neighbourOf);
  return betweenChain(change, neighbours, told, [own, ...neighbours]);
}

/** Without rules: nobody knows any yet. */
function withoutRules(change: BetweenChange, { others }: Context): OwnChain | undefined {
  return betweenChain(
    change,
    others().map(({ spec }) => neighbourOf(spec)),
    [],
    [],
  );
}

async function put(
  change: BetweenChange,
  chain: OwnChain | undefined,
  memo: Memo,
  context: Context,
): Promise<void> {
  if (chain !== undefined) {
    const cost = `containers of ${change.link} and of other networks here reach each other where this host routes`;
    return tryChains([chain], memo, context, cost);
  }
  if (memo.chains !== undefined) await unloadChains([namelessChain(change)], context.host);
  for (const key of ['chains', 'problem', 'foreign'] as const) delete memo[key];
}

function namelessChain({ link }: BetweenChange): OwnChain {
  return { family: 'inet', table: tableOf(link), name: 'between', hook: '', rules: [], what: '' };
}

export const between: Kind<BetweenChange> = {
  fields: { link: 'string', network: 'string' },
  describe({ link }) {
    return `drop what this host would forward between ${link} and other networks or fans, but for what rules allow (nftables)`;
  },
  async apply(change, memo, context) {
    const chain = chainNow(change, context);
    if (chain !== 'unknown') await put(change, chain, memo, context);
    // What a predecessor allowed stays so until its rules are read.
    else if (memo.chains === undefined) {
      await put(change, withoutRules(change, context), memo, context);
    }
  },
  async refresh(change, memo, context) {
    const chain = chainNow(change, context);
    if (chain === 'unknown') return false;
    const isSame = chain === undefined ? memo.chains === undefined : !isOutdated(chain, memo);
    if (isSame) return false;
    await put(change, chain, memo, context);
    return true;
  },
  async missing(change, memo, context) {
    const chain = chainNow(change, context);
    if (chain === 'unknown' || chain === undefined) return [];
    return lostChains([chain], memo, context.host);
  },
  async undo(change, _memo, { host }) {
    await unloadChains([namelessChain(change)], host);
  },
};
