/**
 * NATs between the hosts of a fan as text: who is let be elsewhere and is seen where, and where this host
 * is seen.
 * @module
 */
import type { LinkStatus } from '../../api/status.ts';

type Seen = { peer: string; name: string; seenAt: string; agoMs: number };

function hostText({ peer, name }: Seen): string {
  return name === '' ? peer : `${name} (${peer})`;
}

function agoText(agoMs: number): string {
  return `${Math.round(agoMs / 1000)} s ago`;
}

/** A line for each host; none where no NAT is spoken of. */
export function natText({ nat }: Pick<LinkStatus, 'nat'>): string[] {
  if (nat === undefined) return [];
  const isBehind = nat.keepAliveSeconds > 0;
  return [
    ...nat.peers.map((seen) => {
      const at = seen.seenAt === '' ? 'not heard yet' : `at ${seen.seenAt}, ${agoText(seen.agoMs)}`;
      return `behind a NAT: ${hostText(seen)}, ${at}`;
    }),
    ...(isBehind ? [`behind a NAT itself; keep-alives every ${nat.keepAliveSeconds} s`] : []),
    ...nat.seenBy.map(({ reason, ...seen }) => {
      if (reason !== '') return `  ${hostText(seen)} does not reach this host: ${reason}`;
      if (seen.seenAt === '') return `  ${hostText(seen)}: no answer yet`;
      return `  ${hostText(seen)} sees it at ${seen.seenAt}, ${agoText(seen.agoMs)}`;
    }),
  ];
}

/** Where a member is seen that has one of these addresses; undefined where it is at its own. */
export function seatOf(
  locals: readonly string[],
  links: readonly Pick<LinkStatus, 'nat'>[],
): string | undefined {
  const seen = links
    .flatMap(({ nat }) => nat?.peers ?? [])
    .find(({ peer }) => locals.includes(peer));
  if (seen === undefined || seen.seenAt === '') return undefined;
  return `${seen.seenAt}, ${agoText(seen.agoMs)}`;
}
