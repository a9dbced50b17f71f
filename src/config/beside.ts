/**
 * IPv6 fans that share the bridge of an IPv4 one.
 * @module
 */
import { hasIpv4 } from '../net/fan.ts';
import { type FanRequest, formatUnderlay } from './request.ts';

/** A request for IPv6 alone comes after all others: the bridge that it names may be one of theirs. */
export function ipv4First<T extends { request: FanRequest }>(fans: readonly T[]): T[] {
  const isSix = ({ request }: T): boolean => !hasIpv4(request.overlay);
  return [...fans.filter((fan) => !isSix(fan)), ...fans.filter(isSix)];
}

/** Makes one fan of two that have one bridge, one underlay and one encapsulation: IPv4 and IPv6. */
export function joinFans(requests: readonly FanRequest[]): FanRequest[] {
  const joined = requests.filter(({ overlay }) => hasIpv4(overlay));
  for (const six of requests.filter(({ overlay }) => !hasIpv4(overlay))) {
    const { overlay6, bridge, encap } = six;
    const at = joined.findIndex(
      (fan) =>
        bridge !== null &&
        hasIpv4(fan.overlay) &&
        fan.overlay6 === undefined &&
        fan.bridge === bridge &&
        fan.encap === encap &&
        formatUnderlay(fan.underlay) === formatUnderlay(six.underlay),
    );
    const fan = joined[at];
    if (fan === undefined || overlay6 === undefined) joined.push(six);
    else joined[at] = { ...fan, overlay6 };
  }
  return joined;
}
