/**
 * What a host announces and takes back, on the admin socket; and that it leaves the cluster.
 * @module
 */
import { post } from './call.ts';
import { fields, flag, list, text } from './reader.ts';

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
