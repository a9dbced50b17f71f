/**
 * `fanway wait`: returns once the links of this host are up, for scripts and units that come after it.
 * @module
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { GossipStatus } from '../../api/gossip.ts';
import { type LinkStatus, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, FanwayError, messageOf, usageError } from '../../errors.ts';
import { counted } from '../verb/quantities.ts';
import { printJson, takeFlags, type Verb } from '../verb/verb.ts';

const TIMEOUT_SECONDS_DEFAULT = 30;
const TIMEOUT_SECONDS_MAX = 86_400;
const MEMBERS_MAX = 4096;
/** Between two looks; what is waited for takes seconds. */
const LOOK_EVERY_MS = 200;

export type Wanted = {
  /** Bridges that must be there and up; none = every link that there is, and at least one. */
  bridges: readonly string[];
  /** Other members of gossip that must live. */
  members: number;
};

/** Of the status what is looked at. */
export type Seen = {
  links: readonly Pick<LinkStatus, 'name' | 'state' | 'reason'>[];
  gossip: (Pick<GossipStatus, 'state' | 'reason'> & { members: { alive: number } }) | null;
  bgp: object | null;
};

/** What is still missing, in words; empty when all is there. A degraded link is up. */
export function missingOf({ links, gossip, bgp }: Seen, wanted: Wanted): string[] {
  const missing: string[] = [];
  const absent = wanted.bridges.filter((bridge) => !links.some(({ name }) => name === bridge));
  missing.push(...absent.map((name) => `${name} is not there`));
  for (const { name, state, reason } of links) {
    const isMeant = wanted.bridges.length === 0 || wanted.bridges.includes(name);
    if (isMeant && state === 'stopped') missing.push(`${name} is stopped: ${reason}`);
  }
  // A router may be there for gossip or BGP alone.
  if (links.length === 0 && gossip === null && bgp === null) missing.push('no link is there');
  if (gossip?.state === 'stopped') missing.push(`gossip is stopped: ${gossip.reason}`);
  if (wanted.members === 0) return missing;
  // This host is one of them.
  const others = gossip === null ? 0 : Math.max(0, gossip.members.alive - 1);
  if (gossip === null) missing.push('gossip does not run here: fanway join');
  else if (others < wanted.members)
    missing.push(`${others} of ${counted(wanted.members, 'member')} alive`);
  return missing;
}

function wholeFlag(flags: ReadonlyMap<string, string>, name: string, most: number): number {
  const text = flags.get(name);
  if (text === undefined) return 0;
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) {
    throw usageError('usage', `${name} is a whole number from 1 to ${most}`);
  }
  return value;
}

/** One look. A router that is not there is waited for like the rest. @throws FanwayError */
async function look(run: RunDirectory, wanted: Wanted): Promise<FanwayError | undefined> {
  try {
    const missing = missingOf(await ask(run, statusCall), wanted);
    return missing.length === 0 ? undefined : new FanwayError('not-up', missing.join('\n'));
  } catch (error) {
    if (error instanceof FanwayError && error.code !== 'not-running') throw error;
    if (error instanceof FanwayError) return error;
    // A router that ends while it answers.
    if (codeOf(error) === 'ECONNRESET') return new FanwayError('not-up', messageOf(error));
    throw error;
  }
}

export const wait: Verb = {
  name: 'wait',
  summary: 'wait until links and gossip are up',
  details: [
    'Waits for a router, for the links of the given bridges or else all that it has, and for gossip',
    'where that runs. Exits 0 as soon as all is up; when time is over with 1 and what is missing, or',
    'with 5 when no router runs.',
  ],
  usage: ['wait [BRIDGE...] [--members N] [--timeout SECONDS] [--json]'],
  options: [
    ['--members N', 'also until so many other members of gossip live'],
    ['--timeout SECONDS', `how long at most (default ${TIMEOUT_SECONDS_DEFAULT})`],
    ['--json', 'print how long it took, in ms, as JSON'],
  ],
  examples: [
    ['fanway wait', 'in a script, before containers are started'],
    [
      'fanway wait fan-250-0-28 --members 2 --timeout 60',
      'until the fan and two other hosts are there',
    ],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--members': 'value',
      '--timeout': 'value',
      '--json': 'switch',
    });
    const flag = rest.find((word) => word.startsWith('-'));
    if (flag !== undefined) {
      throw usageError(
        'usage',
        `${JSON.stringify(flag)} is not an option of wait; see fanway wait --help`,
      );
    }
    const seconds = wholeFlag(flags, '--timeout', TIMEOUT_SECONDS_MAX) || TIMEOUT_SECONDS_DEFAULT;
    const wanted = { bridges: rest, members: wholeFlag(flags, '--members', MEMBERS_MAX) };
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const startMs = performance.now();
    for (;;) {
      const problem = await look(run, wanted);
      const passedMs = performance.now() - startMs;
      if (problem === undefined) {
        if (flags.has('--json')) printJson(io, { up: true, waitedMs: Math.round(passedMs) });
        return ExitCode.Ok;
      }
      const leftMs = seconds * 1000 - passedMs;
      if (leftMs <= 0) {
        const message = `not up after ${seconds} s\n${problem.message}`;
        throw new FanwayError(problem.code, message, { exitCode: problem.exitCode });
      }
      await sleep(Math.min(LOOK_EVERY_MS, leftMs));
    }
  },
};
