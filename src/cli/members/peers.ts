/**
 * `fanway peers`: the other members, and how each is reached.
 * @module
 */
import type { SeedJson } from '../../api/gossip.ts';
import { type MemberJson, membersCall } from '../../api/members.ts';
import { statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode } from '../../errors.ts';
import { type Column, renderTable } from '../../measure/table.ts';
import { silentSeedsText } from '../verb/gossip-text.ts';
import { percentText, timeText } from '../verb/quantities.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

const COLUMNS: readonly Column[] = [
  ...['name', 'state', 'underlay', 'encap', 'VNIs'].map((title) => ({ title })),
  { title: 'MTU', align: 'right' },
  { title: 'RTT', align: 'right' },
  { title: 'loss', align: 'right' },
  { title: 'last seen' },
  { title: 'version' },
];

/** The peers as a table. */
export function peersText(peers: readonly MemberJson[], seeds: readonly SeedJson[] = []): string {
  const silent = silentSeedsText(seeds)
    .map((line) => `${line}\n`)
    .join('');
  if (peers.length === 0) {
    const advice = seeds.length === 0 ? ': fanway join HOST tells where one is' : '';
    return `no peers${advice}\n${silent}`;
  }
  const rows = peers.map((peer) => [
    peer.name,
    peer.state,
    peer.underlay || '-',
    peer.encaps.join(',') || '-',
    peer.vnis.join(',') || '-',
    peer.mtu === 0 ? '-' : String(peer.mtu),
    timeText(peer.rttMs),
    percentText(peer.loss),
    peer.lastHeardMs === null ? '-' : `${timeText(peer.lastHeardMs)} ago`,
    peer.version,
  ]);
  return `${renderTable(COLUMNS, rows)}\n${silent}`;
}

/** Where this host was told to look for members; none without gossip. */
async function seedsOf(run: RunDirectory): Promise<SeedJson[]> {
  return (await ask(run, statusCall)).gossip?.seeds ?? [];
}

export const peers: Verb = {
  name: 'peers',
  summary: 'the other members of the cluster, and how each is reached',
  usage: ['peers [--json]'],
  options: [['--json', 'all that is known of each, as JSON']],
  examples: [
    ['fanway peers', 'name, state, underlay, encapsulation, MTU, round trip, loss'],
    ['fanway peers --json', 'also all addresses, fans, epoch'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    noMore(rest, peers);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const members = await ask(run, membersCall);
    const others = members.filter((member) => !member.self);
    if (flags.has('--json')) printJson(io, others);
    else io.out(peersText(others, await seedsOf(run)));
    return ExitCode.Ok;
  },
};
