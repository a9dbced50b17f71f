/**
 * The paths to peers as text: what is different about the way there, since when, and who says so.
 * @module
 */
import type { PathStatus } from '../../api/status.ts';
import { counted } from '../verb/quantities.ts';

const PATHS_SHOWN_MAX = 8;

const MTU_FROM_WORDS: Readonly<Record<string, string>> = {
  icmp: 'a router on the way says so',
  route: 'our route there, or IPsec',
  send: 'the kernel refused more',
  member: 'its own MTU, by gossip',
  probe: 'larger echo requests vanish',
};

function agoText(iso: string, nowMs: number): string {
  return `${Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000))} s`;
}

/** What is different about the way to one peer, and since when. */
export function pathText(path: PathStatus, nowMs: number): string {
  const parts: string[] = [];
  if (path.mtu !== 0) {
    const from = MTU_FROM_WORDS[path.mtuFrom] ?? path.mtuFrom;
    parts.push(`MTU ${path.mtu} (${from}) for ${agoText(path.mtuSince, nowMs)}`);
  }
  if (path.segmentation === 'refused') {
    parts.push(
      `udp-segment refused (${path.segmentationError}) for ${agoText(path.segmentationSince, nowMs)}: datagrams go one by one`,
    );
  }
  if (path.trains === 'uneven' || path.trains === 'none') {
    parts.push(
      `trains of datagrams${path.trains === 'uneven' ? ' of one length' : ''} arrive damaged (a card or hypervisor that cuts them, fanway doctor) for ${agoText(path.trainsSince, nowMs)}: ${path.trains === 'uneven' ? 'they end in a shorter one' : 'datagrams go one by one'}, tried again after a day`,
    );
  }
  if (path.portUnreachable > 0) {
    parts.push(
      `${path.portUnreachable} times "port unreachable", the last ${agoText(path.portUnreachableAt, nowMs)} ago`,
    );
  }
  return `path to ${path.peer}: ${parts.join('; ')}`;
}

/** A line for each, the first few of many. */
export function pathsText(paths: readonly PathStatus[]): string[] {
  const nowMs = Date.now();
  const more = paths.length - PATHS_SHOWN_MAX;
  return [
    ...paths.slice(0, PATHS_SHOWN_MAX).map((path) => pathText(path, nowMs)),
    ...(more > 0 ? [`and ${counted(more, 'more path')}: status --json`] : []),
  ];
}
