/**
 * One layer-2 network as somebody asked for it: what `fanway net add` and a `[network]` section of a
 * configuration file become.
 * @module
 */
import { VXLAN } from '../encap/encap.ts';
import { AddressError } from '../net/address-error.ts';
import { INTERFACE_NAME_CHARS_MAX } from '../net/fan.ts';
import { isGroupMac, parseMac } from '../net/mac.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import {
  isLinkLocal,
  isMartianHost,
  parseHostPrefix,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../net/underlay-address.ts';
import { type RateRequest, rateOf } from './link/rate.ts';
import {
  furtherOf,
  type UnderlaySelector,
  type UnderlaysRequest,
  underlaysProblems,
} from './link/underlays.ts';
import { BUM_MODES, type BumModeName, GUARD_MODES, type GuardName } from './network/modes.ts';
import { MTU_BYTES_MAX, MTU_BYTES_MIN } from './request.ts';
import {
  isPrefix6,
  listOf,
  quote,
  rateSettings,
  type Setting,
  setting,
  underlaySettings,
  ValueError,
} from './setting.ts';

/** RFC 7348 §5: 24 bits; 0 is left to those who mean "any". */
export const NETWORK_VNI_MAX = 0xff_ffff;
/** Service nodes of a network, the preferred one first. */
export const SERVICE_NODES_MAX = 8;
/** Addresses of this host in one network. */
export const HOST_ADDRESSES_MAX = 16;
/** Hosts without a control plane that are named. */
export const PEERS_MAX = 64;
/** Servers of one kind that a host declares in a network. */
export const SERVERS_MAX = 8;
/** In place of a server's MAC: this host itself, by the MAC of the bridge. */
export const SERVER_IS_HOST = 0;
const BRIDGE_PREFIX = 'br-';

export type NetworkRequest = RateRequest &
  UnderlaysRequest & {
    /** What people call it; unique on a host. */
    network: string;
    vni: number;
    /** Its bridge, which is also the name of the link. */
    bridge: string;
    /** Where this host is; null = where its fans are, else where its default route leads. */
    underlay: UnderlaySelector | null;
    /** UDP destination port; null = VXLAN's own. */
    port: number | null;
    /** Bytes of an inner packet; null = from the underlay's MTU. */
    mtu: number | null;
    bum: BumModeName;
    /** Underlay addresses, for `bum` service-node. */
    serviceNodes: readonly UnderlayAddress[];
    guard: GuardName;
    /** This host copies floods for others (`fanway service-node`). */
    replicator: boolean;
    /**
     * MACs that may answer DHCP clients, and that may speak as routers, when they are on this host;
     * {@link SERVER_IS_HOST} = the host itself. Absent = none.
     */
    dhcpServers?: readonly number[];
    routers?: readonly number[];
    /** Underlay addresses of hosts that take part and that nobody tells of; absent = none. */
    peers?: readonly UnderlayAddress[];
    offload: 'auto' | 'off';
    /** This host's own addresses in it, on the bridge, with the width of their networks; absent = none. */
    addresses?: readonly UnderlayPrefix[] | undefined;
    /** Hosts hand out addresses of this prefix, each those of a slice of its own; absent = nobody does. */
    ipam?: Prefix | undefined;
    /** Where others reach this host, behind a 1:1 address translation; absent = at its own address. */
    outer?: UnderlayAddress | undefined;
    /** Known, not to be started. */
    off: boolean;
  };

/** The bridge of a network that names none. */
export function bridgeOfNetwork(network: string): string {
  return `${BRIDGE_PREFIX}${network}`;
}

/** A request with every default filled in. */
export function networkRequest(
  required: Pick<NetworkRequest, 'network' | 'vni'> & Partial<NetworkRequest>,
): NetworkRequest {
  return {
    bridge: bridgeOfNetwork(required.network),
    underlay: null,
    port: null,
    mtu: null,
    bum: 'none',
    serviceNodes: [],
    guard: 'learn',
    replicator: false,
    offload: 'auto',
    off: false,
    ...required,
  };
}

/** Characters of all rules of a section, and of its labels. */
const RULES_CHARS_MAX = 8000;
const text = { max: RULES_CHARS_MAX };

const POLICY_SETTINGS: readonly Setting[] = [
  setting(
    'network',
    'allow',
    'text',
    '',
    'Connections that are allowed whatever `deny` says: [from WHO] [to WHO] [PROTOCOL [port N[-M]]] [order N], with commas between rules; WHO is any, an address, a prefix, label:NAME or network:NAME.',
    text,
  ),
  setting('network', 'deny', 'text', '', 'Connections that are not, in the same way.', text),
  setting(
    'network',
    'labels',
    'text',
    '',
    'Labels of workloads: a MAC and its labels, with commas between workloads.',
    text,
  ),
];

export const NETWORK_SETTINGS: readonly Setting[] = [
  setting('network', 'name', 'interface-name', '', 'What the network is called on this host.', {
    required: true,
  }),
  setting('network', 'vni', 'integer', '', 'VXLAN network identifier, the same on every host.', {
    ...{ required: true, min: 1, max: NETWORK_VNI_MAX },
  }),
  setting('network', 'bridge', 'interface-name', '', 'Its bridge; br- and the name.'),
  setting(
    'network',
    'underlay',
    'underlay',
    '',
    'Where this host is: an address, a device or `default`, up to four as eth0/16,eth1/16; where its fans are, else the default route.',
  ),
  ...underlaySettings('network'),
  setting('network', 'port', 'integer', '4789', 'UDP destination port.', {
    ...{ unit: 'UDP port', min: 1, max: 65535 },
  }),
  setting('network', 'mtu', 'integer', '', "Largest inner packet; from the underlay's MTU.", {
    ...{ unit: 'bytes', min: MTU_BYTES_MIN, max: MTU_BYTES_MAX },
  }),
  setting(
    'network',
    'bum',
    'choice',
    'none',
    'Broadcast, unknown and multicast frames: dropped and counted, copied to every member, handed to a service node, or flooded to learn from.',
    { choices: BUM_MODES },
  ),
  setting(
    'network',
    'service-nodes',
    'addresses',
    '',
    'Underlay addresses of hosts that copy floods for others, the preferred one first.',
    { max: SERVICE_NODES_MAX },
  ),
  setting(
    'network',
    'guard',
    'choice',
    'learn',
    'What a port may say: any MAC and address that it shows first, only those that are bound to it, or anything.',
    { choices: GUARD_MODES },
  ),
  setting('network', 'replicator', 'boolean', 'no', 'This host copies floods for others.'),
  setting(
    'network',
    'address',
    'host-prefixes',
    '',
    "This host's own addresses in it, on the bridge, each with the width of its network; none.",
    { max: HOST_ADDRESSES_MAX },
  ),
  ...rateSettings('network'),
  setting(
    'network',
    'peers',
    'addresses',
    '',
    'Underlay addresses of hosts without a control plane that take part: they may send, and get floods.',
    { max: PEERS_MAX },
  ),
  setting(
    'network',
    'dhcp-server',
    'macs',
    '',
    'MACs on this host that may answer DHCP clients of all hosts; `auto`: this host itself.',
    { max: SERVERS_MAX },
  ),
  setting(
    'network',
    'router',
    'macs',
    '',
    'MACs on this host that may send router advertisements to all hosts; `auto`: this host itself.',
    { max: SERVERS_MAX },
  ),
  setting(
    'network',
    'outer',
    'addresses',
    '',
    'Where others reach this host, where its address is translated 1:1 on the way; its own address.',
    { max: 1 },
  ),
  setting('network', 'offload', 'choice', 'auto', 'Use the offloads this machine has, or none.', {
    choices: ['auto', 'off'],
  }),
  setting(
    'network',
    'ipam',
    'overlay',
    '',
    'IPv4 prefix of which hosts hand out addresses (`fanway ip lease`, CNI), each those of a slice of its own that follows from its underlay address; none.',
  ),
  setting(
    'network',
    'enabled',
    'boolean',
    'yes',
    'One that is not enabled is checked, not started.',
  ),
  ...POLICY_SETTINGS,
];

/** Addresses with the width of their networks, commas or blanks between. @throws ValueError */
export function parseHostPrefixes(key: string, text: string, max: number): UnderlayPrefix[] {
  return listOf(key, text, max).map(parseInside);
}

/** An address that a host has in a network: `10.9.0.2/24`, `fd00:9::2/64`. @throws ValueError */
export function parseInside(text: string): UnderlayPrefix {
  let prefix: UnderlayPrefix;
  try {
    prefix = parseHostPrefix(text);
  } catch {
    throw new ValueError(
      `${quote(text)} is no address with its width: write 10.9.0.2/24 or fd00:9::2/64`,
    );
  }
  if (!isMartianHost(prefix.address) && !isLinkLocal(prefix.address)) return prefix;
  throw new ValueError(`${quote(text)} cannot be the address of a host in a network`);
}

/**
 * Reads MACs with commas between, or `auto`: {@link SERVER_IS_HOST}.
 * @throws ValueError
 */
export function parseServers(key: string, text: string, max: number): number[] {
  return listOf(key, text, max).map((word) => {
    if (word === 'auto') return SERVER_IS_HOST;
    try {
      const mac = parseMac(word);
      if (mac !== 0 && !isGroupMac(mac)) return mac;
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
    }
    throw new ValueError(
      `${key} is MACs of servers, 02:42:0a:01:00:05, or auto for this host itself, not ${quote(word)}`,
    );
  });
}

type Value = unknown;

/** What the values of one section or command line say together; a request only without problems. */
export function networkRequestOf(values: ReadonlyMap<string, Value>): {
  request: NetworkRequest | undefined;
  problems: { key: string; message: string }[];
} {
  const problems: { key: string; message: string }[] = [];
  const value = <T>(key: string): T | undefined => values.get(key) as T | undefined;
  for (const key of ['name', 'vni']) {
    if (!values.has(key)) problems.push({ key, message: `${key} is missing` });
  }
  const network = value<string>('name') ?? '';
  const bum = value<BumModeName>('bum') ?? 'none';
  const serviceNodes = value<readonly UnderlayAddress[]>('service-nodes') ?? [];
  // Who copies for others copies its own floods too.
  if (bum === 'service-node' && serviceNodes.length === 0 && values.get('replicator') !== true) {
    const message = 'bum service-node needs service-nodes ADDRESS,…, or replicator';
    problems.push({ key: 'bum', message });
  }
  const bridge = value<string>('bridge') ?? bridgeOfNetwork(network);
  if (bridge.length > INTERFACE_NAME_CHARS_MAX) {
    problems.push({
      key: 'name',
      message: `the bridge would be called ${bridge}, and Linux takes ${INTERFACE_NAME_CHARS_MAX} characters: give it a name with bridge`,
    });
  }
  if (problems.length > 0) return { request: undefined, problems };
  const addresses = value<readonly UnderlayPrefix[]>('address');
  const ipam = value<Prefix | Prefix6>('ipam');
  if (ipam !== undefined && isPrefix6(ipam)) {
    const message = 'ipam is an IPv4 prefix: of IPv6 containers make their addresses themselves';
    return { request: undefined, problems: [{ key: 'ipam', message }] };
  }
  const underlays = value<readonly UnderlaySelector[]>('underlay') ?? [];
  problems.push(...underlaysProblems(values, underlays, VXLAN.name));
  if (problems.length > 0) return { request: undefined, problems };
  const [outer] = value<readonly UnderlayAddress[]>('outer') ?? [];
  const request = networkRequest({
    ...{ network, bridge, bum, serviceNodes },
    vni: value<number>('vni') ?? 0,
    underlay: underlays[0] ?? null,
    ...furtherOf(values, underlays),
    port: value<number>('port') ?? null,
    mtu: value<number>('mtu') ?? null,
    guard: value<GuardName>('guard') ?? 'learn',
    replicator: values.get('replicator') === true,
    ...(values.has('dhcp-server') && {
      dhcpServers: value<readonly number[]>('dhcp-server') ?? [],
    }),
    ...(values.has('peers') && { peers: value<readonly UnderlayAddress[]>('peers') ?? [] }),
    ...(values.has('router') && { routers: value<readonly number[]>('router') ?? [] }),
    offload: value<NetworkRequest['offload']>('offload') ?? 'auto',
    off: values.get('enabled') === false,
    ...(addresses !== undefined && { addresses }),
    ...(ipam !== undefined && { ipam }),
    ...(outer !== undefined && { outer }),
    ...rateOf(values),
  });
  return { request, problems };
}

/** What two networks of one host must not share, as sentences about the second. */
export function networkClashes(request: NetworkRequest, other: NetworkRequest): string[] {
  const clashes: string[] = [];
  if (request.network === other.network) clashes.push(`the name ${other.network}`);
  if (request.bridge === other.bridge) clashes.push(`the bridge ${other.bridge}`);
  if (request.vni === other.vni && request.port === other.port) clashes.push(`VNI ${other.vni}`);
  return clashes;
}
