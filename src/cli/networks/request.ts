/**
 * The words of `net add` as a request.
 * @module
 */
import type { NetworkRequestJson } from '../../api/network/requests.ts';
import { type NetworkRequest, networkRequestOf } from '../../config/network.ts';
import { formatUnderlay } from '../../config/request.ts';
import { findSetting, parseValue } from '../../config/schema.ts';
import { ValueError } from '../../config/setting.ts';
import { usageError } from '../../errors.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { formatHostPrefix } from '../../net/underlay-address.ts';

/** Flags of `net add` and the setting that each is. */
export const ADD_FLAGS: Readonly<Record<string, string>> = {
  '--vni': 'vni',
  '--bridge': 'bridge',
  '--bum': 'bum',
  '--service-node': 'service-nodes',
  '--mtu': 'mtu',
  '--address': 'address',
  '--ipam': 'ipam',
  '--outer': 'outer',
  '--underlay': 'underlay',
  '--underlay-mode': 'underlay-mode',
  '--xmit-hash-policy': 'xmit-hash-policy',
  '--port': 'port',
  '--guard': 'guard',
  '--peer': 'peers',
  '--dhcp-server': 'dhcp-server',
  '--router': 'router',
  '--offload': 'offload',
  '--rate': 'rate',
  '--flow-keys': 'flow-keys',
  '--peer-rate': 'peer-rate',
};

/** The request of `net add`. @throws FanwayError (exit code 2) with every problem. */
export function requestOfWords(name: string, flags: ReadonlyMap<string, string>): NetworkRequest {
  const problems: string[] = [];
  const values = new Map<string, unknown>();
  const assign = (key: string, text: string): void => {
    const setting = findSetting('network', key);
    if (setting === undefined) return;
    try {
      values.set(key, parseValue(setting, text));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push(error.message);
    }
  };
  assign('name', name);
  for (const [flag, key] of Object.entries(ADD_FLAGS)) {
    const text = flags.get(flag);
    if (text !== undefined) assign(key, text);
  }
  if (flags.has('--replicator')) values.set('replicator', true);
  const { request, problems: more } = networkRequestOf(values);
  // A value that was wrong is not missing as well.
  if (problems.length === 0) problems.push(...more.map(({ message }) => message));
  if (request === undefined || problems.length > 0) {
    throw usageError('usage', [...new Set(problems)].join('\n'));
  }
  return request;
}

/** A request as it travels. */
export function networkRequestJson(request: NetworkRequest): NetworkRequestJson {
  const { underlay, further, addresses, ipam } = request;
  return {
    ...request,
    underlay: underlay === null ? null : formatUnderlay(underlay),
    further: further?.map(formatUnderlay),
    addresses: addresses?.map(formatHostPrefix),
    ipam: ipam && formatPrefix(ipam),
  };
}
