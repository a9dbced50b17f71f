/**
 * Rules of layer-2 networks as nftables asks them. A connection's packets are held against the rules the
 * way round in which it was opened: `forth`, or `back` for those of the one that answers.
 * @module
 */
import { formatIpv4 } from '../../../../net/ipv4.ts';
import { formatMac } from '../../../../net/mac.ts';
import { type PolicyRule, PROTOCOL_NAMES, type Who } from '../../../../net/policy/rule.ts';
import { formatAddress6 } from '../../../../net/prefix6.ts';
import { tableOf } from '../../../../sys/host/nft.ts';
import type { PacketFilter } from '../../../host/snapshot.ts';
import { rulesTableOf } from './chains.ts';

export type RuleWay = 'forth' | 'back';

/** nft takes comments of up to 128 characters. */
const COMMENT_CHARS_MAX = 120;

/** What has an end fit `who`; undefined where nothing does. */
function endText(
  who: Who,
  side: 'saddr' | 'daddr',
  labelled: ReadonlyMap<string, readonly number[]>,
): string | undefined {
  switch (who.kind) {
    case 'any':
    case 'network':
      return '';
    case 'label': {
      const macs = labelled.get(who.label) ?? [];
      return macs.length === 0 ? undefined : `ether ${side} { ${macs.map(formatMac).join(', ')} }`;
    }
    case 'ipv4':
      return who.length === 0 ? '' : `ip ${side} ${formatIpv4(who.address)}/${who.length}`;
    case 'ipv6':
      return who.length === 0 ? '' : `ip6 ${side} ${formatAddress6(who.address)}/${who.length}`;
  }
}

/** What has the protocol and ports fit; `side` is where the port of the one that answers stands. */
function protocolText({ protocol, ports }: PolicyRule, side: 'sport' | 'dport'): string {
  if (protocol === undefined) return '';
  if (ports === undefined) return `meta l4proto ${protocol}`;
  const { first, last } = ports;
  return `${PROTOCOL_NAMES.get(protocol)} ${side} ${first}-${last}`;
}

/** The matches of a rule for nft; undefined where nothing can fit it. */
export function matchOf(
  rule: PolicyRule,
  way: RuleWay,
  labelled: ReadonlyMap<string, readonly number[]>,
): string | undefined {
  const { from, to } = rule;
  const kinds = [from.kind, to.kind];
  const source = endText(from, way === 'forth' ? 'saddr' : 'daddr', labelled);
  const target = endText(to, way === 'forth' ? 'daddr' : 'saddr', labelled);
  if (source === undefined || target === undefined) return undefined;
  // Said by us, so that nft does not ask the type that stands in the frame: a tag may be before it.
  const family = kinds.includes('ipv4')
    ? 'meta protocol ip'
    : kinds.includes('ipv6')
      ? 'meta protocol ip6'
      : '';
  const protocol = protocolText(rule, way === 'forth' ? 'dport' : 'sport');
  return [family, source, target, protocol].filter(Boolean).join(' ');
}

function noteOf(text: string): string {
  return text.slice(0, COMMENT_CHARS_MAX);
}

/** What stands beside a rule in the kernel, for people and for whoever counts. */
export function commentOf(text: string): string {
  return `comment "${noteOf(text)}"`;
}

/** How many packets the kernel has counted for a rule of a network, by its text. */
export function stoppedBy(link: string, { rules }: PacketFilter): (text: string) => number {
  const tables = [rulesTableOf(link), tableOf(link)];
  const counts = new Map<string, number>();
  for (const { table, comment, packets } of rules) {
    if (comment !== '' && tables.includes(table)) {
      counts.set(comment, (counts.get(comment) ?? 0) + packets);
    }
  }
  return (text) => counts.get(noteOf(text)) ?? 0;
}
