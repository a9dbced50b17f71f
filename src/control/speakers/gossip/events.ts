/**
 * What the gossip node tells: as lines of the log, and the last changes of members for whoever
 * asks later.
 * @module
 */
import type { EventsAnswer, MemberEvent } from '../../../api/members.ts';
import type { ConflictEvent, MemberChange, MemberView } from '../../../gossip/base/api.ts';
import type { Log } from '../../../log.ts';
import { sameNames, sameNameText } from './names.ts';

/** Changes that are kept; older ones are counted as lost. */
export const EVENTS_MAX = 1024;

export class EventRing {
  readonly #events: MemberEvent[] = [];
  #last = 0;
  #listener: (event: MemberEvent) => void = () => undefined;
  #conflictListener: (event: ConflictEvent) => void = () => undefined;

  /** Calls `listener` at each change from now on. */
  listen(listener: (event: MemberEvent) => void): void {
    this.#listener = listener;
  }

  /** Calls `listener` when a conflict begins, and when it is over. */
  listenConflicts(listener: (event: ConflictEvent) => void): void {
    this.#conflictListener = listener;
  }

  conflict(event: ConflictEvent, log: Log): void {
    logConflict(event, log);
    this.#conflictListener(event);
  }

  add({ node, name, from, to, why }: MemberChange): void {
    this.#last++;
    const event = { number: this.#last, id: node, name, from, to, why };
    this.#events.push(event);
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
    this.#listener(event);
  }

  /** What came after event `number`. */
  after(number: number): EventsAnswer {
    const events = this.#events.filter((event) => event.number > number);
    const missed = Math.max(0, this.#last - number);
    return { events, last: this.#last, lost: missed - events.length };
  }
}

/** One line for a change of a member, with the reason, and one when two have one name now. */
export function logMember(change: MemberChange, members: readonly MemberView[], log: Log): void {
  const { node, name, from, to, why } = change;
  const line = `${name === '' ? node : `${name} (${node})`}: ${from} -> ${to}: ${why}`;
  if (to === 'dead' || to === 'suspect') log.warn('members', line);
  else log.info('members', line);
  if (to !== 'alive') return;
  const same = sameNames(members).find(({ ids }) => ids.includes(node));
  if (same !== undefined) log.warn('names', sameNameText(same));
}

/** One line for a conflict that begins or is over, with both sides. */
export function logConflict({ over, what, subject, ...who }: ConflictEvent, log: Log): void {
  const sides = `${who.winnerName} (${who.winner}) and ${who.loserName} (${who.loser})`;
  if (over) log.info('conflict', `${what} ${subject}: no longer claimed by both ${sides}`);
  else {
    const advice = who.advice === undefined ? '' : `; ${who.advice}`;
    log.error('conflict', `${what} ${subject} is claimed by ${sides}: the first has it${advice}`);
  }
}
