/**
 * Who has an address of a network, in words.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { Best, EntryId } from '../../rib/entry.ts';

/** The host where an address is that another MAC claims. @param best what counts for an entry */
export function holderOf(
  best: (id: EntryId) => Best | undefined,
  link: string,
  address: UnderlayAddress,
): string {
  const mac = best({ link, kind: 'mac+ip', address })?.mac;
  const at = mac === undefined ? undefined : best({ link, kind: 'mac', mac });
  const isHere = at === undefined || at.source === 'local';
  return isHere ? 'another MAC here' : formatHostAddress(at.peer);
}
