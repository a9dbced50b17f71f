/**
 * `fanway bgp`: neighbours, routes and what they amount to; routes given and taken back.
 * @module
 */

import { readFileSync } from 'node:fs';
import {
  bgpAnnounceCall,
  bgpNeighborsCall,
  bgpRefreshCall,
  bgpResetCall,
  bgpRibCall,
  bgpRoutesCall,
  bgpWithdrawCall,
  type Page,
} from '../../api/bgp.ts';
import { didYouMean } from '../../config/closest.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, messageOf, usageError } from '../../errors.ts';
import { counted } from '../verb/quantities.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { neighboursText, ribText, routesText } from './bgp-text.ts';

type Call = { run: RunDirectory; flags: Map<string, string>; rest: string[]; io: Io };

function numberFlag(flags: Map<string, string>, name: string): number | null {
  const text = flags.get(name);
  if (text === undefined) return null;
  if (!/^[0-9]{1,8}$/.test(text)) throw usageError('usage', `${name} is a number`);
  return Number(text);
}

/** All pages of a list. */
async function all<T>(ask: (from: number) => Promise<Page<T>>): Promise<T[]> {
  const list: T[] = [];
  for (let from: number | null = 0; from !== null; ) {
    const page: Page<T> = await ask(from);
    for (const entry of page.entries) list.push(entry);
    from = page.next;
  }
  return list;
}

async function neighbors({ run, flags, rest, io }: Call): Promise<void> {
  noMore(rest, bgp);
  const list = await ask(run, bgpNeighborsCall);
  if (flags.has('--json')) printJson(io, list);
  else io.out(neighboursText(list));
}

async function routes({ run, flags, rest, io }: Call): Promise<void> {
  noMore(rest, bgp);
  const filter = { type: numberFlag(flags, '--type'), neighbor: flags.get('--neighbor') ?? null };
  const list = await all((from) => ask(run, bgpRoutesCall, { ...filter, from }));
  if (flags.has('--json')) printJson(io, list);
  else io.out(routesText(list));
}

async function rib({ run, flags, rest, io }: Call): Promise<void> {
  noMore(rest, bgp);
  const vni = numberFlag(flags, '--vni');
  const list = await all((from) => ask(run, bgpRibCall, { vni, from }));
  if (flags.has('--json')) printJson(io, list);
  else io.out(ribText(list));
}

/** The routes of a JSON file (`-` = standard input): one, or a list. */
function readGiven(path: string): unknown[] {
  try {
    const value: unknown = JSON.parse(readFileSync(path === '-' ? 0 : path, 'utf8'));
    return Array.isArray(value) ? value : [value];
  } catch (error) {
    throw usageError('usage', `${path}: ${messageOf(error)}`);
  }
}

/** In pieces, as the admin socket takes so many at once. */
const ROUTES_PER_CALL = 256;

function give(action: 'announce' | 'withdraw') {
  return async ({ run, flags, rest, io }: Call): Promise<void> => {
    const [path, ...more] = rest;
    noMore(more, bgp);
    if (path === undefined) throw usageError('usage', `fanway bgp ${action} FILE`);
    const given = readGiven(path);
    for (let at = 0; at < given.length; at += ROUTES_PER_CALL) {
      const routes = given.slice(at, at + ROUTES_PER_CALL);
      await ask(run, action === 'announce' ? bgpAnnounceCall : bgpWithdrawCall, { routes });
    }
    if (flags.has('--json')) printJson(io, { done: given.length });
    else
      io.out(
        `${counted(given.length, 'route')}: ${action === 'announce' ? 'announced' : 'withdrawn'}\n`,
      );
  };
}

function act(action: 'reset' | 'refresh') {
  return async ({ run, flags, rest, io }: Call): Promise<void> => {
    const [neighbor, ...more] = rest;
    noMore(more, bgp);
    if (neighbor === undefined) throw usageError('usage', `fanway bgp ${action} ADDRESS`);
    const answer = await ask(run, action === 'reset' ? bgpResetCall : bgpRefreshCall, { neighbor });
    if (flags.has('--json')) printJson(io, answer);
    else
      io.out(answer.done ? `${neighbor}: ${action} done\n` : `${neighbor} cannot be asked now\n`);
  };
}

const ACTIONS: Readonly<Record<string, (call: Call) => Promise<void>>> = {
  ...{ neighbors, routes, rib, announce: give('announce'), withdraw: give('withdraw') },
  ...{ reset: act('reset'), refresh: act('refresh') },
};

export const bgp: Verb = {
  name: 'bgp',
  summary: 'EVPN neighbours and routes (begun by [bgp] in the configuration of the daemon)',
  usage: [
    'bgp neighbors [--json]',
    'bgp routes [--type 1..5] [--neighbor ADDRESS] [--json]',
    'bgp rib [--vni N] [--json]',
    'bgp announce|withdraw FILE',
    'bgp reset|refresh ADDRESS',
  ],
  options: [
    ['--type N', 'only EVPN routes of this type; 1 and 4 are shown and not acted on'],
    ['--neighbor ADDRESS', 'only what this neighbour told'],
    ['--vni N', 'only of this network'],
    ['--json', 'as JSON'],
  ],
  examples: [
    ['fanway bgp neighbors', 'sessions, in the columns of show bgp summary'],
    ['fanway bgp routes --type 2', 'MACs and addresses as they were told, in those of gobgp'],
    ['fanway bgp rib --vni 100', 'what holds here: which MAC is behind which tunnel endpoint'],
    ['fanway bgp announce routes.json', 'routes of a program (docs/evpn.md); - = standard input'],
  ],
  async run(args, io) {
    const spec = { '--json': 'switch', '--type': 'value', '--neighbor': 'value' } as const;
    const { flags, rest } = takeFlags(args, { ...spec, '--vni': 'value' });
    const [name = '', ...words] = rest;
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    if (action === undefined) {
      const actions = Object.keys(ACTIONS);
      throw usageError(
        'usage',
        `fanway bgp ${actions.join('|')}; see --help${didYouMean(name, actions)}`,
      );
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    await action({ run, flags, rest: words, io });
    return ExitCode.Ok;
  },
};
