/**
 * Whether anybody else may have come to rely on a setting of the host that a fan made: nothing
 * records who does, so it is taken back only where nobody can.
 * @module
 */
import type { Host } from './host.ts';
import { isMarked, portsBeside, type SnapshotLink } from './snapshot.ts';

/** Names told in one sentence. */
const SHOWN_MAX = 4;

/**
 * Who may forward packets on this host besides a fan, as words for a sentence; '' when it is sure
 * that nobody does. With one interface and no packet filter there is nothing to forward between;
 * whatever more there is (a card, a bridge of an engine's, a VPN, rules that translate) may have been
 * set up since, by somebody who found the setting as it should be.
 */
export async function whoMayForward(host: Host): Promise<string> {
  const links = await host.links();
  const kept = links.filter((link) => isMarked(link) && portsBeside(link, links).length > 0);
  if (kept.length > 0) return `containers on ${list(kept.map(({ name }) => name))}`;
  const others = links.filter((link) => isOther(link));
  if (others.length > 1) return `whoever uses ${list(others.map(({ name }) => name))}`;
  const tables = await host.otherTables();
  return tables.length > 0 ? `whoever made the packet filter's ${list(tables)}` : '';
}

/** An interface in use that is neither ours nor the loopback. */
function isOther(link: SnapshotLink): boolean {
  return link.up && link.name !== 'lo' && !isMarked(link);
}

function list(names: readonly string[]): string {
  const more = names.length - SHOWN_MAX;
  return `${names.slice(0, SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
