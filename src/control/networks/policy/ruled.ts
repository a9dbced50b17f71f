/**
 * Whether a network has rules, as far as anybody on this host knows.
 * @module
 */
import type { NetworkPolicy } from '../../../config/network/policy.ts';
import { type Announcement, ItemKind } from '../../../wire/gossip/types.ts';
import type { CompiledPolicy } from './compile.ts';

/** In front of a rule that somebody takes back. */
export const REVOKED = 'revoke ';

/**
 * @param compiled those in force; undefined while the network is not up: then file and gossip say what will be
 */
export function hasRules(
  compiled: CompiledPolicy | undefined,
  settings: NetworkPolicy | undefined,
  told: Iterable<{ item: Announcement }>,
): boolean {
  if (compiled !== undefined) return compiled.rules.length > 0;
  if ((settings?.rules.length ?? 0) > 0) return true;
  return [...told].some(
    ({ item }) => item.kind === ItemKind.Rule && !item.rule.startsWith(REVOKED),
  );
}
