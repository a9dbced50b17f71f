/**
 * Parts of a slice that are set aside for plugins, which give out single addresses.
 * @module
 */
import { dhcpLeases } from '../../control/host/dhcp.ts';
import { AddressBook, claimBlock, stateDirectoryOf } from '../../control/store/address-book.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { formatPrefix } from '../../net/prefix.ts';
import type { EngineFan } from '../../plugins/fan.ts';
import type { Io } from '../verb/verb.ts';
import { rangeOf } from './engine-words.ts';

/**
 * Sets a part of the slice aside for `owner` where that was asked for (`--range`), or DHCP hands out the rest.
 * Returns the part as text, '' where there is none or it was there before.
 * @throws FanwayError when it is not free
 */
export function claimPart(of: {
  fan: EngineFan;
  run: RunDirectory;
  flags: ReadonlyMap<string, string>;
  io: Io;
  owner: string;
}): string {
  const { fan, run, flags, io, owner } = of;
  const block = rangeOf(flags);
  if (block === undefined && !fan.dhcp) return '';
  const busy = fan.dhcp
    ? dhcpLeases(run, fan.bridge, Date.now()).map(({ address }) => address)
    : [];
  const wish = { owner, busy, shared: fan.dhcp };
  const book = new AddressBook(stateDirectoryOf(io.env), fan.slice);
  return book.change((now) => {
    const had = now.claims.find((claim) => claim.owner === owner);
    if (had !== undefined && block === undefined) return '';
    // Its own containers do not stand in its way.
    const others = { ...now, leases: now.leases.filter((lease) => lease.owner !== owner) };
    const range = claimBlock(others, fan.slice, { ...wish, ...(block !== undefined && { block }) });
    now.claims = others.claims;
    return formatPrefix(range);
  });
}
