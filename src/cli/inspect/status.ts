/**
 * `fanway status`: how the router and its links are.
 * @module
 */

import type { GossipStatus } from '../../api/gossip.ts';
import { fields, number, ShapeError, text } from '../../api/reader.ts';
import { type LinkStatus, type RouterStatus, statusCall } from '../../api/status.ts';
import { bitsText } from '../../config/link/bits.ts';
import { callRouter } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ENCAPS, onTheWire } from '../../encap/encap.ts';
import { ExitCode, FanwayError } from '../../errors.ts';
import type { PriorityReport } from '../../sys/process/priority.ts';
import { networkText } from '../networks/network-text.ts';
import { natText } from '../paths/nat-text.ts';
import { underlaysText } from '../paths/underlays-text.ts';
import { shortList, troubleText } from '../verb/gossip-text.ts';
import { counted, rateLine } from '../verb/quantities.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { bgpStatusText, isBgpWell } from './bgp-text.ts';
import { pathsText } from './paths-text.ts';

function linkText(link: LinkStatus): string[] {
  const vnis = [link.vni, ...(link.six === null ? [] : [link.six.vni])];
  const vni = ENCAPS[link.encap].hasVni ? `, VNI ${[...new Set(vnis)].join(' and ')}` : '';
  const wire = `${link.encap}, ${onTheWire(link.encap, link.port)}${vni}`;
  const name = `${link.name}: ${link.state}${link.reason === '' ? '' : ` (${link.reason})`}`;
  // Nothing of it is on the host: the rest would be zeros, or what there was.
  if (link.state === 'stopped') return [name, `  overlay ${link.overlay} over ${link.requested}`];
  return [
    name,
    `  overlay ${link.overlay} over ${link.underlay} (asked for: ${link.requested})`,
    `  slice ${link.slice}, gateway ${link.gateway}`,
    `  ${wire}; device ${link.device}, MTU ${link.innerMtu} (underlay ${link.underlayMtu})`,
    link.datapath === 'kernel'
      ? `  forwarded by the kernel${link.bypass === undefined ? '' : `, ${bypassText(link.bypass)}`}`
      : `  offloads: ${link.offloads.join(', ') || 'none'}`,
    `  out ${rateText(link.rates.egressPackets, link.rates.egressBits)}, in ${rateText(link.rates.ingressPackets, link.rates.ingressBits)}`,
    ...underlaysText(link).map((line) => `  ${line}`),
    ...natText(link).map((line) => `  ${line}`),
    ...rateLine(link.rate),
    ...dropsText(link),
    ...link.notes.map((note) => `  note: ${note}`),
    ...(link.stoppedAdverts
      ? [`  ${link.stoppedAdverts} IPv6 router advertisements between containers stopped`]
      : []),
    ...repairsText(link),
  ];
}

const PORTS_SHOWN_MAX = 3;

/** How many ports have it, and why others have not; and whether small packets leave straight from there. */
export function bypassText(bypass: NonNullable<LinkStatus['bypass']>): string {
  const { ports, others, why, notStraight } = bypass;
  if (why !== '') return `all through the bridge: ${why}`;
  const shown = others.slice(0, PORTS_SHOWN_MAX).map(({ port, why }) => `${port} ${why}`);
  const more = others.length - shown.length;
  const rest = [...shown, ...(more > 0 ? [`${more} more`] : [])].join(', ');
  const all = ports.length + others.length;
  const past = `${ports.length} of ${counted(all, 'port')} past the bridge${rest === '' ? '' : ` (through it: ${rest})`}`;
  if (notStraight === undefined || ports.length === 0) return past;
  return notStraight === ''
    ? `${past}, small packets straight out`
    : `${past}, small packets not straight out: ${notStraight}`;
}

const DROPS_SHOWN_MAX = 4;

/** What was dropped lately; on egress.delivered, that nothing came back. */
function dropsText({ drops }: LinkStatus): string[] {
  const more = drops.length - DROPS_SHOWN_MAX;
  return [
    ...drops
      .slice(0, DROPS_SHOWN_MAX)
      .map(({ counter, count, cause }) => `  last minute: ${counter} ${count}: ${cause}`),
    ...(more > 0
      ? [`  last minute: ${counted(more, 'more kind')} of drops; see fanway counters`]
      : []),
  ];
}

const REPAIRS_SHOWN_MAX = 3;

function repairsText({ repairs, repaired }: LinkStatus): string[] {
  if (repairs === 0) return [];
  const shown = repaired
    .slice(-REPAIRS_SHOWN_MAX)
    .map(({ what, agoMs }) => `${what}, ${Math.round(agoMs / 1000)} s ago`);
  return [
    `  others took away and fanway put back ${counted(repairs, 'piece')}; last: ${shown.join('; ')}`,
  ];
}

function rateText(packets: number, bits: number): string {
  return `${packets} packets/s, ${bitsText(bits)}`;
}

/** Red where a terminal reads it; without a terminal the capitals must do. */
function alarm(text: string, color: boolean): string {
  return color ? `\u001b[1;31m${text}\u001b[0m` : text;
}

function gossipText(gossip: GossipStatus, color: boolean): string[] {
  const { state, reason, name, id, epoch, label, port, members, keys } = gossip;
  const lines = [`gossip: ${state}${reason === '' ? '' : ` (${reason})`}`];
  if (gossip.plaintext) {
    lines.push(`  ${alarm('PLAINTEXT: whoever reaches the port is a member', color)}`);
  }
  if (state !== 'up') return lines;
  const used = keys.find(({ inUse }) => inUse)?.id;
  lines.push(
    `  ${name}, node ${id}, epoch ${epoch}, cluster ${label}, port ${port}`,
    ...(used === undefined ? [] : [`  key ${used} in use, ${keys.length} accepted`]),
    `  members: ${members.alive} alive, ${members.suspect} suspect, ${members.dead} dead, ${members.left} left; table ${gossip.hash}`,
    ...(gossip.announced.length === 0 ? [] : [`  announces ${shortList(gossip.announced)}`]),
    ...troubleText(gossip).map((line) => `  ${line}`),
    ...gossip.conflicts.map(
      ({ what, subject, winner, loser, advice }) =>
        `  ${alarm('CONFLICT', color)}: ${what} ${subject} is claimed by ${winner.name} (${winner.id}), which has it, and ${loser.name} (${loser.id})${advice === '' ? '' : `; ${advice}`}`,
    ),
  );
  return lines;
}

function processText(process: RouterStatus['processes'][number]): string {
  return [
    `data process ${process.pid}: ${process.alive ? 'alive' : 'not responding'}`,
    counted(process.restarts, 'restart'),
    `heartbeat ${process.heartbeat}`,
    ...priorityText(process.priority),
    ...(process.lastError === '' ? [] : [`last error: ${process.lastError}`]),
    ...(process.confinementGaps.length === 0
      ? []
      : [`less confined than it could be: ${process.confinementGaps.join(', ')}`]),
  ].join(', ');
}

function tableText(table: RouterStatus['table'], color: boolean): string[] {
  const { entries, peers, waiting, refused, refusals, held } = table;
  const missing = waiting + refused;
  if (entries === 0 && missing === 0) return [];
  const full = `${alarm('FULL', color)}: ${missing} more found no room and are taken for not moved`;
  const causes = { share: 'its share is full', table: 'the table is full' };
  return [
    `table: ${counted(entries, 'moved prefix')} on ${counted(peers, 'host')}${missing === 0 ? '' : `; ${full}`}`,
    ...refusals.map(
      ({ owner, name, count, cause }) =>
        `  not taken of ${name === '' ? owner : `${name} (${owner})`}: ${count}, ${causes[cause]}`,
    ),
    ...held.map(({ link, entry }) => `  ${entry} of ${link} moves too often: held for now`),
  ];
}

function priorityText({ wanted, inForce, reason }: PriorityReport): string[] {
  if (inForce === '') return [];
  return [reason === '' ? inForce : `${inForce} (not ${wanted} as wanted: ${reason})`];
}

/** The status as text; `color` marks what is dangerous in red. */
export function statusText(status: RouterStatus, color = false): string {
  const lines = [
    `fanway ${status.version}, pid ${status.pid}, ${status.mode}, up ${Math.floor(status.uptimeMs / 1000)} s`,
    ...status.links.flatMap(linkText),
    ...status.networks.flatMap(networkText),
    ...pathsText(status.paths),
    ...tableText(status.table, color),
    ...(status.gossip === null ? [] : gossipText(status.gossip, color)),
    ...(status.bgp === null ? [] : bgpStatusText(status.bgp)),
    ...status.processes.map(processText),
  ];
  return `${lines.join('\n')}\n`;
}

const build = fields({ version: text, pid: number });

/**
 * What a router said that may be of another build than this command.
 * @throws FanwayError when it is not what this command knows.
 */
export function statusOrOtherBuild(answer: unknown): RouterStatus {
  try {
    return statusCall.answer(answer, '');
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    const { version, pid } = build(answer, '');
    throw new FanwayError(
      'other-build',
      `the router that runs here (version ${version}, pid ${pid}) is of another build than this command (${error.message}): fanway status --json shows all it says; kill -9 ${pid} has it started again as installed now, its fans stay up`,
      { cause: error },
    );
  }
}

export const status: Verb = {
  name: 'status',
  summary: 'health of the router, its links, networks, data processes, gossip and BGP',
  usage: ['status [--json]'],
  options: [['--json', 'the same as JSON']],
  examples: [
    ['fanway status', 'exit code 0 when all is well, 1 when a link, process, gossip or BGP is not'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    noMore(rest, status);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const answer = await callRouter(run, statusCall.path);
    if (flags.has('--json')) printJson(io, answer);
    const now = statusOrOtherBuild(answer);
    if (!flags.has('--json')) io.out(statusText(now, process.stdout.isTTY));
    const well =
      now.links.every((link) => link.state === 'up') &&
      now.networks.every((network) => network.state === 'up') &&
      now.processes.every((process) => process.alive) &&
      now.table.waiting === 0 &&
      (now.gossip === null || (now.gossip.state === 'up' && now.gossip.conflicts.length === 0)) &&
      (now.bgp === null || isBgpWell(now.bgp));
    return well ? ExitCode.Ok : ExitCode.Failed;
  },
};
