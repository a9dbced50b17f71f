/**
 * Which addresses of a slice a plugin may give to single containers.
 * @module
 */
import { type Book, freeRanges } from '../../control/store/address-book.ts';
import type { EngineFan } from '../fan.ts';
import { CniCode, CniError } from './protocol.ts';

/**
 * Where single addresses may come from: with DHCP beside, only from the part set aside for `owner`.
 * @param advice the command that sets it aside
 * @throws CniError where DHCP has everything
 */
export function roomsFor(
  book: Book,
  fan: EngineFan,
  owner: string,
  advice: string,
): { first: number; last: number }[] {
  const room = { first: fan.first, last: fan.last };
  if (!fan.dhcp) {
    const busy = (fan.busy ?? []).map((address) => ({ owner: '', first: address, last: address }));
    return freeRanges({ claims: busy, leases: [], latest: 0 }, room);
  }
  const own = book.claims.filter((claim) => claim.owner === owner);
  if (own.length === 0) {
    throw new CniError(
      CniCode.Config,
      `${fan.bridge} hands out addresses by DHCP: ${advice} sets a part of the slice aside first`,
    );
  }
  return own.map(({ first, last }) => {
    return { first: Math.max(first, room.first), last: Math.min(last, room.last) };
  });
}
