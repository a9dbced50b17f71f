/**
 * What entries show of themselves on the admin socket; addresses are text here.
 * @module
 */

import type { AnswerJson, PlacedEntry } from '../../api/entries.ts';
import type { TableStatus } from '../../api/status.ts';
import { formatHostAddress, formatHostPrefix } from '../../net/underlay-address.ts';
import type { Best, EntryId } from '../../rib/entry.ts';
import type { RibStatus } from '../../rib/rib.ts';
import type { EntryTableStatus, TableAnswer } from '../plane/entry-table.ts';
import { type EntryService, entryText } from './entry-service.ts';

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

/** One entry, whoever told it. */
export function placedEntry(id: EntryId, best: Best, name: string): PlacedEntry {
  return {
    ...{ link: id.link, kind: id.kind, entry: entryText(id), host: formatHostAddress(best.peer) },
    ...{ source: best.source, owner: best.owner, name },
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
    prefix: formatHostPrefix(answer.prefix),
    host: formatHostAddress(answer.peer),
    source: best?.source ?? 'local',
    ...{ owner, name: nameOf(owner) },
  };
}
