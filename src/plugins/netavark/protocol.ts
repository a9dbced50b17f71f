/**
 * The words of netavark's plugins (containers/netavark plugin-API.md, API 1.0.0): what podman and netavark
 * give one on standard input, and what they get back.
 * @module
 */
import { usageError } from '../../errors.ts';
import { parseIpv4 } from '../../net/ipv4.ts';

export const API_VERSION = '1.0.0';
export const COMMANDS = ['create', 'setup', 'teardown', 'info'] as const;
type Command = (typeof COMMANDS)[number];

/** The options of `podman network create` that have a meaning here. */
const OPTIONS = ['bridge'] as const;
const BRIDGE = /^[^\s/:]{1,15}$/;
const INTERFACE = /^(?!\.{1,2}$)[^\s/:]{1,15}$/;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,255}$/;
const INPUT_BYTES_MAX = 1 << 20;

/** One container's part in one network. */
export type Attached = {
  network: string;
  container: string;
  ifname: string;
  /** The bridge of the fan or layer-2 network; '' = the only fan. */
  bridge: string;
  /** Whether the container's default route goes by it. */
  isDefaultGateway: boolean;
  /** u32; undefined = any. */
  address: number | undefined;
};

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function named(value: unknown, what: string, pattern: RegExp): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw usageError('usage', `${what} is ${JSON.stringify(value) ?? 'missing'}, which cannot be`);
}

/** The command that was asked for. @throws FanwayError */
export function commandOf(words: readonly string[]): Command {
  const command = COMMANDS.find((one) => one === words[0]);
  if (command !== undefined) return command;
  throw usageError(
    'usage',
    `${JSON.stringify(words[0] ?? '')} is no command of a netavark plugin: podman runs this program, with ${COMMANDS.join(', ')}; fanway podman enable --plugin puts it where podman looks`,
  );
}

/** The JSON object on standard input. @throws FanwayError */
export function parseInput(text: string): object {
  if (text.length > INPUT_BYTES_MAX)
    throw usageError('usage', 'what came on standard input is too large');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw usageError('usage', 'what came on standard input is no JSON');
  }
  if (typeof value === 'object' && value !== null) return value;
  throw usageError('usage', 'what came on standard input is no object');
}

/** The bridge that a network's options name, '' for the only fan. @throws FanwayError for other options */
export function bridgeOf(network: object): string {
  const options = field(network, 'options');
  const names = typeof options === 'object' && options !== null ? Object.keys(options) : [];
  const strange = names.find((name) => !OPTIONS.some((known) => known === name));
  if (strange !== undefined) {
    throw usageError(
      'usage',
      `the option ${strange} means nothing here; ${OPTIONS.join(', ')} does`,
    );
  }
  const bridge = field(options, 'bridge');
  return bridge === undefined ? '' : named(bridge, 'the option bridge', BRIDGE);
}

/**
 * A network as podman is to keep it: what it asked for, on `bridge`. Addresses are ours to give, so that podman
 * does not give the same ones.
 * @throws FanwayError for what cannot be
 */
export function createdNetwork(network: object, bridge: string): object {
  const subnets = field(network, 'subnets');
  if (Array.isArray(subnets) && subnets.length > 0) {
    throw usageError(
      'usage',
      'a subnet is not chosen here: the slice of the fan is it; leave --subnet out',
    );
  }
  if (field(network, 'ipv6_enabled') === true) {
    throw usageError(
      'usage',
      'addresses of IPv6 are announced on the fan by itself: leave --ipv6 out',
    );
  }
  return {
    ...network,
    ...{ network_interface: bridge, options: { bridge } },
    ...{ dns_enabled: false, ipam_options: { driver: 'none' } },
  };
}

/** What `setup` and `teardown` are given. @throws FanwayError for what is missing or cannot be */
export function parseAttached(input: object): Attached {
  const network = field(input, 'network');
  const how = field(input, 'network_options');
  if (typeof network !== 'object' || network === null) {
    throw usageError('usage', 'there is no network in what came on standard input');
  }
  const statics = field(how, 'static_ips');
  const wanted = Array.isArray(statics) ? (statics[0] as unknown) : undefined;
  return {
    network: named(field(network, 'name'), "the network's name", NAME),
    container: named(field(input, 'container_id'), 'container_id', NAME),
    ifname: named(field(how, 'interface_name'), 'interface_name', INTERFACE),
    bridge: bridgeOf(network),
    isDefaultGateway: field(network, 'internal') !== true,
    address: typeof wanted === 'string' ? parseIpv4(wanted) : undefined,
  };
}

/** @throws FanwayError where ports are to be published, which only netavark's own networks do */
export function refusePorts(input: object): void {
  const ports = field(input, 'port_mappings');
  if (!Array.isArray(ports) || ports.length === 0) return;
  throw usageError(
    'usage',
    'ports (-p) are not published on this network: containers of all hosts reach this one at its own address; fanway podman enable without --plugin makes a network that publishes them',
  );
}
