/**
 * What rules say of a connection: the plain way, for explanations and as the yardstick of the data path.
 * @module
 */

import { networkOf } from '../prefix.ts';
import type { Ipv6 } from '../prefix6.ts';
import { contains6 } from '../prefix6.ts';
import type { PolicyRule, Who } from './rule.ts';

/** One end: a u32, or the words of an IPv6 address. */
export type End = { address: number | Ipv6; labels: readonly string[] };
export type Opening = { from: End; to: End; protocol: number; port: number };

function matches(who: Who, { address, labels }: End): boolean {
  switch (who.kind) {
    case 'any':
      return true;
    case 'label':
      return labels.includes(who.label);
    case 'network':
      // Both ends are inside.
      return false;
    case 'ipv4': {
      const { length } = who;
      return typeof address === 'number' && networkOf({ address, length }) === who.address;
    }
    case 'ipv6':
      return typeof address !== 'number' && contains6(who, address);
  }
}

/** The rule that decides of `rules`, which are in their order; undefined = none, so it is allowed. */
export function decidingRule(
  rules: readonly PolicyRule[],
  { from, to, protocol, port }: Opening,
): PolicyRule | undefined {
  return rules.find(
    (rule) =>
      (rule.protocol === undefined || rule.protocol === protocol) &&
      (rule.ports === undefined || (port >= rule.ports.first && port <= rule.ports.last)) &&
      matches(rule.from, from) &&
      matches(rule.to, to),
  );
}
