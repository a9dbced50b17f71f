/**
 * Which claim to an entry counts. In order:
 *
 * 1. `static` before all others: somebody wrote it down.
 * 2. What was learned from frames after everything that somebody announced, and what was only kept over a
 *    restart after that.
 * 3. Of MACs and their addresses one that is sticky, then the higher sequence: the later of two moves,
 *    whoever tells it (RFC 7432 §15; gossip counts in the same way), then the lower tunnel endpoint.
 * 4. The order of {@link CLAIM_SOURCES}: gossip hears of a move in a moment and from the host itself,
 *    BGP by way of others.
 *
 * One source has one voice for each entry; members of gossip or neighbours of BGP that disagree have
 * been judged there. So two claims never tie, and equal knowledge gives equal answers.
 * @module
 */
import { compareHosts } from '../net/underlay-address.ts';
import { type Best, CLAIM_SOURCES, type ClaimSource, type EntryId } from './entry.ts';

function isMobile(kind: EntryId['kind']): boolean {
  return kind === 'mac' || kind === 'mac+ip';
}

function orderOf(source: ClaimSource): number {
  return CLAIM_SOURCES.indexOf(source);
}

/** How much less a source counts than those who announce. */
function doubtOf(source: ClaimSource): number {
  return source === 'kept' ? 2 : source === 'learned' ? 1 : 0;
}

/** Below 0 when `a` is the better claim to an entry of `kind`. */
export function compareBest(kind: EntryId['kind'], a: Best, b: Best): number {
  const isWritten = Number(b.source === 'static') - Number(a.source === 'static');
  if (isWritten !== 0) return isWritten;
  // Nobody moves by being overheard, or remembered.
  const doubt = doubtOf(a.source) - doubtOf(b.source);
  if (doubt !== 0) return doubt;
  if (isMobile(kind)) {
    const isSticky = Number(b.isSticky === true) - Number(a.isSticky === true);
    if (isSticky !== 0) return isSticky;
    if (a.sequence !== b.sequence) return b.sequence - a.sequence;
    if (a.peer !== b.peer) return compareHosts(a.peer, b.peer);
  }
  return orderOf(a.source) - orderOf(b.source);
}

/** The best of them, undefined of none. */
export function bestOf(kind: EntryId['kind'], claims: readonly Best[]): Best | undefined {
  let best: Best | undefined;
  for (const claim of claims) {
    if (best === undefined || compareBest(kind, claim, best) < 0) best = claim;
  }
  return best;
}
