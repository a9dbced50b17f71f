/**
 * One layer-2 network as somebody asked for it: what `fanway net add` and a `[network]` section of a
 * configuration file become.
 * @module
 */
import { VXLAN } from '../encap/encap.ts';
import { AddressError } from '../net/address-error.ts';
import { INTERFACE_NAME_CHARS_MAX } from '../net/fan.ts';
import { ipamLength, ipamLengthMax } from '../net/ipam.ts';
import { isGroupMac, parseMac } from '../net/mac.ts';
import { formatPrefix, type Prefix } from '../net/prefix.ts';
import {
  ADDRESS_BITS,
  type Family,
  familyOf,
  formatHostAddress,
  formatHostPrefix,
  isLinkLocal,
  isMartianHost,
  parseHostPrefix,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../net/underlay-address.ts';
import { IPV6_MTU_BYTES_MIN } from './link/device.ts';
import { type Impossible, noKernel } from './link/impossible.ts';
import { isPrefix6 } from './link/sides.ts';
import {
  furtherOf,
  type UnderlaySelector,
  type UnderlaysRequest,
  underlayFamily,
  underlaysProblems,
} from './link/underlays.ts';
import { networkLacks, RULED } from './network/kernel.ts';
import { NETWORK_ROWS, SERVER_IS_HOST } from './network/rows.ts';
import { type FieldsOf, fieldsOfValues, givenOf, initialFields } from './row/row.ts';
import { listOf, quote, ValueError } from './row/setting.ts';

const BRIDGE_PREFIX = 'br-';

export type NetworkRequest = FieldsOf<typeof NETWORK_ROWS> &
  UnderlaysRequest & {
    /** What people call it; unique on a host. */
    network: string;
    vni: number;
    /** Its bridge, which is also the name of the link. */
    bridge: string;
    /** Where this host is; null = where its fans are, else where its default route leads. */
    underlay: UnderlaySelector | null;
    /** This host's own addresses in it, on the bridge, with the width of their networks; absent = none. */
    addresses?: readonly UnderlayPrefix[] | undefined;
    /** Hosts hand out addresses of this prefix, each those of a slice of its own; absent = nobody does. */
    ipam?: Prefix | undefined;
    /** Where others reach this host, behind a 1:1 address translation; absent = at its own address. */
    outer?: UnderlayAddress | undefined;
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
    ...initialFields(NETWORK_ROWS),
    bridge: bridgeOfNetwork(required.network),
    underlay: null,
    ...required,
  };
}

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

type Problem = { key: string; message: string };

/** What is missing, or does not go together. */
function networkProblems(values: ReadonlyMap<string, unknown>, bridge: string): Problem[] {
  const problems: Problem[] = [];
  for (const key of ['name', 'vni']) {
    if (!values.has(key)) problems.push({ key, message: `${key} is missing` });
  }
  const { bum, serviceNodes, replicator, arp } = fieldsOfValues(NETWORK_ROWS, values);
  // Who copies for others copies its own floods too.
  if (bum === 'service-node' && serviceNodes.length === 0 && !replicator) {
    const message = 'bum service-node needs service-nodes ADDRESS,…, or replicator';
    problems.push({ key: 'bum', message });
  }
  if (bum === 'learn' && arp === 'kernel') {
    const message =
      'arp kernel does not go with bum learn, where all that ARP says is flooded: leave arp out';
    problems.push({ key: 'arp', message });
  }
  if (bridge.length > INTERFACE_NAME_CHARS_MAX) {
    problems.push({
      key: 'name',
      message: `the bridge would be called ${bridge}, and Linux takes ${INTERFACE_NAME_CHARS_MAX} characters: give it a name with bridge`,
    });
  }
  if (values.get('datapath') === 'kernel' && (values.has('allow') || values.has('deny'))) {
    problems.push(noKernel(RULED, 'network'));
  }
  if (problems.length > 0) return problems;
  const ipam = givenOf(NETWORK_ROWS.ipam, values);
  if (ipam !== undefined && isPrefix6(ipam)) {
    const message = 'ipam is an IPv4 prefix: of IPv6 containers make their addresses themselves';
    return [{ key: 'ipam', message }];
  }
  const underlays = givenOf(NETWORK_ROWS.underlay, values) ?? [];
  return underlaysProblems(values, underlays, VXLAN.name);
}

/**
 * What of a request no host with such an underlay could make: told of a file, and by the planner once it knows
 * where the network is.
 */
export function impossibleNetwork(
  request: NetworkRequest,
  { family, length }: { family: Family; length: number },
): Impossible[] {
  const { ipam, outer, addresses = [], mtu } = request;
  const problems = impossiblePath(request, family);
  const hostBits = ADDRESS_BITS[family] - length;
  if (ipam !== undefined && ipamLength(ipam, hostBits) === undefined) {
    const longest = ipamLengthMax(hostBits);
    const wider = longest >= 1 ? `a prefix of /${longest} or shorter, or ` : '';
    problems.push({
      ...{ code: 'ipam-too-small', key: 'ipam' },
      message: `${formatPrefix(ipam)} has too few addresses for every host that an underlay of /${length} may have: give ${wider}the underlay with the width that tells the hosts apart, as --underlay eth0/24`,
    });
  }
  if (outer !== undefined && familyOf(outer) !== family) {
    problems.push({
      ...{ code: 'outer-family', key: 'outer' },
      message: `outer address ${formatHostAddress(outer)} is of IPv${familyOf(outer)}, and the underlay is of IPv${family}`,
    });
  }
  const six = addresses.find(({ address }) => familyOf(address) === 6);
  if (six !== undefined && mtu !== null && mtu < IPV6_MTU_BYTES_MIN) {
    const message = `${formatHostPrefix(six)}: IPv6 needs an MTU of ${IPV6_MTU_BYTES_MIN}, and mtu is ${mtu}`;
    problems.push({ code: 'mtu-too-small', key: 'mtu', message });
  }
  return problems;
}

/** What no kernel could forward for, that was asked to. */
function impossiblePath(request: NetworkRequest, family: Family): Impossible[] {
  const lacks = request.datapath === 'kernel' ? networkLacks(request, family) : '';
  return lacks === '' ? [] : [noKernel(lacks, 'network')];
}

/** What the values of one section or command line say together; a request only without problems. */
export function networkRequestOf(values: ReadonlyMap<string, unknown>): {
  request: NetworkRequest | undefined;
  problems: Problem[];
} {
  const network = givenOf(NETWORK_ROWS.network, values) ?? '';
  const bridge = givenOf(NETWORK_ROWS.bridge, values) ?? bridgeOfNetwork(network);
  const problems = networkProblems(values, bridge);
  if (problems.length > 0) return { request: undefined, problems };
  const underlays = givenOf(NETWORK_ROWS.underlay, values) ?? [];
  const addresses = givenOf(NETWORK_ROWS.addresses, values);
  const ipam = givenOf(NETWORK_ROWS.ipam, values);
  const [outer] = givenOf(NETWORK_ROWS.outer, values) ?? [];
  const request = networkRequest({
    ...fieldsOfValues(NETWORK_ROWS, values),
    ...{ network, bridge, vni: givenOf(NETWORK_ROWS.vni, values) ?? 0 },
    underlay: underlays[0] ?? null,
    ...furtherOf(underlays),
    ...(addresses !== undefined && { addresses }),
    ...(ipam !== undefined && !isPrefix6(ipam) && { ipam }),
    ...(outer !== undefined && { outer }),
  });
  const [first] = underlays;
  // Where none is given the host says where the network is.
  const impossible =
    first === undefined
      ? impossiblePath(request, 4)
      : impossibleNetwork(request, { family: underlayFamily(first), length: first.length });
  return { request: impossible.length === 0 ? request : undefined, problems: impossible };
}

/** What two networks of one host must not share, as sentences about the second. */
export function networkClashes(request: NetworkRequest, other: NetworkRequest): string[] {
  const clashes: string[] = [];
  if (request.network === other.network) clashes.push(`the name ${other.network}`);
  if (request.bridge === other.bridge) clashes.push(`the bridge ${other.bridge}`);
  // On another port, too: the devices of both would have one name.
  if (request.vni === other.vni) clashes.push(`VNI ${other.vni}`);
  return clashes;
}
