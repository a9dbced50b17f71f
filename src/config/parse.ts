/**
 * The configuration file of `fanway daemon`: sections `[router]`, `[gossip]` and `[bgp]` (once each),
 * `[bgp-neighbor]` and `[bgp-network]` (one a neighbour, one a network), `[fan]` and `[network]` (one each)
 * with `key = value` lines. Every problem is told at once with its line; an unknown key is one.
 * @module
 */
import { FANS_MAX, NETWORKS_MAX } from '../limits.ts';
import type { LogLevel } from '../log.ts';
import { checkFan } from '../net/fan.ts';
import { checkFan6 } from '../net/fan6.ts';
import { ADDRESS_BITS, hostNetworkOf, parseHostAddress } from '../net/underlay-address.ts';
import {
  type BgpSettings,
  bgpNeighbourOf,
  bgpNetworkOf,
  bgpProblems,
  bgpSettingsOf,
} from './bgp.ts';
import { fanClashes, networkFanClashes, networkPortClashes } from './clashes.ts';
import type { FileProblem } from './fan-file.ts';
import { type GossipSettings, gossipSettingsOf } from './gossip.ts';
import { underlayFamily } from './link/underlays.ts';
import { type NetworkPolicy, networkPolicyOf } from './network/policy.ts';
import { type NetworkRequest, networkClashes, networkRequestOf } from './network.ts';
import type { FanRequest } from './request.ts';
import { quote, type Setting, ValueError } from './row/setting.ts';
import { findSetting, type PriorityChoice, parseValue, SETTINGS } from './schema.ts';
import { requestOf, type Values } from './settings.ts';

export type Config = {
  logLevel: LogLevel;
  queues: number;
  priority: PriorityChoice;
  /** Microseconds. */
  busyPollUs: number;
  /** undefined = no gossip. */
  gossip: GossipSettings | undefined;
  /** undefined = no BGP. */
  bgp: BgpSettings | undefined;
  fans: FanRequest[];
  networks: NetworkRequest[];
  /** Rules and labels of each of them. */
  policies: NetworkPolicy[];
};

/** More problems than this are not read by anybody. */
const PROBLEMS_MAX = 100;

/** Sections that may be there more than once. */
const REPEATED: readonly Setting['section'][] = ['fan', 'network', 'bgp-neighbor', 'bgp-network'];

type Section = {
  kind: Setting['section'];
  line: number;
  values: Values;
  lines: Map<string, number>;
  broken: boolean;
};

/**
 * Reads a whole file. The configuration is there only when there is no problem.
 * Nothing of the host is looked at: `fanway check` runs anywhere.
 */
export function parseConfig(text: string): { config: Config | undefined; problems: FileProblem[] } {
  const problems: FileProblem[] = [];
  const sections: Section[] = [];
  let section: Section | undefined;
  let skipping = false;

  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    if (problems.length >= PROBLEMS_MAX) {
      problems.push({ line, message: 'and more: the rest of the file was not read' });
      return { config: undefined, problems };
    }
    const content = raw
      .replace(/^\s*[#;].*$/, '')
      .replace(/\s#.*$/, '')
      .trim();
    if (content === '') continue;
    if (content.startsWith('[')) {
      const kind = /^\[(router|gossip|bgp|bgp-neighbor|bgp-network|fan|network)\]$/.exec(
        content,
      )?.[1] as Setting['section'] | undefined;
      skipping = kind === undefined;
      if (kind === undefined) {
        problems.push({
          line,
          message: `${quote(content)}: a section is [router], [gossip], [bgp], [bgp-neighbor], [bgp-network], [fan] or [network]`,
        });
        continue;
      }
      if (!REPEATED.includes(kind) && sections.some((other) => other.kind === kind)) {
        problems.push({ line, message: `[${kind}] is there twice` });
      }
      section = { kind, line, values: new Map(), lines: new Map(), broken: false };
      sections.push(section);
      continue;
    }
    if (skipping) continue;
    const problem = readLine(content, section, line);
    if (problem !== undefined) problems.push({ line, message: problem });
  }

  const config = finish(sections, problems);
  problems.sort((a, b) => a.line - b.line);
  return { config: problems.length === 0 ? config : undefined, problems };
}

/** Takes one `key = value` into its section, or says what is wrong with it. */
function readLine(content: string, section: Section | undefined, line: number): string | undefined {
  const match = /^([^=]*?)\s*=\s*(.*)$/.exec(content);
  if (match === null) return `${quote(content)}: a line is key = value`;
  const [, key = '', text = ''] = match;
  if (section === undefined) return `${quote(key)} stands before the first section, as [fan]`;
  const setting = findSetting(section.kind, key);
  if (setting === undefined) {
    section.broken = true;
    return `${quote(key)} is not a setting of [${section.kind}]; there are ${SETTINGS.filter(
      (known) => known.section === section.kind,
    )
      .map((known) => known.key)
      .join(', ')}`;
  }
  const before = section.lines.get(key);
  if (before !== undefined) return `${key} is set twice, first on line ${before}`;
  section.lines.set(key, line);
  try {
    section.values.set(key, parseValue(setting, text));
    return undefined;
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    section.broken = true;
    return error.message;
  }
}

function finish(sections: readonly Section[], problems: FileProblem[]): Config {
  const router = sections.find((section) => section.kind === 'router');
  const gossip = sections.find((section) => section.kind === 'gossip');
  const fans: { request: FanRequest; line: number }[] = [];
  for (const section of sections) {
    if (section.kind !== 'fan') continue;
    const { request, problems: found } = requestOf(section.values);
    for (const { key, message } of found) {
      // A key with a wrong value is not "missing" as well.
      if (section.lines.has(key) && !section.values.has(key)) continue;
      problems.push({ line: section.lines.get(key) ?? section.line, message });
    }
    if (request === undefined) continue;
    fans.push({ request, line: section.line });
    for (const message of arithmeticProblems(request)) {
      problems.push({ line: section.lines.get('overlay') ?? section.line, message });
    }
  }
  if (sections.filter((section) => section.kind === 'fan').length > FANS_MAX) {
    problems.push({ line: 1, message: `more than ${FANS_MAX} [fan] sections` });
  } else {
    for (const [index, fan] of fans.entries()) {
      problems.push(...fanClashes(fan, fans.slice(0, index)));
    }
  }
  return {
    logLevel: (router?.values.get('log-level') as LogLevel | undefined) ?? 'info',
    queues: (router?.values.get('queues') as number | undefined) ?? 1,
    priority: (router?.values.get('priority') as PriorityChoice | undefined) ?? 'auto',
    busyPollUs: (router?.values.get('busy-poll') as number | undefined) ?? 0,
    gossip: gossip === undefined ? undefined : gossipSettingsOf(gossip.values),
    bgp: finishBgp(sections, problems),
    fans: fans.map((fan) => fan.request),
    ...finishNetworks(sections, fans, problems),
  };
}

/** The `[network]` sections; what two of them share that they must not is a problem of the second. */
function finishNetworks(
  sections: readonly Section[],
  fans: readonly { request: FanRequest; line: number }[],
  problems: FileProblem[],
): Pick<Config, 'networks' | 'policies'> {
  const networks: { request: NetworkRequest; line: number }[] = [];
  const policies: NetworkPolicy[] = [];
  const own = sections.filter(({ kind }) => kind === 'network');
  if (own.length > NETWORKS_MAX) {
    problems.push({ line: 1, message: `more than ${NETWORKS_MAX} [network] sections` });
    return { networks: [], policies };
  }
  for (const { values, lines, line } of own) {
    const { request, problems: found } = networkRequestOf(values);
    const { policy, problems: wrong } = networkPolicyOf(values);
    policies.push(policy);
    for (const { key, message } of [...found, ...wrong]) {
      // A key with a wrong value is not "missing" as well.
      if (lines.has(key) && !values.has(key)) continue;
      problems.push({ line: lines.get(key) ?? line, message });
    }
    if (request === undefined) continue;
    for (const other of networks) {
      for (const what of networkClashes(request, other.request)) {
        problems.push({
          line,
          message: `this network has ${what} of the one on line ${other.line}`,
        });
      }
    }
    problems.push(...networkFanClashes({ request, line }, fans));
    problems.push(...networkPortClashes({ request, line }, networks));
    networks.push({ request, line });
  }
  return { networks: networks.map(({ request }) => request), policies };
}

/** The `[bgp]` section with its neighbours; undefined without it. */
function finishBgp(sections: readonly Section[], problems: FileProblem[]): BgpSettings | undefined {
  const bgp = sections.find((section) => section.kind === 'bgp');
  const near = sections.filter((section) => section.kind === 'bgp-neighbor');
  const marked = sections.filter((section) => section.kind === 'bgp-network');
  const [first] = [...near, ...marked];
  if (bgp === undefined) {
    if (first !== undefined) {
      problems.push({ line: first.line, message: `[${first.kind}] without a [bgp] section` });
    }
    return undefined;
  }
  for (const section of [bgp, ...near, ...marked]) {
    for (const { key } of SETTINGS.filter(
      (each) => each.required && each.section === section.kind,
    )) {
      if (section.lines.has(key)) continue;
      problems.push({ line: section.line, message: `${key} is missing` });
    }
  }
  const settings = bgpSettingsOf(
    bgp.values,
    near.map(({ values }) => bgpNeighbourOf(values)),
    marked.map(({ values }) => bgpNetworkOf(values)),
  );
  for (const [index, { vni }] of settings.networks.entries()) {
    const before = settings.networks.findIndex((other) => other.vni === vni);
    const line = marked[index]?.line ?? bgp.line;
    if (before < index) problems.push({ line, message: `VNI ${vni} is there twice` });
  }
  for (const { neighbour, message } of bgpProblems(settings)) {
    problems.push({ line: near[neighbour ?? -1]?.line ?? bgp.line, message });
  }
  return settings;
}

const ANY_IPV6_HOST = parseHostAddress('fd00::1');

/** What no host could make right: reserved overlays, widths that leave no container. */
function arithmeticProblems(request: FanRequest): string[] {
  const { overlay, overlay6, underlay: selector } = request;
  const { length } = selector;
  if (overlay6 !== undefined) {
    const hostBits = ADDRESS_BITS[underlayFamily(selector)] - length;
    return checkFan6(overlay6, hostBits).map(({ message }) => message);
  }
  const known = selector.kind === 'address';
  // Any address stands for one that only the host knows; what is said about it is left out.
  const any =
    underlayFamily(selector) === 6 ? ANY_IPV6_HOST : (overlay.address ^ 0x8000_0000) >>> 0;
  const address = known ? selector.address : any;
  const underlay = { address: hostNetworkOf({ address, length }), length };
  return checkFan({ overlay, underlay }, address)
    .filter(({ code }) => known || !/UNDERLAY_|SELF|OUTSIDE/.test(code))
    .map(({ message }) => message);
}
