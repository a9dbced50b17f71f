/**
 * How the gossip channel stands, on the admin socket.
 * @module
 */
import { keyJson } from './keys.ts';
import { fields, flag, list, number, type ReadBy, text, word } from './reader.ts';

const party = fields({ id: text, name: text });

/** Two active nodes claim what only one can have; both are named. */
export const conflictJson = fields({
  what: text,
  /** What both claim, as text. */
  subject: text,
  winner: party,
  loser: party,
  /** What people can do about it; '' where that depends. */
  advice: text,
});
export type ConflictJson = ReadBy<typeof conflictJson>;

/** Where this host was told to look for members. */
const seedJson = fields({
  seed: text,
  addresses: list(text),
  /** What is wrong with its name; '' when nothing is. */
  error: text,
  /** A member was heard there. */
  answered: flag,
  /** Why not, as far as this host can tell. */
  reason: text,
});
export type SeedJson = ReadBy<typeof seedJson>;

/** Of this host, and in the hands of another one. */
const taken = fields({ prefix: text, link: text, owner: text, name: text });
export type Taken = ReadBy<typeof taken>;

/** Present members that people cannot tell apart. */
const sameName = fields({ name: text, ids: list(text) });
export type SameName = ReadBy<typeof sameName>;

export const gossipStatus = fields({
  state: word('up', 'stopped'),
  /** Why it is stopped; '' when it runs. */
  reason: text,
  id: text,
  name: text,
  label: text,
  epoch: number,
  port: number,
  endpoints: list(text),
  /** No keys: nobody is authenticated. */
  plaintext: flag,
  keys: list(keyJson),
  seeds: list(seedJson),
  members: fields({ alive: number, suspect: number, dead: number, left: number }),
  /** What this host was asked to announce. */
  announced: list(text),
  /** Over the whole table: equal on two nodes that know the same. */
  hash: text,
  conflicts: list(conflictJson),
  /** What another host announces of this one's slices. */
  taken: list(taken),
  /** Present members that have one name. */
  sameNames: list(sameName),
  /** Whose datagrams were refused in the last minute, and why. */
  refused: list(fields({ address: text, cause: text, reason: text, count: number, ageMs: number })),
});
export type GossipStatus = ReadBy<typeof gossipStatus>;
