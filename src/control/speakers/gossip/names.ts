/**
 * Members that people cannot tell apart: two of one name.
 * @module
 */
import type { SameName } from '../../../api/gossip.ts';
import type { MemberState } from '../../../gossip/base/api.ts';

/** Names that more than one present member has, each with the ids of all who have it. */
export function sameNames(
  members: readonly { name: string; id: string; state: MemberState }[],
): SameName[] {
  const byName = new Map<string, string[]>();
  for (const { name, id, state } of members) {
    if (name === '' || state === 'dead' || state === 'left') continue;
    byName.set(name, [...(byName.get(name) ?? []), id]);
  }
  return [...byName].flatMap(([name, ids]) => (ids.length > 1 ? [{ name, ids }] : []));
}

/** One name that several have, and what to do about it. */
export function sameNameText({ name, ids }: SameName): string {
  return `${ids.length} members are called ${name} (${ids.join(', ')}): on all but one of them fanway leave, then fanway join ... --name ANOTHER`;
}
