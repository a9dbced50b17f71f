/**
 * Which of this host's fans and networks a client of the far end means, and whether it is on it.
 * @module
 */
import { FanwayError } from '../errors.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { contains, formatPrefix, type Prefix } from '../net/prefix.ts';
import { type Fan, fanOf, pairOn } from './fans.ts';
import type { Pair } from './pair.ts';
import type { LinkCommand } from './protocol.ts';

/** A layer-2 network of this host that somebody may measure by. */
export type ListeningNetwork = {
  name: string;
  vni: number;
  underlay: Prefix;
  /** This host (u32) in it. */
  local: number;
  /**
   * Us and the host whose address in the network is `own`; both u32.
   * @throws FanwayError that says what it lacks
   */
  pairWith(own: number): Promise<Pair>;
};

/** The links of this host that somebody may measure by. */
export type ListenLinks = {
  fans: readonly Fan[];
  networks: readonly ListeningNetwork[];
};

type LinkOf<Verb> = Extract<LinkCommand, { verb: Verb }>;

/** Us and a client (u32) on the fan that it named. @throws FanwayError with what is wrong */
export function fanPair(fans: readonly Fan[], { overlay }: LinkOf<'fan'>, remote: number): Pair {
  const fan = fanOf(fans, formatPrefix(overlay));
  if (contains(fan.underlay, remote)) return pairOn(fan, remote);
  const network = formatPrefix(fan.underlay);
  throw new FanwayError('outside', `${formatIpv4(remote)} is not in ${network}`);
}

/** The same on a network. @throws FanwayError */
export async function networkPair(
  networks: ListenLinks['networks'],
  { vni, own }: LinkOf<'network'>,
  remote: number,
): Promise<Pair> {
  const shown = formatIpv4(remote);
  const network = networks.find((one) => one.vni === vni);
  if (network === undefined) throw new FanwayError('no-such-net', `no network ${vni} is up here`);
  const pair = await network.pairWith(own);
  // What the control plane says of it, and nobody else's address.
  if (pair.far.underlay === remote && pair.far.tunnel === own) return pair;
  throw new FanwayError(
    'outside',
    `${formatIpv4(own)} is not at ${shown}, as far as is known here`,
  );
}
