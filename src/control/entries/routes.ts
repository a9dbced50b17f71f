/**
 * The entries' part of the admin socket.
 * @module
 */
import { usageError } from '../../errors.ts';
import type { Route } from '../admin.ts';
import type { TableAnswer } from '../entry-table.ts';
import type { EntryService } from './entry-service.ts';
import { answerJson } from './views.ts';

/** The address of an explanation, and the link that it is asked of. @throws FanwayError (exit code 2) */
function readQuestion(body: unknown): { link: string; address: number } {
  if (typeof body === 'object' && body !== null && 'link' in body && 'address' in body) {
    const { link, address } = body;
    const isAddress = Number.isInteger(address) && Number(address) >= 0;
    if (typeof link === 'string' && isAddress) return { link, address: Number(address) };
  }
  throw usageError('bad-request', 'link is a name and address a number');
}

/** @param answer what the data path's table has for an address of a link */
export function entryRoutes(
  answer: (link: string, address: number) => TableAnswer | undefined,
  entries: EntryService,
  nameOf: (owner: string) => string,
): Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/explain',
      handle: async (body) => {
        const { link, address } = readQuestion(body);
        return answerJson(answer(link, address), entries, link, nameOf);
      },
    },
  ];
}
