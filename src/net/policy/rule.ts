/**
 * A rule of a layer-2 network: who may open a connection to whom. As text it is what people write, what
 * configuration files hold and what hosts tell each other; one rule has one canonical text.
 *
 * ```
 * allow|deny [from WHO] [to WHO] [PROTOCOL [port N[-M]]] [order N]
 * WHO: any, ADDRESS, PREFIX, label:NAME, network:NAME
 * ```
 *
 * A lower order comes first; of equal order what is allowed comes before what is denied, so that
 * exceptions need no numbers. What no rule speaks of is allowed inside a network, and denied between two:
 * a rule that names another network (or a fan, by its bridge) is about what that network's workloads open
 * here, or the other way round, where one host routes between both.
 * @module
 */
import { formatIpv4, parseIpv4 } from '../ipv4.ts';
import { networkOf } from '../prefix.ts';
import { formatAddress6, type Ipv6, networkOf6, parseAddress6 } from '../prefix6.ts';

/** Either end of a connection. */
export type Who =
  | { readonly kind: 'any' }
  /** `address` u32; no bits below `length`. */
  | { readonly kind: 'ipv4'; readonly address: number; readonly length: number }
  | { readonly kind: 'ipv6'; readonly address: Ipv6; readonly length: number }
  | { readonly kind: 'label'; readonly label: string }
  /** Everybody in another network, or on a fan. */
  | { readonly kind: 'network'; readonly network: string };

export type PolicyRule = {
  readonly action: 'allow' | 'deny';
  /** Who opens the connection, and to whom. */
  readonly from: Who;
  readonly to: Who;
  /** IANA's number; undefined = any. */
  readonly protocol?: number;
  /** Of the destination, both included; undefined = any. */
  readonly ports?: { readonly first: number; readonly last: number };
  /** 0 to {@link ORDER_MAX}. */
  readonly order: number;
};

export const ORDER_MAX = 9999;
const ORDER_DEFAULT = 1000;
/** Characters of the longest rule that is taken. */
export const RULE_CHARS_MAX = 200;
/** Characters of a label, and labels of one workload. */
export const LABEL_CHARS_MAX = 32;
export const LABELS_PER_STATION_MAX = 8;

export class RuleError extends Error {
  readonly code = 'ERR_RULE';
}

/** IANA protocol numbers by the words that rules use. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  ...{ icmp: 1, tcp: 6, udp: 17, gre: 47, esp: 50, icmpv6: 58, ospf: 89, vrrp: 112, sctp: 132 },
};
/** The words by number. */
export const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(PROTOCOLS).map(([name, number]) => [number, name]),
);
const WITH_PORTS = [PROTOCOLS['tcp'], PROTOCOLS['udp'], PROTOCOLS['sctp']];
const ANY: Who = { kind: 'any' };
const SHAPE = 'allow|deny [from WHO] [to WHO] [PROTOCOL [port N[-M]]] [order N]';

/** A label as it may be. @throws RuleError */
export function parseLabel(text: string): string {
  if (text.length <= LABEL_CHARS_MAX && /^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$/.test(text)) return text;
  throw new RuleError(
    `${JSON.stringify(text.slice(0, 40))} is no label: use up to ${LABEL_CHARS_MAX} of a-z, 0-9, _, . and -, a letter or digit first and last`,
  );
}

function parseNetwork(text: string): string {
  if (/^[a-z0-9][a-z0-9_.-]{0,30}$/.test(text)) return text;
  throw new RuleError(`${JSON.stringify(text.slice(0, 40))} is no name of a network`);
}

function parseNumber(text: string | undefined, what: string, max: number): number {
  const value = /^(0|[1-9][0-9]{0,5})$/.test(text ?? '') ? Number(text) : -1;
  if (value >= 0 && value <= max) return value;
  throw new RuleError(`${what} is a number from 0 to ${max}, not ${JSON.stringify(text ?? '')}`);
}

function parseWho(text: string | undefined): Who {
  if (text === undefined) throw new RuleError(`after from and to stands who: ${SHAPE}`);
  if (text === 'any') return ANY;
  if (text.startsWith('label:')) {
    return { kind: 'label', label: parseLabel(text.slice('label:'.length)) };
  }
  if (text.startsWith('network:')) {
    return { kind: 'network', network: parseNetwork(text.slice('network:'.length)) };
  }
  const [name = '', width, ...more] = text.split('/');
  const isSix = name.includes(':');
  const bits = isSix ? 128 : 32;
  const length = width === undefined ? bits : parseNumber(width, `the width of ${text}`, bits);
  try {
    if (more.length > 0) throw new RuleError(text);
    if (isSix) {
      const address = networkOf6({ address: parseAddress6(name), length });
      return length === 0 ? ANY : { kind: 'ipv6', address, length };
    }
    const address = networkOf({ address: parseIpv4(name), length });
    return { kind: 'ipv4', address, length };
  } catch {
    throw new RuleError(
      `${JSON.stringify(text.slice(0, 60))} is neither an address, a prefix, label:NAME, network:NAME nor any`,
    );
  }
}

function parsePorts(text: string | undefined): { first: number; last: number } {
  const [low, high, ...more] = (text ?? '').split('-');
  const first = parseNumber(low, 'a port', 65_535);
  const last = high === undefined ? first : parseNumber(high, 'a port', 65_535);
  if (more.length > 0 || last < first) throw new RuleError(`${text} is no range of ports`);
  return { first, last };
}

/** Reads a rule. @throws RuleError that says what would be taken */
export function parseRule(text: string): PolicyRule {
  if (text.length > RULE_CHARS_MAX) {
    throw new RuleError(`a rule has at most ${RULE_CHARS_MAX} characters`);
  }
  const words = text.trim().split(/\s+/);
  const action = words.shift();
  if (action !== 'allow' && action !== 'deny') throw new RuleError(`a rule is ${SHAPE}`);
  let [from, to, order] = [ANY, ANY, ORDER_DEFAULT];
  let protocol: number | undefined;
  let ports: { first: number; last: number } | undefined;
  const seen = new Set<string>();
  while (words.length > 0) {
    const word = words.shift() ?? '';
    const known = PROTOCOLS[word];
    const role = known === undefined && !/^[0-9]+$/.test(word) ? word : 'protocol';
    if (seen.has(role)) throw new RuleError(`${role} stands there twice`);
    seen.add(role);
    if (role === 'from') from = parseWho(words.shift());
    else if (role === 'to') to = parseWho(words.shift());
    else if (role === 'order') order = parseNumber(words.shift(), 'order', ORDER_MAX);
    else if (role === 'port') ports = parsePorts(words.shift());
    else if (role === 'protocol') protocol = known ?? parseNumber(word, 'a protocol', 255);
    else throw new RuleError(`${JSON.stringify(word.slice(0, 40))} has no meaning here: ${SHAPE}`);
  }
  if (ports !== undefined && !WITH_PORTS.includes(protocol)) {
    throw new RuleError('port needs a protocol that has ports: tcp, udp or sctp');
  }
  if (isOtherFamily(from, to)) throw new RuleError('from and to are of different families');
  const kinds = [from.kind, to.kind];
  if (kinds.includes('network') && (from.kind === to.kind || kinds.includes('label'))) {
    // A host that routes sees addresses: the MACs, to which labels belong, are those of routers.
    throw new RuleError('beside network:NAME stands an address, a prefix or any, of this network');
  }
  return {
    ...{ action, from, to, order },
    ...(protocol !== undefined && { protocol }),
    ...(ports !== undefined && { ports }),
  };
}

function isOtherFamily(from: Who, to: Who): boolean {
  const families = [from.kind, to.kind];
  return families.includes('ipv4') && families.includes('ipv6');
}

/** One end as text; '' = any. */
function formatWho(who: Who): string {
  switch (who.kind) {
    case 'any':
      return '';
    case 'label':
      return `label:${who.label}`;
    case 'network':
      return `network:${who.network}`;
    case 'ipv4':
      return `${formatIpv4(who.address)}${who.length === 32 ? '' : `/${who.length}`}`;
    case 'ipv6':
      return `${formatAddress6(who.address)}${who.length === 128 ? '' : `/${who.length}`}`;
  }
}

/** The canonical text of a rule. */
export function formatRule({ action, from, to, protocol, ports, order }: PolicyRule): string {
  const [source, destination] = [formatWho(from), formatWho(to)];
  const words: string[] = [action];
  if (source !== '') words.push(`from ${source}`);
  if (destination !== '') words.push(`to ${destination}`);
  if (protocol !== undefined) words.push(PROTOCOL_NAMES.get(protocol) ?? String(protocol));
  if (ports !== undefined) {
    const { first, last } = ports;
    words.push(`port ${first === last ? first : `${first}-${last}`}`);
  }
  if (order !== ORDER_DEFAULT) words.push(`order ${order}`);
  return words.join(' ');
}

/** Below 0 when `a` is asked first. Every host orders in the same way. */
export function compareRules(a: PolicyRule, b: PolicyRule): number {
  if (a.order !== b.order) return a.order - b.order;
  if (a.action !== b.action) return a.action === 'allow' ? -1 : 1;
  const [one, other] = [formatRule(a), formatRule(b)];
  return one < other ? -1 : Number(one > other);
}

/** Labels that the ends of a rule name. */
export function labelsOf({ from, to }: PolicyRule): string[] {
  return [from, to].flatMap((who) => (who.kind === 'label' ? [who.label] : []));
}

/** The other network that a rule names; undefined = it is about this one alone. */
export function otherNetworkOf({ from, to }: PolicyRule): string | undefined {
  if (from.kind === 'network') return from.network;
  return to.kind === 'network' ? to.network : undefined;
}
