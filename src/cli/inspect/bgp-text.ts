/**
 * What BGP has to show, as text in the columns that users of FRR and GoBGP know.
 * @module
 */
import type { BgpEntryJson, BgpStatus, NeighbourJson, RouteJson } from '../../api/bgp.ts';
import { renderTable } from '../../measure/table.ts';
import { counted } from '../verb/quantities.ts';

/** `00:01:30`, `2d03h`, `1w2d`: as FRR writes how long a session is up. */
export function upDownText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [minutes, hours, days] = [seconds / 60, seconds / 3600, seconds / 86_400].map(Math.floor);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (days === undefined || hours === undefined || minutes === undefined) return '';
  if (days >= 7) return `${Math.floor(days / 7)}w${days % 7}d`;
  if (days > 0) return `${days}d${two(hours % 24)}h`;
  return `${two(hours)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

const right = (title: string) => ({ title, align: 'right' as const });
const NEIGHBOUR_COLUMNS = [
  { title: 'Neighbor' },
  ...['AS', 'MsgRcvd', 'MsgSent', 'OutQ', 'Up/Down', 'State/PfxRcd', 'PfxSnt'].map(right),
  { title: 'Desc' },
];

/** As `show bgp summary` has it, and under it why those that are down are. */
export function neighboursText(neighbours: readonly NeighbourJson[]): string {
  if (neighbours.length === 0) return 'no neighbours: [bgp-neighbor] sections name them\n';
  const rows = neighbours.map((each) => [
    each.address,
    String(each.as),
    String(each.messagesReceived),
    String(each.messagesSent),
    String(each.queuedBytes),
    upDownText(each.sinceMs),
    each.state === 'Established' ? String(each.received) : each.state,
    String(each.sent),
    each.description || '-',
  ]);
  const notes = neighbours.flatMap(({ address, state, lastEnd, lastFault, stale, counters }) => [
    ...(state !== 'Established' && lastEnd !== '' ? [`${address} is down: ${lastEnd}`] : []),
    ...(stale > 0
      ? [`${address}: ${stale} routes are kept from before, and not sent again yet`]
      : []),
    ...(counters.looped + counters.refused + counters.withdrawnByFault + counters.discarded > 0
      ? [`${address}: not all that it told was taken, last: ${lastFault}`]
      : []),
  ]);
  return `${[renderTable(NEIGHBOUR_COLUMNS, rows), ...notes].join('\n')}\n`;
}

const ROUTE_COLUMNS = ['', 'Network', 'Labels', 'Next Hop', 'AS_PATH', 'Age', 'Attrs'].map(
  (title) => ({ title }),
);

/** As `gobgp global rib -a evpn` has it; `*>` is the best path of its route. */
export function routesText(routes: readonly RouteJson[]): string {
  if (routes.length === 0) return 'no routes\n';
  const rows = routes.map((route) => [
    `${route.stale ? 'S' : '*'}${route.best ? '>' : ' '}`,
    `[rd:${route.rd}]:${route.network}`,
    route.labels.join('/') || '-',
    route.nextHop,
    route.asPath,
    upDownText(route.ageMs),
    [
      ...(route.localPref === null ? [] : [`LocPrf:${route.localPref}`]),
      ...(route.med === null ? [] : [`MED:${route.med}`]),
      ...(route.originator === null ? [] : [`Originator:${route.originator}`]),
      ...route.communities,
      ...(route.type === 1 || route.type === 4 ? ['(shown, not acted on)'] : []),
    ].join(' '),
  ]);
  return `${renderTable(ROUTE_COLUMNS, rows)}\n`;
}

const ENTRY_COLUMNS = ['VNI', 'kind', 'entry', 'VTEP', 'label', 'MAC', 'seq', 'flags'].map(
  (title) => ({ title }),
);

/** What holds in our networks. */
export function ribText(entries: readonly BgpEntryJson[]): string {
  if (entries.length === 0) return 'nothing in our networks\n';
  const rows = entries.map((entry) => [
    String(entry.vni),
    entry.kind,
    entry.entry,
    entry.vtep,
    String(entry.label),
    entry.mac ?? '-',
    entry.sticky ? 'sticky' : String(entry.sequence),
    entry.gateway ? 'router' : '',
  ]);
  return `${renderTable(ENTRY_COLUMNS, rows)}\n`;
}

/** All that was asked for is there. */
export function isBgpWell({ state, neighbors, unused }: BgpStatus): boolean {
  return state === 'up' && neighbors.established === neighbors.all && unused.notAdmitted === 0;
}

/** BGP's part of `fanway status`. */
export function bgpStatusText(bgp: BgpStatus): string[] {
  const { state, reason, neighbors, unused } = bgp;
  const lines = [`bgp: ${state}${reason === '' ? '' : ` (${reason})`}`];
  if (state !== 'up') return lines;
  const { established, all } = neighbors;
  lines.push(
    `  AS ${bgp.as}, router id ${bgp.routerId}, tunnel endpoint ${bgp.vtep}`,
    `  ${established} of ${counted(all, 'neighbour')} established; ${counted(bgp.routes, 'route')}, entries: ${bgp.entries} in ${counted(bgp.networks.length, 'network')}`,
  );
  if (!bgp.listening) {
    lines.push('  neighbours cannot connect to us: the port takes CAP_NET_BIND_SERVICE; we dial');
  }
  if (established < all) lines.push('  fanway bgp neighbors says why the others are not');
  if (unused.notAdmitted > 0) {
    const count = unused.notAdmitted;
    lines.push(`  ${count} times a route was not used: its next hop is in no prefix of vteps`);
  }
  if (unused.unreachable > 0) {
    const why = 'its tunnel endpoint is of the other address family, or its VNI another one';
    lines.push(`  ${unused.unreachable} times an entry was not used: ${why}`);
  }
  return lines;
}
