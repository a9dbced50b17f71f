/**
 * A host in the gossip of a cluster, on the admin socket: it joins, announces, takes back, and leaves.
 * @module
 */
import type { GossipSettings } from '../config/gossip.ts';
import { gossipSettingsFromJson } from '../config/gossip-json.ts';
import { post } from './call.ts';
import { gossipStatus } from './gossip.ts';
import { fields, flag, list, nullable, type ReadBy, text, word } from './reader.ts';

/** Prefixes in one call: a body of the admin socket holds no more. */
export const ANNOUNCE_CALL_MAX = 2048;

/**
 * A prefix and the link that it belongs to; '' = none that is up. `from` is the living host that it
 * was taken from by force, '' for none.
 */
export type Placed = { prefix: string; link: string; from: string };

const placed = list(fields<Placed>({ prefix: text, link: text, from: text }));
const prefixes = list(text, ANNOUNCE_CALL_MAX);

/** `force`: take also what belongs to a host that lives. */
export type AnnounceRequest = { prefixes: string[]; force: boolean };

/** A request without `force` has none. */
function announceRequest(value: unknown, at: string): AnnounceRequest {
  const { force } = fields<{ force: unknown }>({ force: (each) => each })(value, at);
  return { ...fields<{ prefixes: string[] }>({ prefixes })(value, at), force: force === true };
}

export const announceCall = post('/v1/gossip/announce', announceRequest, placed);
export const withdrawCall = post('/v1/gossip/withdraw', announceRequest, placed);

/** `left`: there was something to leave; `ending`: the router has nothing left to do and ends. */
export type LeaveAnswer = { left: boolean; ending: boolean };

export const leaveCall = post(
  '/v1/gossip/leave',
  (): Record<string, never> => ({}),
  fields<LeaveAnswer>({ left: flag, ending: flag }),
);

/** `keys` is the text of a key file; null = those that the router has. */
export type JoinRequest = {
  settings: Partial<GossipSettings>;
  keys: string | null;
  newIdentity: boolean;
};

const joinAnswer = fields({ outcome: word('started', 'extended'), status: gossipStatus });
export type JoinAnswer = ReadBy<typeof joinAnswer>;

export const joinCall = post<JoinRequest, JoinAnswer>(
  '/v1/gossip/join',
  fields({ settings: gossipSettingsFromJson, keys: nullable(text), newIdentity: flag }),
  joinAnswer,
);
