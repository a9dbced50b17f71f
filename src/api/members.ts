/**
 * The members of the cluster on the admin socket, and what changes among them.
 * @module
 */
import { get, post } from './call.ts';
import { count, fields, flag, list, nullable, number, type ReadBy, text, word } from './reader.ts';

const STATES = ['alive', 'suspect', 'dead', 'left'] as const;

const fanView = fields({ overlay: text, underlay: text, local: text });
export type FanView = ReadBy<typeof fanView>;

/** One member. Ages are milliseconds on the router's own clock. */
export type MemberJson = {
  id: string;
  name: string;
  state: (typeof STATES)[number];
  /** `172.30.0.28:7946`, where it is spoken to now; '' as long as nobody knows. */
  underlay: string;
  endpoints: string[];
  encaps: string[];
  mtu: number;
  vnis: number[];
  fans: FanView[];
  version: string;
  rttMs: number | null;
  /** Share of the last direct probes without a direct answer, 0 to 1. */
  loss: number;
  lastHeardMs: number | null;
  sinceMs: number;
  epoch: number;
  sequence: number;
  self: boolean;
};

export const membersCall = get(
  '/v1/gossip/members',
  list(
    fields<MemberJson>({
      ...{ id: text, name: text, state: word(...STATES), underlay: text, endpoints: list(text) },
      ...{
        encaps: list(text),
        mtu: number,
        vnis: list(number),
        fans: list(fanView),
        version: text,
      },
      ...{ rttMs: nullable(number), loss: number, lastHeardMs: nullable(number), sinceMs: number },
      ...{ epoch: number, sequence: number, self: flag },
    }),
  ),
);

/** A change of a member, in the order they happened. */
export type MemberEvent = {
  /** From 1 up, without gaps. */
  number: number;
  id: string;
  name: string;
  from: MemberJson['state'] | 'unknown';
  to: MemberJson['state'] | 'unknown';
  why: string;
};

export type EventsAnswer = {
  /** Those after the number that was asked for, oldest first. */
  events: MemberEvent[];
  /** Number of the last there was; 0 before the first. */
  last: number;
  /** How many of those asked for are no longer kept. */
  lost: number;
};

const stateOrUnknown = word(...STATES, 'unknown');

/** One change as it is told. */
export const memberEvent = fields<MemberEvent>({
  ...{ number: count, id: text, name: text, from: stateOrUnknown, to: stateOrUnknown, why: text },
});

export const memberEventsCall = post<{ after: number | null }, EventsAnswer>(
  '/v1/gossip/events',
  fields({ after: nullable(number) }),
  fields({
    events: list(memberEvent),
    ...{ last: count, lost: count },
  }),
);
