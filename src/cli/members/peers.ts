/**
 * `fanway peers`: the other members, and how each is reached.
 * @module
 */
import type { SeedJson } from '../../api/gossip.ts';
import { type MemberJson, membersCall } from '../../api/members.ts';
import { damagesTrains, type LinkStatus, type PeerWay, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode } from '../../errors.ts';
import { type Column, renderTable } from '../../measure/table.ts';
import { pathsText } from '../inspect/paths-text.ts';
import { seatOf } from '../paths/nat-text.ts';
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
export function peersText(
  peers: readonly MemberJson[],
  seeds: readonly SeedJson[] = [],
  links: readonly Pick<LinkStatus, 'underlays' | 'nat'>[] = [],
): string {
  const silent = silentSeedsText(seeds)
    .map((line) => `${line}\n`)
    .join('');
  if (peers.length === 0) {
    const advice = seeds.length === 0 ? ': fanway join HOST tells where one is' : '';
    return `no peers${advice}\n${silent}`;
  }
  const isSeveral = links.some(({ underlays }) => underlays !== undefined);
  const isNat = links.some(({ nat }) => nat !== undefined);
  const columns = [
    ...COLUMNS,
    ...(isSeveral ? [{ title: 'by' }] : []),
    ...(isNat ? [{ title: 'seen at' }] : []),
  ];
  const rows = peers.map((peer) => [
    peer.name || peer.id,
    peer.state,
    peer.underlay || '-',
    peer.encaps.join(',') || '-',
    peer.vnis.join(',') || '-',
    peer.mtu === 0 ? '-' : String(peer.mtu),
    timeText(peer.rttMs),
    percentText(peer.loss),
    peer.lastHeardMs === null ? '-' : `${timeText(peer.lastHeardMs)} ago`,
    peer.version,
    ...(isSeveral ? [waysText(peer, links)] : []),
    ...(isNat
      ? [
          seatOf(
            peer.fans.map(({ local }) => local),
            links,
          ) ?? '-',
        ]
      : []),
  ]);
  return `${renderTable(columns, rows)}\n${silent}`;
}

/** The underlays that packets to a member's fans go by, with what is lost; `-` where none have gone. */
function waysText({ fans }: MemberJson, links: readonly Pick<LinkStatus, 'underlays'>[]): string {
  const locals = fans.map(({ local }) => local);
  const ways = links.flatMap(({ underlays = [] }) =>
    underlays.flatMap(({ device, mtu, peers }) =>
      peers
        .filter(({ peer, state }) => locals.includes(peer) && state !== 'untried')
        .map((way) => (way.used ? wayText(device, mtu, way) : `${device} lost`)),
    ),
  );
  return [...new Set(ways)].join(', ') || '-';
}

/** Round trip, what is lost if it is worth a word, and an MTU that is less than the device's. */
function wayText(device: string, deviceMtu: number, way: PeerWay): string {
  const { delayMs, lostPercent, mtu } = way;
  return [
    device,
    ...(delayMs === null ? [] : [timeText(delayMs)]),
    ...(lostPercent < 1 ? [] : [`${lostPercent.toFixed(0)} % lost`]),
    ...(mtu === 0 || mtu >= deviceMtu ? [] : [`MTU ${mtu}`]),
  ].join(' ');
}

/** The ways to a member by each underlay of each link. */
function waysOf({ fans }: MemberJson, links: readonly LinkStatus[]) {
  const locals = fans.map(({ local }) => local);
  return links.flatMap(({ name, underlays = [] }) =>
    underlays.flatMap(({ device, peers }) =>
      peers
        .filter(({ peer }) => locals.includes(peer))
        .map((way) => ({ link: name, device, ...way })),
    ),
  );
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
    const { gossip, links, paths } = await ask(run, statusCall);
    if (flags.has('--json')) {
      printJson(
        io,
        others.map((member) => ({ ...member, underlays: waysOf(member, links) })),
      );
    } else {
      const damaged = pathsText(paths.filter(damagesTrains)).map((line) => `${line}\n`);
      io.out(`${peersText(others, gossip?.seeds ?? [], links)}${damaged.join('')}`);
    }
    return ExitCode.Ok;
  },
};
