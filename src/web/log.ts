/**
 * What happens, newest first, in sentences; bounded.
 * @module
 */
import type { RouterEvent } from '../api/events.ts';
import { h, part } from './dom.ts';
import { clockText } from './words.ts';

const LINES_MAX = 200;

/** An event as a sentence. */
export function eventSentence(event: RouterEvent): string {
  switch (event.kind) {
    case 'member': {
      const { name, id, from, to, why } = event.member;
      return `${name || id}: ${from} → ${to}: ${why}`;
    }
    case 'link':
      return `${event.name}: ${event.state}${event.reason === '' ? '' : `: ${event.reason}`}`;
    case 'entry':
      return event.host === null
        ? `${event.entry} on ${event.link} is where its address says`
        : `${event.entry} on ${event.link} is at ${event.host} (${event.source})`;
    case 'conflict': {
      const { what, subject, winner, loser } = event.conflict;
      const sides = `${winner.name || winner.id} and ${loser.name || loser.id}`;
      return event.over
        ? `no longer claimed twice: ${what} ${subject} (${sides})`
        : `conflict: ${what} ${subject} is claimed by ${sides}; the first has it`;
    }
    case 'lost':
      return `${event.count} changes came too fast to be shown`;
  }
}

/** One line more at the top; the oldest goes. */
export function addLine(sentence: string): void {
  const log = part('log', HTMLElement);
  part('log-none', HTMLElement).hidden = true;
  const now = new Date();
  log.prepend(
    h(
      'li',
      {},
      h('time', { datetime: now.toISOString() }, clockText(now)),
      h('span', {}, sentence),
    ),
  );
  while (log.childElementCount > LINES_MAX) log.lastElementChild?.remove();
}
