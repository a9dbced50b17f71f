/**
 * `fanway check`: whether a configuration file is right, without touching anything.
 * @module
 */

import { networkRequestJson } from '../../api/network/requests.ts';
import { exampleConfig } from '../../config/example.ts';
import { readConfigFile } from '../../config/file.ts';
import { formatUnderlay } from '../../config/link/underlays.ts';
import { NETWORK_ROWS, SERVER_IS_HOST } from '../../config/network/rows.ts';
import type { NetworkRequest } from '../../config/network.ts';
import { type Config, parseConfig } from '../../config/parse.ts';
import { type FanRequest, formatOverlays } from '../../config/request.ts';
import { ExitCode, FanwayError, usageError } from '../../errors.ts';
import { formatMac } from '../../net/mac.ts';
import { formatHostAddress } from '../../net/underlay-address.ts';

import { counted } from '../verb/quantities.ts';

import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

/**
 * The configuration in a file.
 * @throws FanwayError (exit code 2) with every problem as `file:line: sentence`.
 */
export function loadConfig(path: string): Config {
  const { config, problems } = parseConfig(readConfigFile(path));
  if (config !== undefined) return config;
  const text = problems.map(({ line, message }) => `${path}:${line}: ${message}`).join('\n');
  throw new FanwayError('config', text, { exitCode: ExitCode.Usage });
}

/** A fan with its addresses as they are written. */
function fanJson(fan: FanRequest): object {
  const { overlay6: _, ...rest } = fan;
  const { nat, further, peerRates } = fan;
  return {
    ...{ ...rest, overlay: formatOverlays(fan) },
    ...{ underlay: formatUnderlay(fan.underlay), further: further?.map(formatUnderlay) },
    nat: nat && { ...nat, peers: nat.peers.map(formatHostAddress) },
    peerRates: peerRates?.map(({ peer, rate }) => ({ peer: formatHostAddress(peer), rate })),
  };
}

/** Lists of addresses and of MACs among the settings of a network, as they are written. */
function listsJson(network: NetworkRequest): object {
  const server = (mac: number): string => (mac === SERVER_IS_HOST ? 'auto' : formatMac(mac));
  return Object.fromEntries(
    Object.entries(NETWORK_ROWS).flatMap(([field, { type }]) => {
      const value: unknown = Reflect.get(network, field);
      if (!Array.isArray(value)) return [];
      if (type === 'addresses') return [[field, value.map(formatHostAddress)]];
      return type === 'macs' ? [[field, value.map(server)]] : [];
    }),
  );
}

/** A network in the same way. */
function networkJson(network: NetworkRequest): object {
  const { outer } = network;
  return {
    ...{ ...networkRequestJson(network), ...listsJson(network) },
    outer: outer === undefined ? undefined : formatHostAddress(outer),
  };
}

/** All that a file describes, with addresses as they are written. */
export function configJson(config: Config): object {
  const { fans, networks, gossip, policies } = config;
  return {
    ...config,
    gossip: gossip && {
      ...gossip,
      bind: gossip.bind === null ? null : formatHostAddress(gossip.bind),
      advertise: gossip.advertise.map(formatHostAddress),
    },
    ...{ fans: fans.map(fanJson), networks: networks.map(networkJson) },
    policies: policies.map(({ labels, ...policy }) => ({
      ...policy,
      labels: labels.map(([mac, names]) => [formatMac(mac), names]),
    })),
  };
}

/** What a file asks for: `2 fans (1 not enabled), 1 network, gossip`; '' when nothing. */
function askedFor({ fans, networks, gossip, bgp }: Config): string {
  const those = (links: readonly { off: boolean }[], what: string): string[] => {
    const off = links.filter((link) => link.off).length;
    const some = counted(links.length, what);
    return links.length === 0 ? [] : [off === 0 ? some : `${some} (${off} not enabled)`];
  };
  return [
    ...those(fans, 'fan'),
    ...those(networks, 'network'),
    ...(gossip === undefined ? [] : ['gossip']),
    ...(bgp === undefined ? [] : ['BGP']),
  ].join(', ');
}

export const check: Verb = {
  name: 'check',
  summary: 'check a configuration file',
  usage: ['check -c FILE', 'check --example'],
  options: [
    ['-c FILE', 'the file'],
    ['--example', 'print an example that names every setting'],
    ['--json', 'what it describes, as JSON'],
  ],
  examples: [
    ['fanway check -c /etc/fanway/fanway.conf', 'all problems at once, with their lines'],
    ['fanway check --example > fanway.conf', 'to begin with'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '-c': 'value',
      '--example': 'switch',
      '--json': 'switch',
    });
    const path = flags.get('-c');
    const [word] = rest;
    if (path === undefined && word !== undefined && !word.startsWith('-')) {
      throw usageError('usage', `name the file with -c: fanway check -c ${word}`);
    }
    noMore(rest, check);
    if (flags.has('--example')) {
      io.out(exampleConfig());
      return ExitCode.Ok;
    }
    if (path === undefined) throw usageError('usage', 'name the file: fanway check -c FILE');
    const config = loadConfig(path);
    const asked =
      askedFor(config) || 'and asks for nothing: no fan, network, gossip or BGP is in it';
    if (!flags.has('--json')) io.out(`${path}: right, ${asked}\n`);
    else printJson(io, configJson(config));
    return ExitCode.Ok;
  },
};
