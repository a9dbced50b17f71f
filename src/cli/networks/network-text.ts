/**
 * Layer-2 networks as text.
 * @module
 */
import type {
  ArpAnswers,
  NetworkJson,
  NetworkSearch,
  ServiceNodeStatus,
} from '../../api/networks.ts';
import { underlaysText } from '../paths/underlays-text.ts';
import { counted, rateLine } from '../verb/quantities.ts';

const MEMBERS_SHOWN_MAX = 8;
const DROPS_SHOWN_MAX = 4;
const REPAIRS_SHOWN_MAX = 3;

/** Frames that went to more than one host, by cause; `floodless` when there were none. */
export function floodsText(floods: Readonly<Record<string, number>>): string {
  const causes = Object.entries(floods).filter(([, count]) => count > 0);
  if (causes.length === 0) return 'floodless';
  return `flooded: ${causes.map(([cause, count]) => `${count} ${cause}`).join(', ')}`;
}

function membersText({ members, memberCount }: NetworkJson): string {
  if (memberCount === 0) return '  no other host takes part';
  const shown = members
    .slice(0, MEMBERS_SHOWN_MAX)
    .map(({ host, name }) => (name === '' ? host : `${name} (${host})`));
  const more = memberCount - shown.length;
  return `  with ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function forwarderText({ datapath, offloads }: NetworkJson): string {
  return datapath === 'kernel'
    ? 'forwarded by the kernel'
    : `offloads: ${offloads.join(', ') || 'none'}`;
}

/** One network, a few lines. */
export function networkText(network: NetworkJson): string[] {
  const { reason, macs, drops } = network;
  const isStopped = network.state === 'stopped';
  const head = [
    `network ${network.network}: ${network.state}${reason === '' ? '' : ` (${reason})`}`,
    `  VNI ${network.vni} on bridge ${network.bridge}, ${isStopped ? '' : `from ${network.underlay}, `}UDP port ${network.port}`,
  ];
  // Nothing of it is on the host: the rest would be zeros, or what there was.
  if (isStopped) return head;
  const asked = macs.silent > 0 ? `, ${macs.silent} of them silent and asked` : '';
  const moreDrops = drops.length - DROPS_SHOWN_MAX;
  return [
    ...head,
    `  device ${network.device}, MTU ${network.innerMtu} (underlay ${network.underlayMtu}), ${forwarderText(network)}`,
    ...underlaysText(network).map((line) => `  ${line}`),
    membersText(network),
    `  ${counted(macs.local, 'MAC')} here${asked}, ${macs.remote} elsewhere; ${counted(network.addresses, 'address')}`,
    ...serversText(network.servers),
    ...serviceNodeText(network.serviceNode),
    ...searchText(network.search),
    `  ${arpText(network.arp)}`,
    `  bum ${network.bum}, guard ${network.guard}, ${counted(network.rules, 'rule')}; ${floodsText(network.floods)}`,
    ...rateLine(network.rate),
    ...drops
      .slice(0, DROPS_SHOWN_MAX)
      .map(({ counter, count, cause }) => `  last minute: ${counter} ${count}: ${cause}`),
    ...(moreDrops > 0
      ? [`  last minute: ${counted(moreDrops, 'more kind')} of drops; see fanway counters`]
      : []),
    ...network.notes.map((note) => `  note: ${note}`),
    ...repairsText(network),
  ];
}

/** Whose floods are copied here, and who copies those of this host; nothing where nobody does. */
export function serviceNodeText(status: ServiceNodeStatus | null): string[] {
  if (status === null) return [];
  const { replicates, serves, servesCount, copies, limited, nodes, through } = status;
  const { failOvers, failedOverMs } = status;
  if (replicates) {
    const shown = serves
      .slice(0, MEMBERS_SHOWN_MAX)
      .map(({ host, name }) => (name === '' ? host : `${name} (${host})`));
    const more = servesCount - shown.length;
    const whom =
      servesCount === 0
        ? 'nobody hands it floods now'
        : `for ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
    const dropped = limited === 0 ? '' : `; ${limited} floods were too many`;
    return [`  service node: ${whom}; ${copies} copies sent${dropped}`];
  }
  const place = nodes.indexOf(through) + 1;
  const which = place > 0 && nodes.length > 1 ? ` (${place} of ${nodes.length})` : '';
  const past =
    failedOverMs === null
      ? ''
      : `; ${counted(failOvers, 'fail-over')}, the last ${Math.round(failedOverMs / 1000)} s ago`;
  const now =
    through === ''
      ? `no service node of ${nodes.join(', ')} is there`
      : `floods go through ${through}${which}`;
  return [`  ${now}${past}`];
}

function serversText({ dhcp, router }: NetworkJson['servers']): string[] {
  const shown = [
    ['DHCP server', dhcp],
    ['router', router],
  ].flatMap(([what, host]) =>
    host === null ? [] : `${what} ${host === '' ? 'here' : `at ${host}`}`,
  );
  return shown.length === 0 ? [] : [`  ${shown.join(', ')}`];
}

/** Who answers ARP for addresses of other hosts. */
function arpText({ asked, by, addresses, answered, reason }: ArpAnswers): string {
  if (by === 'userspace') {
    const why = [asked !== 'auto' && `arp ${asked}`, reason].filter(Boolean).join(': ');
    return `ARP answered by the data path${why && ` (${why})`}`;
  }
  const now = counted(addresses, 'address');
  return `ARP answered by the kernel's bridge for what was asked lately: ${now} now, ${counted(answered, 'question')}`;
}

/** What was looked for because nobody was known to have it; nothing when nothing was. */
function searchText({ asked, found, damped, limited, looked, refused }: NetworkSearch): string[] {
  const lines: string[] = [];
  if (asked + limited > 0) {
    const more = [damped > 0 && `${damped} not again`, limited > 0 && `${limited} too many`];
    const left = more.filter(Boolean).join(', ');
    lines.push(
      `  asked of others: ${counted(asked, 'address')} that nobody was known to have, ${found} found${left && ` (left out: ${left})`}`,
    );
  }
  if (looked + refused > 0) {
    const left = refused > 0 ? ` (${refused} more were too many)` : '';
    lines.push(`  looked for here: ${counted(looked, 'address')} that others asked for${left}`);
  }
  return lines;
}

function repairsText({ repairs, repaired }: NetworkJson): string[] {
  if (repairs === 0) return [];
  const shown = repaired
    .slice(-REPAIRS_SHOWN_MAX)
    .map(({ what, agoMs }) => `${what}, ${Math.round(agoMs / 1000)} s ago`);
  return [
    `  others took away and fanway put back ${counted(repairs, 'piece')}; last: ${shown.join('; ')}`,
  ];
}
