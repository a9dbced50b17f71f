/**
 * Entries on the admin socket: what the table says of an address, and what members announce.
 * @module
 */
import { post } from './call.ts';
import { count, fields, flag, list, nullable, number, optional, text, word } from './reader.ts';

/** Who said where something is. */
const sourceWord = word('static', 'local', 'gossip', 'bgp', 'learned');

/** What the table says of an address, and who has told it. */
export type AnswerJson = {
  prefix: string;
  /** Underlay address of the host that it is sent to. */
  host: string;
  source: 'static' | 'local' | 'gossip' | 'bgp' | 'learned';
  /** A node id, or a tunnel endpoint. */
  owner: string;
  /** Of the member, '' where nobody knows it. */
  name: string;
};

/** What the data path's own table has for an address (u32) of a link; null = arithmetic decides. */
export const explainCall = post<{ link: string; address: number }, AnswerJson | null>(
  '/v1/explain',
  fields({ link: text, address: count }),
  nullable(
    fields<AnswerJson>({ prefix: text, host: text, source: sourceWord, owner: text, name: text }),
  ),
);

export const ENTRY_KIND_NAMES = ['mac', 'mac+ip', 'prefix', 'flood', 'vtep'] as const;

/** One announcement that holds. What its kind does not have is left out. */
export type EntryJson = {
  kind: (typeof ENTRY_KIND_NAMES)[number];
  vni: number;
  mac?: string;
  address?: string;
  prefix?: string;
  /** The owner's node id and name. */
  owner: string;
  name: string;
  rank: number;
  self: boolean;
};

type EntryFields = Omit<EntryJson, 'mac' | 'address' | 'prefix'> & {
  [K in 'mac' | 'address' | 'prefix']: string | undefined;
};

const readFields = fields<EntryFields>({
  kind: word(...ENTRY_KIND_NAMES),
  vni: number,
  mac: optional(text),
  address: optional(text),
  prefix: optional(text),
  owner: text,
  name: text,
  rank: number,
  self: flag,
});

/** A field that is left out stays so. */
function readEntry(value: unknown, at: string): EntryJson {
  const { mac, address, prefix, ...rest } = readFields(value, at);
  return {
    ...rest,
    ...(mac === undefined ? {} : { mac }),
    ...(address === undefined ? {} : { address }),
    ...(prefix === undefined ? {} : { prefix }),
  };
}

/** Which announcements, and from which on: 0 to begin with, then what the page before says. */
export type TableRequest = { kind: EntryJson['kind'] | null; vni: number | null; from: number };

/** One page of entries, and where the next begins; null = it was the last. */
export type TablePage = { entries: EntryJson[]; next: number | null };

export const tableCall = post<TableRequest, TablePage>(
  '/v1/gossip/table',
  fields({ kind: nullable(word(...ENTRY_KIND_NAMES)), vni: nullable(number), from: count }),
  fields({ entries: list(readEntry), next: nullable(count) }),
);
