/**
 * The entries' part of the admin socket.
 * @module
 */
import { explainCall } from '../../api/entries.ts';
import type { Route } from '../admin/admin.ts';
import { answerTo } from '../admin/answer-to.ts';
import type { TableAnswer } from '../plane/entry-table.ts';
import type { EntryService } from './entry-service.ts';
import { answerJson } from './views.ts';

/** @param answer what the data path's table has for an address of a link */
export function entryRoutes(
  answer: (link: string, address: number) => TableAnswer | undefined,
  entries: EntryService,
  nameOf: (owner: string) => string,
): Route[] {
  return [
    answerTo(explainCall, ({ link, address }) =>
      answerJson(answer(link, address), entries, link, nameOf),
    ),
  ];
}
