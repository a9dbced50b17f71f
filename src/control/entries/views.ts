/**
 * What entries show of themselves on the admin socket; addresses are text here.
 * @module
 */
import type { AnswerJson } from '../../api/entries.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { formatPrefix } from '../../net/prefix.ts';
import type { ClaimSource } from '../../rib/entry.ts';
import type { RibStatus } from '../../rib/rib.ts';
import type { EntryTableStatus, TableAnswer } from '../plane/entry-table.ts';
import { type EntryService, entryText } from './entry-service.ts';

/** Whose claims were not taken: its own share is full, or the table as a whole. */
export type RefusalJson = {
  source: ClaimSource;
  owner: string;
  /** Of the member, '' where nobody knows it. */
  name: string;
  count: number;
  cause: 'share' | 'table';
};

export type TableStatus = EntryTableStatus & {
  /** Claims of others, or of ours, that found no room; what counts more than a few owners is cut. */
  refused: number;
  refusals: RefusalJson[];
  /** Entries that move too often and are left where they are for a while. */
  held: { link: string; entry: string }[];
};

/** How full the table is, and what was not taken into it. */
export function tableStatus(
  table: EntryTableStatus,
  { refused, refusals, held }: RibStatus,
  nameOf: (owner: string) => string,
): TableStatus {
  return {
    ...{ ...table, refused },
    refusals: refusals.map((refusal) => ({ ...refusal, name: nameOf(refusal.owner) })),
    held: held.map((id) => ({ link: id.link, entry: entryText(id) })),
  };
}

/** null = no entry, so arithmetic decides. */
export function answerJson(
  answer: TableAnswer | undefined,
  entries: Pick<EntryService, 'get'>,
  link: string,
  nameOf: (owner: string) => string,
): AnswerJson | null {
  if (answer === undefined) return null;
  const best = entries.get({ link, kind: 'prefix', ...answer.prefix });
  const owner = best?.owner ?? '';
  return {
    prefix: formatPrefix(answer.prefix),
    host: formatIpv4(answer.peer),
    source: best?.source ?? 'local',
    ...{ owner, name: nameOf(owner) },
  };
}
