/**
 * From rules and labels as people write them to what the data path reads. A pure function.
 * @module
 */

import { RULES_PER_LINK_MAX } from '../../../limits.ts';
import {
  compareRules,
  labelsOf,
  otherNetworkOf,
  type PolicyRule,
  parseRule,
  RuleError,
  type Who,
} from '../../../net/policy/rule.ts';
import { LABELS_MAX, RuleFlag, type TableRule } from '../../../table/policy.ts';

/** A rule with its canonical text, ready but for the place where its hits count. */
export type CompiledRule = { text: string; rule: PolicyRule; row: Omit<TableRule, 'slot'> };

export type CompiledPolicy = {
  /** In the order in which they are asked. */
  rules: CompiledRule[];
  /** Those about another network, which only a host that routes between both asks. */
  between: Pick<CompiledRule, 'text' | 'rule'>[];
  /** A bit for each label that a rule names, by MAC. */
  labels: Map<number, number>;
  /** The MACs of each of these labels, in their order. */
  labelled: Map<string, number[]>;
  /** What is not in force, in words. */
  problems: string[];
};

export const NO_POLICY: CompiledPolicy = {
  ...{ rules: [], between: [], problems: [] },
  ...{ labels: new Map(), labelled: new Map() },
};

const ANY_PORT = { first: 0, last: 0xffff };
const NO_WORDS: readonly number[] = [];

function endOf(who: Who, bits: ReadonlyMap<string, number>): TableRule['from'] {
  switch (who.kind) {
    case 'any':
    case 'network':
      return { words: NO_WORDS, length: 0, labels: 0 };
    case 'label':
      return { words: NO_WORDS, length: 0, labels: bits.get(who.label) ?? 0 };
    case 'ipv4':
      return { words: [who.address], length: who.length, labels: 0 };
    case 'ipv6':
      return { words: who.address, length: who.length, labels: 0 };
  }
}

function rowOf(rule: PolicyRule, bits: ReadonlyMap<string, number>): CompiledRule['row'] {
  const { action, from, to, protocol, ports } = rule;
  const kinds = [from.kind, to.kind];
  return {
    flags:
      (action === 'deny' ? RuleFlag.Deny : 0) |
      (protocol === undefined ? 0 : RuleFlag.Protocol) |
      (kinds.includes('ipv4') ? RuleFlag.Ipv4 : 0) |
      (kinds.includes('ipv6') ? RuleFlag.Ipv6 : 0),
    protocol: protocol ?? 0,
    ports: ports ?? ANY_PORT,
    from: endOf(from, bits),
    to: endOf(to, bits),
  };
}

/**
 * @param texts canonical texts of rules, each once; one of a later version of this program may not be read
 * @param labelled labels by MAC
 */
export function compilePolicy(
  texts: Iterable<string>,
  labelled: Iterable<readonly [mac: number, labels: readonly string[]]>,
): CompiledPolicy {
  const problems: string[] = [];
  const read: { text: string; rule: PolicyRule }[] = [];
  for (const text of texts) {
    try {
      read.push({ text, rule: parseRule(text) });
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      problems.push(`a rule that this version does not know is not in force: ${text}`);
    }
  }
  read.sort((a, b) => compareRules(a.rule, b.rule));
  if (read.length > RULES_PER_LINK_MAX) {
    problems.push(
      `${read.length - RULES_PER_LINK_MAX} rules are more than a network may have (${RULES_PER_LINK_MAX}), and not in force`,
    );
    read.length = RULES_PER_LINK_MAX;
  }
  const named = [...new Set(read.flatMap(({ rule }) => labelsOf(rule)))].sort();
  if (named.length > LABELS_MAX) {
    problems.push(
      `rules name more than ${LABELS_MAX} labels: those about ${named.slice(LABELS_MAX).join(', ')} are not in force`,
    );
  }
  const bits = new Map(named.slice(0, LABELS_MAX).map((label, i) => [label, 1 << i]));
  const isBetween = ({ rule }: { rule: PolicyRule }): boolean => otherNetworkOf(rule) !== undefined;
  const rules = read
    .filter((each) => !isBetween(each) && labelsOf(each.rule).every((label) => bits.has(label)))
    .map(({ text, rule }) => ({ text, rule, row: rowOf(rule, bits) }));
  const labels = new Map<number, number>();
  const members = new Map<string, number[]>();
  for (const [mac, own] of labelled) {
    const mask = own.reduce((sum, label) => sum | (bits.get(label) ?? 0), 0);
    if (mask !== 0) labels.set(mac, mask);
    for (const label of own) {
      if (bits.has(label)) members.set(label, [...(members.get(label) ?? []), mac]);
    }
  }
  for (const macs of members.values()) macs.sort((a, b) => a - b);
  return { rules, between: read.filter(isBetween), labels, labelled: members, problems };
}
