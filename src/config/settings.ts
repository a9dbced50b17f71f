/**
 * From settings by name to a {@link FanRequest}, with the rules that no single value can show.
 * @module
 */
import { ENCAPS } from '../encap/encap.ts';
import { NO_OVERLAY } from '../net/fan.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import { natOf, natProblems } from './link/nat.ts';
import { rateOf } from './link/rate.ts';
import {
  furtherOf,
  type UnderlaySelector,
  underlayFamily,
  underlaysProblems,
} from './link/underlays.ts';
import { type Datapath, type FanEncap, type FanRequest, fanRequest } from './request.ts';
import type { SettingValue } from './schema.ts';
import { isPrefix6 } from './setting.ts';

/** The overlay of a request, which is of one family. */
function overlaysOf(overlay: Prefix | Prefix6): Pick<FanRequest, 'overlay' | 'overlay6'> {
  return isPrefix6(overlay) ? { overlay: NO_OVERLAY, overlay6: overlay } : { overlay };
}

function datapathOf(datapath: Datapath = 'userspace'): Pick<FanRequest, 'datapath'> {
  return datapath === 'userspace' ? {} : { datapath };
}

/** Values by setting key, as {@link parseValue} returned them. */
export type Values = Map<string, SettingValue>;

/**
 * What the values say together. Problems name the key they are about, so that a file can give
 * their line; a request is returned only when there are none.
 */
export function requestOf(values: Values): {
  request: FanRequest | undefined;
  problems: { key: string; message: string }[];
} {
  const problems: { key: string; message: string }[] = [];
  const encap = (values.get('encap') ?? 'vxlan') as FanEncap;
  const compat = (values.get('compat') ?? 'none') as FanRequest['compat'];
  for (const key of ['overlay', 'underlay']) {
    if (!values.has(key)) problems.push({ key, message: `${key} is missing` });
  }
  if (!ENCAPS[encap].hasVni) {
    for (const key of ['vni', 'compat']) {
      if (values.has(key) && values.get(key) !== 'none') {
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
  const isSix = problems.length === 0 && isPrefix6(values.get('overlay') as Prefix | Prefix6);
  if (isSix && values.get('masquerade') === true) {
    const message = 'masquerade is for IPv4: what leaves an IPv6 overlay keeps its address';
    problems.push({ key: 'masquerade', message });
  }
  const device = values.get('device') as string | undefined;
  if (device !== undefined) {
    for (const key of ['dhcp', 'masquerade', 'bridge']) {
      if (values.get(key) === true || typeof values.get(key) === 'string') {
        problems.push({ key, message: `${key} is root's to make: it does not go with device` });
      }
    }
  }
  const underlays = (values.get('underlay') ?? []) as readonly UnderlaySelector[];
  problems.push(...underlaysProblems(values, underlays, encap));
  const isIpv6 = underlays.some((one) => underlayFamily(one) === 6);
  const { hasVni } = ENCAPS[encap];
  problems.push(...natProblems(values, { hasVni, isIpv6, underlays: underlays.length }));
  const [underlay] = underlays;
  if (problems.length > 0 || underlay === undefined) return { request: undefined, problems };
  return {
    request: fanRequest({
      ...(device !== undefined && { device }),
      ...overlaysOf(values.get('overlay') as Prefix | Prefix6),
      underlay,
      ...furtherOf(values, underlays),
      encap,
      compat,
      port: (values.get('port') as number | undefined) ?? null,
      vni: (values.get('vni') as number | undefined) ?? null,
      mtu: (values.get('mtu') as number | undefined) ?? null,
      dhcp: values.get('dhcp') === true,
      hostReserve: (values.get('host-reserve') as number | undefined) ?? 1,
      bridge: (values.get('bridge') as string | undefined) ?? null,
      offload: (values.get('offload') as FanRequest['offload'] | undefined) ?? 'auto',
      dscp: (values.get('dscp') as FanRequest['dscp'] | undefined) ?? 'pipe',
      sourcePort: (values.get('source-port') as FanRequest['sourcePort'] | undefined) ?? 'pool',
      ...natOf(values),
      ...rateOf(values),
      ...datapathOf(values.get('datapath') as Datapath | undefined),
      // IPv6 has addresses enough: what leaves an IPv6 overlay keeps its own.
      masquerade: !isSix && device === undefined && values.get('masquerade') !== false,
      off: values.get('enabled') === false,
      force: values.get('force') === true,
    }),
    problems,
  };
}
