/**
 * From settings by name to a {@link FanRequest}, with the rules that no single value can show.
 * @module
 */
import { ENCAPS } from '../encap/encap.ts';
import { NO_OVERLAY } from '../net/fan.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import { FAN_ROWS } from './link/fan-rows.ts';
import { impossibleFan } from './link/impossible.ts';
import { natOf, natProblems } from './link/nat.ts';
import { isPrefix6 } from './link/sides.ts';
import { furtherOf, underlayFamily, underlaysProblems } from './link/underlays.ts';
import { type FanRequest, fanRequest } from './request.ts';
import { fieldsOfValues, givenOf } from './row/row.ts';
import type { SettingValue } from './schema.ts';

/** The overlay of a request, which is of one family. */
export function overlaysOf(overlay: Prefix | Prefix6): Pick<FanRequest, 'overlay' | 'overlay6'> {
  return isPrefix6(overlay) ? { overlay: NO_OVERLAY, overlay6: overlay } : { overlay };
}

/** Values by setting key, as {@link parseValue} returned them. */
export type Values = Map<string, SettingValue>;

type Problem = { key: string; message: string };

/** What does not go with how packets travel. */
function encapProblems(values: Values): Problem[] {
  const { encap } = fieldsOfValues(FAN_ROWS, values);
  const problems: Problem[] = [];
  if (!ENCAPS[encap].hasVni) {
    for (const key of ['vni', 'compat', 'derived-macs']) {
      const value = values.get(key);
      if (values.has(key) && value !== 'none' && value !== false) {
        problems.push({ key, message: `${key} belongs to encap vxlan, and this one is ${encap}` });
      }
    }
  }
  if (!ENCAPS[encap].udp && values.has('port')) {
    problems.push({
      key: 'port',
      message: `${encap} has no ports: leave port out, or use encap fou`,
    });
  }
  return problems;
}

/** What is root's to make where the device is. */
function deviceProblems(values: Values): Problem[] {
  return ['dhcp', 'masquerade', 'bridge']
    .filter((key) => values.get(key) === true || typeof values.get(key) === 'string')
    .map((key) => {
      return { key, message: `${key} is root's to make: it does not go with device` };
    });
}

/**
 * What the values say together. Problems name the key they are about, so that a file can give
 * their line; a request is returned only when there are none.
 */
export function requestOf(values: Values): {
  request: FanRequest | undefined;
  problems: Problem[];
} {
  const problems: Problem[] = [];
  const fields = fieldsOfValues(FAN_ROWS, values);
  const { encap, device } = fields;
  const overlay = givenOf(FAN_ROWS.overlay, values);
  const underlays = givenOf(FAN_ROWS.underlay, values) ?? [];
  const [underlay] = underlays;
  for (const key of ['overlay', 'underlay']) {
    if (!values.has(key)) problems.push({ key, message: `${key} is missing` });
  }
  problems.push(...encapProblems(values));
  const isSix = overlay !== undefined && isPrefix6(overlay);
  if (problems.length === 0 && isSix && values.get('masquerade') === true) {
    const message = 'masquerade is for IPv4: what leaves an IPv6 overlay keeps its address';
    problems.push({ key: 'masquerade', message });
  }
  if (device !== undefined) problems.push(...deviceProblems(values));
  problems.push(...underlaysProblems(values, underlays, encap));
  const isIpv6 = underlays.some((one) => underlayFamily(one) === 6);
  const { hasVni } = ENCAPS[encap];
  problems.push(...natProblems(values, { hasVni, isIpv6, underlays: underlays.length }));
  if (problems.length > 0 || overlay === undefined || underlay === undefined) {
    return { request: undefined, problems };
  }
  const request = fanRequest({
    ...fields,
    ...overlaysOf(overlay),
    underlay,
    ...furtherOf(underlays),
    ...natOf(values),
    // IPv6 has addresses enough: what leaves an IPv6 overlay keeps its own.
    masquerade: !isSix && device === undefined && fields.masquerade,
  });
  const impossible = impossibleFan(request);
  return { request: impossible.length === 0 ? request : undefined, problems: impossible };
}
