/**
 * `fanway members`: everybody who is or was there, and what changes.
 * @module
 */
import {
  type EventsAnswer,
  type MemberEvent,
  type MemberJson,
  memberEventsCall,
  membersCall,
} from '../../api/members.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { sameNames } from '../../control/speakers/gossip/names.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { sameNamesText } from '../verb/gossip-text.ts';
import { timeText } from '../verb/quantities.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

const WATCH_INTERVAL_MS = 500;

const COLUMNS = ['', 'name', 'state', 'for', 'underlay', 'epoch', 'node id'].map((title) => ({
  title,
}));

/** The members as a table; `*` marks this host. */
export function membersText(members: readonly MemberJson[]): string {
  if (members.length === 0) {
    return 'no members: this host is not in the gossip of a cluster; fanway join begins one, fanway join HOST joins that of HOST\n';
  }
  const rows = members.map((member) => [
    member.self ? '*' : '',
    member.name || '-',
    member.state,
    timeText(member.sinceMs),
    member.underlay || '-',
    String(member.epoch),
    member.id,
  ]);
  const same = sameNamesText(sameNames(members));
  return `${[renderTable(COLUMNS, rows), ...same].join('\n')}\n`;
}

/** One change as a line. */
export function eventText({ name, id, from, to, why }: MemberEvent): string {
  return `${name === '' ? id : name}: ${from} -> ${to}: ${why}\n`;
}

/** Prints what changes until nobody reads it any more, or a signal comes. */
async function watch(run: RunDirectory, io: Io, json: boolean): Promise<void> {
  const eventsAfter = (after: number | null): Promise<EventsAnswer> =>
    ask(run, memberEventsCall, { after });
  let { last } = await eventsAfter(null);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, WATCH_INTERVAL_MS));
    const answer = await eventsAfter(last);
    // A router that was started anew counts from the beginning.
    const { events, lost } = answer.last < last ? await eventsAfter(0) : answer;
    last = answer.last;
    if (lost > 0) io.err(`fanway: ${lost} changes came too fast to be shown\n`);
    for (const event of events) {
      const text = json ? `${JSON.stringify(event)}\n` : eventText(event);
      if (!io.outBytes(Buffer.from(text))) return;
    }
  }
}

export const members: Verb = {
  name: 'members',
  summary: 'everybody who is or was in the cluster',
  usage: ['members [--watch] [--json]'],
  options: [
    ['--watch', 'then go on with a line for each change, and why it came'],
    ['--json', 'as JSON; with --watch one line for each change'],
  ],
  examples: [
    ['fanway members', 'alive, suspect, dead and left'],
    ['fanway members --watch', 'who accused whom, and what refuted it'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--watch': 'switch', '--json': 'switch' });
    noMore(rest, members);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const all = await ask(run, membersCall);
    if (flags.has('--json')) printJson(io, all);
    else io.out(membersText(all));
    if (flags.has('--watch')) await watch(run, io, flags.has('--json'));
    return ExitCode.Ok;
  },
};
