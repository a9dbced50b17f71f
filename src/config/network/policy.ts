/**
 * Rules and labels in a `[network]` section: `allow` and `deny` hold rules with commas between them, `labels`
 * a MAC and its labels each (`02:42:0a:01:00:05 web db, …`).
 * @module
 */
import { parseMac } from '../../net/mac.ts';
import {
  formatRule,
  LABELS_PER_STATION_MAX,
  parseLabel,
  parseRule,
  RuleError,
} from '../../net/policy/rule.ts';

/** What a network's section says beside the network itself. */
export type NetworkPolicy = {
  network: string;
  /** Canonical texts. */
  rules: string[];
  /** By MAC (u48). */
  labels: [mac: number, labels: string[]][];
};

function parts(value: unknown): string[] {
  return String(value ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

/** Labels of one workload. @throws RuleError */
export function readLabels(words: readonly string[]): string[] {
  const labels = [...new Set(words.map(parseLabel))].sort();
  if (labels.length <= LABELS_PER_STATION_MAX) return labels;
  throw new RuleError(`a workload has at most ${LABELS_PER_STATION_MAX} labels`);
}

/** What the values of one section say; every problem with its key. */
export function networkPolicyOf(values: ReadonlyMap<string, unknown>): {
  policy: NetworkPolicy;
  problems: { key: string; message: string }[];
} {
  const problems: { key: string; message: string }[] = [];
  const policy: NetworkPolicy = {
    network: String(values.get('name') ?? ''),
    rules: [],
    labels: [],
  };
  const attempt = (key: string, read: () => void): void => {
    try {
      read();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      problems.push({ key, message: `${key}: ${error.message}` });
    }
  };
  for (const key of ['allow', 'deny']) {
    for (const part of parts(values.get(key))) {
      const words = part === 'any' ? key : `${key} ${part}`;
      attempt(key, () => policy.rules.push(formatRule(parseRule(words))));
    }
  }
  for (const part of parts(values.get('labels'))) {
    const [mac = '', ...labels] = part.split(/\s+/);
    attempt('labels', () => policy.labels.push([parseMac(mac), readLabels(labels)]));
  }
  return { policy, problems };
}
