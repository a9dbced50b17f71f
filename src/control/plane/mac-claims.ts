/**
 * MACs between control and its data processes: those that somebody claims from outside, and those
 * that have left this host.
 * @module
 */
import type { LinkMac } from '../../shm/mac-ring.ts';

/** A MAC behind the ports of a link, as a 48-bit number. */
export type MacClaim = { name: string; mac: number };

type Process = { takeClaims(): LinkMac[]; forgetMac(mac: LinkMac): void };
type Links = ReadonlyMap<string, { id: number }>;

const TWO_32 = 0x1_0000_0000;

/** What the processes tell of these links since the last call. */
export function takeClaims(processes: readonly Process[], links: Links): MacClaim[] {
  const names = new Map([...links].map(([name, { id }]) => [id, name]));
  return processes
    .flatMap((process) => process.takeClaims())
    .flatMap(({ link, high, low }) => {
      const name = names.get(link);
      return name === undefined ? [] : [{ name, mac: high * TWO_32 + low }];
    });
}

/** Tells every process that a MAC is not behind the link's own ports any more. */
export function forgetMac(processes: readonly Process[], links: Links, claim: MacClaim): void {
  const link = links.get(claim.name)?.id;
  if (link === undefined) return;
  const mac = { link, high: Math.floor(claim.mac / TWO_32), low: claim.mac >>> 0 };
  for (const process of processes) process.forgetMac(mac);
}
