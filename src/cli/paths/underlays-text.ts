/**
 * The underlays of a link as text: whom packets reach by each, how long it takes, and what is lost.
 * @module
 */
import type { LinkUnderlay, LinkUnderlays, PeerWay } from '../../api/status.ts';
import { counted, timeText } from '../verb/quantities.ts';

const PEERS_SHOWN_MAX = 4;
/** Less of what was asked without an answer is not worth a word, per cent. */
const LOST_SHOWN_PERCENT = 1;
const CAUSES: Readonly<Record<PeerWay['cause'], string>> = {
  '': '',
  silent: 'no answers',
  carrier: 'no carrier here',
  unreachable: 'no route',
  withdrawn: 'it has no address there',
};

/** How others find this host on an underlay, where that is worth a word. */
const FOUND: Readonly<Record<LinkUnderlay['found'], readonly string[]>> = {
  arithmetic: [],
  gossip: ['members alone find this host there'],
  nobody: ['nobody finds this host there without gossip: fanway join'],
};

/** A line for how packets choose, and one or more for each underlay; none where there is one. */
export function underlaysText({
  underlays,
  underlayMode,
  xmitHashPolicy,
}: LinkUnderlays): string[] {
  if (underlays === undefined) return [];
  const policy = xmitHashPolicy === undefined ? '' : ` by ${xmitHashPolicy}`;
  const reorders = underlayMode === 'balance-rr' ? ' (which reorders packets)' : '';
  return [`underlays: ${underlayMode}${policy}${reorders}`, ...underlays.flatMap(underlayText)];
}

function underlayText({ device, address, carrier, mtu, found, peers }: LinkUnderlay): string[] {
  const used = peers.filter((peer) => peer.used);
  const facts = [
    ...(carrier ? [] : ['no carrier']),
    peers.length === 0 ? 'no packets yet' : `${used.length} of ${counted(peers.length, 'host')}`,
    ...delaysText(used),
    ...mtusText(mtu, used),
    ...FOUND[found],
  ];
  const lost = peers.filter(({ state }) => state === 'lost' || state === 'rising');
  const silent = peers.filter(({ state }) => state === 'untried').map(({ peer }) => peer);
  const more = lost.length - PEERS_SHOWN_MAX;
  return [
    `  ${device} ${address}: ${facts.join(', ')}`,
    ...lost.slice(0, PEERS_SHOWN_MAX).map(lostText),
    ...(more > 0 ? [`    and ${more} more are not reached: status --json`] : []),
    ...(silent.length > 0 ? [`    not there, as far as is known: ${namesText(silent)}`] : []),
  ];
}

/** The smallest MTU of the ways there, where it is less than the device's. */
function mtusText(mtu: number, peers: readonly PeerWay[]): string[] {
  const least = Math.min(...peers.map((peer) => peer.mtu).filter((bytes) => bytes > 0));
  if (mtu === 0) return [];
  return [least < mtu ? `MTU ${least} of ${mtu}` : `MTU ${mtu}`];
}

function namesText(names: readonly string[]): string {
  const more = names.length - PEERS_SHOWN_MAX;
  return `${names.slice(0, PEERS_SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Round trips from the shortest to the longest, and the worst loss. */
function delaysText(peers: readonly PeerWay[]): string[] {
  const delays = peers.flatMap(({ delayMs }) => (delayMs === null ? [] : [delayMs]));
  if (delays.length === 0) return [];
  const [least, most] = [Math.min(...delays), Math.max(...delays)];
  const lost = Math.max(...peers.map(({ lostPercent }) => lostPercent));
  return [
    least === most ? timeText(least) : `${timeText(least)} to ${timeText(most)}`,
    ...(lost >= LOST_SHOWN_PERCENT ? [`${lost.toFixed(0)} % of questions lost`] : []),
  ];
}

function lostText({ peer, address, state, cause, forMs, losses }: PeerWay): string {
  const how = state === 'rising' ? 'answers again, and is waited for' : CAUSES[cause];
  const times = losses > 1 ? `, lost ${losses} times` : '';
  const at = address === '' ? '' : ` (${address})`;
  return `    ${peer}${at}: ${how} for ${Math.round(forMs / 1000)} s${times}`;
}
