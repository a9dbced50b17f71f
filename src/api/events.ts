/**
 * What happens in a router, as it happens: one JSON object a line for as long as the reader stays. An
 * empty line says only that the router lives. A reader that is too slow is told how many it missed.
 * @module
 */
import { type ConflictJson, conflictJson } from './gossip.ts';
import { type MemberEvent, memberEvent } from './members.ts';
import { count, fields, flag, nullable, text, word } from './reader.ts';

export const EVENTS_PATH = '/v1/events';
export const EVENTS_TYPE = 'application/x-ndjson';

export type RouterEvent =
  | { kind: 'member'; member: MemberEvent }
  /** A link's state is another one, or it is gone. */
  | { kind: 'link'; name: string; state: string; reason: string }
  /** An entry is at another host now; null = where arithmetic says. */
  | {
      kind: 'entry';
      link: string;
      entry: string;
      host: string | null;
      source: string;
      owner: string;
    }
  /** Two active members claim what only one can have; `over`: no longer. */
  | { kind: 'conflict'; over: boolean; conflict: ConflictJson }
  | { kind: 'lost'; count: number };

const kindOf = fields<{ kind: RouterEvent['kind'] }>({
  kind: word('member', 'link', 'entry', 'conflict', 'lost'),
});
const kind = <K extends RouterEvent['kind']>(name: K) => word<K>(name);
const readers = {
  member: fields<Extract<RouterEvent, { kind: 'member' }>>({
    kind: kind('member'),
    member: memberEvent,
  }),
  link: fields<Extract<RouterEvent, { kind: 'link' }>>({
    ...{ kind: kind('link'), name: text, state: text, reason: text },
  }),
  entry: fields<Extract<RouterEvent, { kind: 'entry' }>>({
    ...{ kind: kind('entry'), link: text, entry: text, host: nullable(text) },
    ...{ source: text, owner: text },
  }),
  conflict: fields<Extract<RouterEvent, { kind: 'conflict' }>>({
    ...{ kind: kind('conflict'), over: flag, conflict: conflictJson },
  }),
  lost: fields<Extract<RouterEvent, { kind: 'lost' }>>({ kind: kind('lost'), count }),
};

/** Reads one line's value. @throws ShapeError */
export function readEvent(value: unknown): RouterEvent {
  return readers[kindOf(value, '').kind](value, '');
}
