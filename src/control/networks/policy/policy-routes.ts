/**
 * Rules and labels of layer-2 networks on the admin socket.
 * @module
 */
import {
  DEFAULT_ACTIONS,
  explainFlowCall,
  type FlowRequest,
  type FlowVerdict,
  type PolicyJson,
  rulesCall,
  type SetRuleAnswer,
  setLabelsCall,
  setRuleCall,
} from '../../../api/network/policy.ts';
import { readLabels } from '../../../config/network/policy.ts';
import { codeOf, messageOf, refusedError, usageError } from '../../../errors.ts';
import { formatMac, parseMac } from '../../../net/mac.ts';
import { decidingRule, type End } from '../../../net/policy/decide.ts';
import { compareRules, formatRule, parseRule } from '../../../net/policy/rule.ts';
import { wordsOfIpv6 } from '../../../net/prefix6.ts';
import {
  formatHostAddress,
  hostBytes,
  parseHostAddress,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import type { Route } from '../../admin/admin.ts';
import { answerTo } from '../../admin/answer-to.ts';
import { stoppedBy } from '../../change/kinds/firewall/rule-text.ts';
import type { EntryService } from '../../entries/entry-service.ts';
import type { PacketFilter } from '../../host/snapshot.ts';
import type { PolicyTable } from '../../plane/tables/policy-table.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import type { PolicyService } from './policy-service.ts';

export type PolicyRoutesOptions = {
  policy: PolicyService;
  entries: Pick<EntryService, 'get'>;
  table: () => PolicyTable | undefined;
  specs: () => readonly NetworkSpec[];
  /** The link of a network, by its name or that of its bridge. @throws FanwayError */
  find: (network: string) => string;
  /** The name of a member, '' where nobody knows it. */
  nameOf: (owner: string) => string;
  /** The ruleset of nftables. */
  filter: () => Promise<PacketFilter>;
};

/** What reads a text of the client's. @throws FanwayError (exit code 2) */
function asked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (codeOf(error).startsWith('ERR_')) throw usageError('bad-request', messageOf(error));
    throw error;
  }
}

export function policyRoutes(options: PolicyRoutesOptions): Route[] {
  const { policy, find } = options;
  return [
    answerTo(rulesCall, ({ network }) => rulesOf(options, find(network), network)),
    answerTo(setRuleCall, ({ network, rule: words, isRevoked }): SetRuleAnswer => {
      const link = find(network);
      const rule = asked(() => formatRule(parseRule(words)));
      if (!isRevoked) return { rule, isNew: policy.give(link, rule) };
      if (policy.network(link)?.book.own.get(rule) === 'file') {
        throw refusedError('in-file', `${rule} is in the configuration file: take it out there`);
      }
      if (!policy.revoke(link, rule)) {
        throw refusedError(
          'no-rule',
          `${network} has no rule ${rule}; fanway net rules lists them`,
        );
      }
      return { rule, isNew: false };
    }),
    answerTo(setLabelsCall, ({ network, what, labels: words }) => {
      const link = find(network);
      const labels = asked(() => readLabels(words));
      const mac = asked(() => macOf(options, link, what));
      policy.label(link, mac, labels);
      return { mac: formatMac(mac), labels };
    }),
    answerTo(explainFlowCall, (flow) => asked(() => explainFlow(options, flow))),
  ];
}

async function rulesOf(
  options: PolicyRoutesOptions,
  link: string,
  network: string,
): Promise<PolicyJson> {
  const { policy, table, nameOf } = options;
  const found = policy.network(link);
  const base = { default: DEFAULT_ACTIONS };
  if (found === undefined) return { ...base, rules: [], labels: [], problems: [] };
  const { book, compiled } = found;
  const hits = table()?.hits(link);
  const stopped = stoppedBy(link, await options.filter());
  const all = [...compiled.rules, ...compiled.between];
  all.sort((a, b) => compareRules(a.rule, b.rule));
  const rules = all.map(({ text }) => {
    const tellers = [...(book.told.get(text) ?? [])];
    const named = (isGone: boolean): string[] =>
      tellers
        .filter(([, { goneMs }]) => (goneMs !== undefined) === isGone)
        .map(([owner]) => nameOf(owner) || owner);
    return {
      ...{ network, rule: text, here: book.own.get(text) ?? '' },
      ...{ by: named(false), vanished: named(true), hits: (hits?.get(text) ?? 0) + stopped(text) },
    };
  });
  const labels = [...book.labels()].map(([mac, own]) => {
    return { network, mac: formatMac(mac), labels: [...own] };
  });
  return { ...base, rules, labels, problems: compiled.problems };
}

/** The MAC that is meant by itself, or by an address that it has. @throws FanwayError */
function macOf({ entries }: PolicyRoutesOptions, link: string, what: string): number {
  if (/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(what)) return parseMac(what);
  const binding = entries.get({ link, kind: 'mac+ip', address: parseHostAddress(what) });
  if (binding !== undefined) return binding.mac;
  throw refusedError('no-workload', `nobody is known to have ${what}: name its MAC instead`);
}

/** What decides about a connection; `rule` '' = none speaks of it. */
export type FlowDecision = Pick<FlowVerdict, 'rule' | 'allowed'>;

/** What the rules of one network say of a connection. @throws AddressError */
export function decideFlow(
  options: Pick<PolicyRoutesOptions, 'policy' | 'entries'>,
  spec: NetworkSpec,
  { from, to, protocol, port }: FlowRequest,
): FlowDecision {
  const [source, target] = [from, to].map((text) => endIn(options, spec, parseHostAddress(text)));
  const rules = options.policy.network(spec.name)?.compiled.rules.map(({ rule }) => rule) ?? [];
  const rule =
    source && target && decidingRule(rules, { from: source, to: target, protocol, port });
  return { rule: rule === undefined ? '' : formatRule(rule), allowed: rule?.action !== 'deny' };
}

/** What the rules of each network that knows both ends, or one, say of a connection. */
function explainFlow(options: PolicyRoutesOptions, flow: FlowRequest): FlowVerdict[] {
  const [from, to] = [parseHostAddress(flow.from), parseHostAddress(flow.to)];
  return options.specs().flatMap((spec) => {
    const source = endIn(options, spec, from);
    const target = endIn(options, spec, to);
    if (source.host === undefined && target.host === undefined) return [];
    return [verdictIn(options, spec, flow, source, target)];
  });
}

type Placed = End & { text: string; host: string | undefined };

function endIn(
  { entries, policy }: Pick<PolicyRoutesOptions, 'policy' | 'entries'>,
  spec: NetworkSpec,
  address: UnderlayAddress,
): Placed {
  const link = spec.name;
  const binding = entries.get({ link, kind: 'mac+ip', address });
  const place = binding && entries.get({ link, kind: 'mac', mac: binding.mac });
  const labels = new Map(policy.network(link)?.book.labels());
  const host = place?.source === 'local' ? '' : place && formatHostAddress(place.peer);
  return {
    address: typeof address === 'number' ? address : wordsOfIpv6(hostBytes(address)),
    labels: (binding && labels.get(binding.mac)) ?? [],
    ...{ text: formatHostAddress(address), host },
  };
}

function verdictIn(
  options: PolicyRoutesOptions,
  spec: NetworkSpec,
  flow: FlowRequest,
  from: Placed,
  to: Placed,
): FlowVerdict {
  const { network, vni, local } = spec;
  const { rule, allowed } = decideFlow(options, spec, flow);
  const here = formatHostAddress(local);
  const where = ({ text, host }: Placed): string =>
    host === undefined ? `${text} (nobody has it)` : `${text} at ${host || `this host, ${here}`}`;
  const how = `VXLAN, VNI ${vni}`;
  const outer = from.host === to.host ? 'over the bridge, not the tunnel' : how;
  const why = rule === '' ? 'no rule speaks of it' : `by the rule "${rule}"`;
  const end = allowed ? 'passes' : 'is dropped as it leaves, and again where it would arrive';
  return {
    ...{ network, allowed, rule },
    ...{ fromHost: from.host ?? '', toHost: to.host ?? '' },
    text: `network ${network}: ${where(from)} to ${where(to)}, ${outer}: ${end}, ${why}`,
  };
}
