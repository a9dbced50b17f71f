/**
 * The page that a router serves on its loopback address while somebody wants it.
 * @module
 */
import { post } from './call.ts';
import { count, fields, flag, nullable, type ReadBy, text } from './reader.ts';

/** `port`: null = the usual one, 0 = any that is free. `on`: false ends it. */
export type WebRequest = { on: boolean; port: number | null };

const answer = fields({
  /** Where the page is, its token in the fragment; '' when it is off. */
  url: text,
  /** It was so already. */
  same: flag,
});
export type WebAnswer = ReadBy<typeof answer>;

export const webCall = post<WebRequest, WebAnswer>(
  '/v1/web',
  fields({ on: flag, port: nullable(count) }),
  answer,
);
