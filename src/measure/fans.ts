/**
 * Which two hosts a measurement by a fan is between: from one address of the other host, by the fan's
 * arithmetic, all four.
 * @module
 */
import { FanwayError, usageError } from '../errors.ts';
import { type FanMap, type Ipv4FanMap, peerOf, sliceOf } from '../net/fan.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { contains, formatPrefix } from '../net/prefix.ts';
import type { HostAddresses, MeasuredLink, Pair } from './pair.ts';

/** One fan over IPv4 that runs on this host; addresses are u32. */
export type Fan = Ipv4FanMap & {
  /** Its bridge. */
  name: string;
  encap: string;
  /** Our underlay address. */
  local: number;
};

/** Both addresses of the host with this underlay address (u32): its slice's gateway is in the overlay. */
export function addressesOf(fan: FanMap, underlay: number): HostAddresses {
  return { tunnel: sliceOf(fan, underlay).address + 1, underlay };
}

function linkOf({ name, encap, overlay, underlay }: Fan): MeasuredLink {
  const title = formatPrefix(overlay);
  return { name, title, encap, underlay, device: '', command: { verb: 'fan', overlay } };
}

/** This host and another one (u32) on a fan. */
export function pairOn(fan: Fan, underlay: number): Pair {
  return {
    link: linkOf(fan),
    near: addressesOf(fan, fan.local),
    far: addressesOf(fan, underlay),
  };
}

/**
 * The pair that `host` (u32) means: an underlay address, or any overlay address of a host. The
 * longest prefix wins where several fans have it.
 * @throws FanwayError with what would work.
 */
export function findPair(fans: readonly Fan[], host: number): Pair {
  const shown = formatIpv4(host);
  const [best] = fans
    .flatMap((fan) => [
      ...(contains(fan.overlay, host)
        ? [{ fan, length: fan.overlay.length, underlay: peerOf(fan, host) }]
        : []),
      ...(contains(fan.underlay, host)
        ? [{ fan, length: fan.underlay.length, underlay: host }]
        : []),
    ])
    .sort((a, b) => b.length - a.length);
  if (best === undefined) {
    const list = fans.map(
      (fan) => `${formatPrefix(fan.overlay)} over ${formatPrefix(fan.underlay)}`,
    );
    throw usageError(
      'outside',
      list.length === 0
        ? `${shown} is in no fan of this host, which has none that is up: see fanway status`
        : `${shown} is in no fan of this host, which has ${list.join(' and ')}`,
    );
  }
  const { fan, underlay } = best;
  if (underlay === fan.local) {
    throw usageError('itself', `${shown} is on this host: name another host of the fan`);
  }
  return pairOn(fan, underlay);
}

/** The far end's words about a fan that it cannot measure. @throws FanwayError */
export function fanOf(fans: readonly Fan[], overlay: string): Fan {
  const fan = fans.find((fan) => formatPrefix(fan.overlay) === overlay);
  if (fan === undefined) throw new FanwayError('no-such-fan', `no fan ${overlay} is up here`);
  return fan;
}
