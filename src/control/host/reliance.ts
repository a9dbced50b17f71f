/**
 * Whether anybody else may have come to rely on a setting of the host that a fan made: nothing
 * records who does, so it is taken back only where nobody can have.
 * @module
 */
import type { Host } from './host.ts';
import { isMarked, portsBeside, type SnapshotLink } from './snapshot.ts';

/** Names told in one sentence. */
const SHOWN_MAX = 4;
/** Before the name of a table, as an interface's name has no blank. */
const TABLE = 'table ';

/** What there is on a host between which somebody may forward: interfaces in use, packet filters. */
export async function forwardersOf(host: Host): Promise<string[]> {
  const names = (await host.links()).filter(isOther).map(({ name }) => name);
  return [...names, ...(await host.otherTables()).map((table) => `${TABLE}${table}`)];
}

/**
 * Who may have come to rely on forwarding, as words for a sentence; '' when it is sure that nobody
 * has. What was there before us, while it was off, did without it: only what has come since counts
 * (a card, a bridge of an engine's, a VPN, rules that translate), as it found the setting as it
 * should be. Where nobody noted what was there, one interface is taken for all that was.
 * @param before what {@link forwardersOf} said when we switched it on
 */
export async function whoMayForward(host: Host, before?: readonly string[]): Promise<string> {
  const links = await host.links();
  const kept = links.filter((link) => isMarked(link) && portsBeside(link, links).length > 0);
  if (kept.length > 0) return `containers on ${list(kept.map(({ name }) => name))}`;
  const now = await forwardersOf(host);
  const known = before ?? now.filter((name) => !name.startsWith(TABLE)).slice(0, 1);
  const come = now.filter((name) => !known.includes(name));
  const cards = come.filter((name) => !name.startsWith(TABLE));
  if (cards.length > 0) return `whoever uses ${list(cards)}`;
  const tables = come.map((name) => name.slice(TABLE.length));
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
