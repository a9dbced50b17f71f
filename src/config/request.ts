/**
 * One fan as somebody asked for it, before it meets a host: what `fanway up`, a line of
 * /etc/network/fan and a `[fan]` section of a configuration file all become.
 * @module
 */
import { ENCAPS } from '../encap/encap.ts';
import { bridgeNameOf, deviceNameOf, hasIpv4 } from '../net/fan.ts';
import { bridgeNameOf6 } from '../net/fan6.ts';
import { equals, formatPrefix, type Prefix } from '../net/prefix.ts';
import { equals6, formatPrefix6, type Prefix6 } from '../net/prefix6.ts';
import { FAN_ROWS } from './link/fan-rows.ts';
import type { Nat } from './link/nat.ts';
import { formatUnderlays, type UnderlaySelector, type UnderlaysRequest } from './link/underlays.ts';
import { type FieldsOf, initialFields } from './row/row.ts';

export type FanRequest = FieldsOf<typeof FAN_ROWS> &
  UnderlaysRequest & {
    /** `NO_OVERLAY` where the fan has IPv6 alone. */
    overlay: Prefix;
    /** Its IPv6 overlay, alone or beside the other one. */
    overlay6?: Prefix6;
    underlay: UnderlaySelector;
    /** Absent = all hosts are at their own addresses. */
    nat?: Nat;
    /** Brought up from /etc/network/fan or marked `auto`: `down -a` takes it down again. */
    auto: boolean;
  };

/** A request with every default filled in. */
export function fanRequest(
  required: Pick<FanRequest, 'overlay' | 'underlay'> & Partial<FanRequest>,
): FanRequest {
  return { ...initialFields(FAN_ROWS), auto: false, ...required };
}

/** Its UDP destination port, 0 where it has none. */
export function portOf({ encap, port, compat }: FanRequest): number {
  const { lxdPort, defaultPort } = ENCAPS[encap];
  return port ?? (compat === 'lxd' ? lxdPort : defaultPort);
}

/** The overlays of a fan: `250.0.0.0/8`, `fd00:fa::/32`, or both. */
export function formatOverlays({
  overlay,
  overlay6,
}: Pick<FanRequest, 'overlay' | 'overlay6'>): string {
  return [
    ...(hasIpv4(overlay) ? [formatPrefix(overlay)] : []),
    ...(overlay6 === undefined ? [] : [formatPrefix6(overlay6)]),
  ].join(' and ');
}

/** What a fan is called while nobody knows its bridge: by its overlay, `fan-250`. */
export function overlayName({
  overlay,
  overlay6,
}: Pick<FanRequest, 'overlay' | 'overlay6'>): string {
  if (!hasIpv4(overlay) && overlay6 !== undefined) return bridgeNameOf6(overlay6);
  // A longer one may make a name that Linux does not take.
  return overlay.length <= 24 ? bridgeNameOf(overlay) : deviceNameOf(overlay);
}

/** Whether two requests are for the same fan: of the same IPv4 overlay, or the same IPv6 one alone. */
export function isSameFan(a: FanRequest, b: FanRequest): boolean {
  if (hasIpv4(a.overlay) || hasIpv4(b.overlay)) return equals(a.overlay, b.overlay);
  const [one, other] = [a.overlay6, b.overlay6];
  return one !== undefined && other !== undefined && equals6(one, other);
}

/** A request for IPv6 alone comes after all others: the bridge that it names may be one of theirs. */
export function ipv4First<T extends { request: FanRequest }>(fans: readonly T[]): T[] {
  const isSix = ({ request }: T): boolean => !hasIpv4(request.overlay);
  return [...fans.filter((fan) => !isSix(fan)), ...fans.filter(isSix)];
}

/**
 * Makes one fan of two that have one bridge, one underlay and one encapsulation: IPv4 and IPv6. They have one
 * data path, which either may say.
 */
export function joinFans(requests: readonly FanRequest[]): FanRequest[] {
  const joined = requests.filter(({ overlay }) => hasIpv4(overlay));
  for (const six of requests.filter(({ overlay }) => !hasIpv4(overlay))) {
    const { overlay6, bridge, encap, datapath } = six;
    const at = joined.findIndex(
      (fan) =>
        bridge !== null &&
        hasIpv4(fan.overlay) &&
        fan.overlay6 === undefined &&
        fan.bridge === bridge &&
        fan.encap === encap &&
        (fan.datapath ?? datapath) === (datapath ?? fan.datapath) &&
        formatUnderlays(fan) === formatUnderlays(six),
    );
    const fan = joined[at];
    if (fan === undefined || overlay6 === undefined) joined.push(six);
    else joined[at] = { ...(datapath !== undefined && { datapath }), ...fan, overlay6 };
  }
  return joined;
}
