/**
 * Entries on the admin socket: what the table says of an address, what members announce, and things that
 * are searched for.
 * @module
 */
import type { UnderlayAddress } from '../net/underlay-address.ts';
import { post } from './call.ts';
import {
  count,
  fields,
  flag,
  host,
  list,
  nullable,
  number,
  optional,
  type ReadBy,
  type Reader,
  ShapeError,
  text,
  word,
} from './reader.ts';

/** Who said where something is. */
export const sourceWord = word('static', 'local', 'gossip', 'bgp', 'learned', 'kept');

/** What the table says of an address, and who has told it. */
export type AnswerJson = {
  prefix: string;
  /** Underlay address of the host that it is sent to. */
  host: string;
  source: 'static' | 'local' | 'gossip' | 'bgp' | 'learned' | 'kept';
  /** A node id, or a tunnel endpoint. */
  owner: string;
  /** Of the member, '' where nobody knows it. */
  name: string;
};

/** What the data path's own table has for an address of a link; null = arithmetic decides. */
export const explainCall = post<{ link: string; address: UnderlayAddress }, AnswerJson | null>(
  '/v1/explain',
  fields({ link: text, address: host }),
  nullable(
    fields<AnswerJson>({ prefix: text, host: text, source: sourceWord, owner: text, name: text }),
  ),
);

export const ENTRY_KIND_NAMES = [
  'mac',
  'mac+ip',
  'prefix',
  'flood',
  'vtep',
  'rule',
  'labels',
  'slice',
] as const;

/** One announcement that holds. What its kind does not have is left out. */
export type EntryJson = {
  kind: (typeof ENTRY_KIND_NAMES)[number];
  vni: number;
  mac?: string;
  address?: string;
  prefix?: string;
  /** A rule, or labels. */
  text?: string;
  /** The owner's node id and name. */
  owner: string;
  name: string;
  rank: number;
  self: boolean;
};

type EntryFields = Omit<EntryJson, 'mac' | 'address' | 'prefix' | 'text'> & {
  [K in 'mac' | 'address' | 'prefix' | 'text']: string | undefined;
};

const readFields = fields<EntryFields>({
  kind: word(...ENTRY_KIND_NAMES),
  vni: number,
  mac: optional(text),
  address: optional(text),
  prefix: optional(text),
  text: optional(text),
  owner: text,
  name: text,
  rank: number,
  self: flag,
});

/** A field that is left out stays so. */
function readEntry(value: unknown, at: string): EntryJson {
  const { mac, address, prefix, text: words, ...rest } = readFields(value, at);
  return {
    ...rest,
    ...(mac === undefined ? {} : { mac }),
    ...(address === undefined ? {} : { address }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(words === undefined ? {} : { text: words }),
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

/** An entry that counts, whoever told it. */
const placedEntry = fields({
  link: text,
  kind: word(...ENTRY_KIND_NAMES),
  /** `250.0.28.10/32`, a MAC, or an address. */
  entry: text,
  /** Underlay address of the host that has it. */
  host: text,
  source: sourceWord,
  /** A node id, or a tunnel endpoint. */
  owner: text,
  /** Of the member, '' where nobody knows it. */
  name: text,
});
export type PlacedEntry = ReadBy<typeof placedEntry>;

/** Entries of all links and sources, a page of at most `count` from number `from` on. */
export const placedEntriesCall = post<
  { from: number; count: number },
  { entries: PlacedEntry[]; next: number | null }
>(
  '/v1/entries',
  fields({ from: count, count }),
  fields({ entries: list(placedEntry), next: nullable(count) }),
);

/** Letters of what is searched for. */
export const FIND_CHARACTERS_MAX = 100;
/** Things that one answer names. */
export const FOUND_MAX = 50;

/** Something that was searched for: by an address of an overlay, or by a name. */
const found = fields({
  /** `address`: what was asked for is one; the others were found by their names. */
  kind: word('address', 'host', 'workload', 'entry'),
  /** What it is called. */
  name: text,
  /** In the overlay; '' for a host. */
  address: text,
  /** Underlay address of the host that has it, '' where nobody can have it. */
  host: text,
  /** That host's node id, '' where no member is known there. */
  member: text,
  /** Where it is and why, in a sentence. */
  text,
});
export type FoundJson = ReadBy<typeof found>;

const wanted: Reader<string> = (value, at) => {
  const asked = text(value, at).trim();
  if (asked === '' || asked.length > FIND_CHARACTERS_MAX) {
    throw new ShapeError(`${at} is not from 1 to ${FIND_CHARACTERS_MAX} characters`);
  }
  return asked;
};

/** The answer ends at {@link FOUND_MAX}. */
export const findCall = post<{ wanted: string }, FoundJson[]>(
  '/v1/find',
  fields({ wanted }),
  list(found),
);
