/**
 * The plan of a layer-2 network: from what was asked for and what is on the host to the changes that make
 * it, or to every reason why not. Pure, as the plan of a fan is.
 * @module
 */

import { IPV6_MTU_BYTES_MIN, MTU_BYTES_MIN } from '../../config/link/device.ts';
import { rateDifferences, withRate } from '../../config/link/rate.ts';
import { NETWORK_ROWS, SERVER_IS_HOST } from '../../config/network/rows.ts';
import { impossibleNetwork, type NetworkRequest } from '../../config/network.ts';
import { carriedOf, specDifferences } from '../../config/row/row.ts';
import { parseInterfaceName } from '../../config/row/setting.ts';
import { VXLAN } from '../../encap/encap.ts';
import { ipamOf } from '../../net/ipam.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { IPV6_BITS, networkOf6, wordsOfIpv6 } from '../../net/prefix6.ts';
import {
  type Family,
  familyOf,
  formatHostAddress,
  formatHostPrefix,
  hostBytes,
  lastWordOf,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import type { Change } from '../change/change.ts';
import { ipv6Closed } from '../change/kinds/bridge.ts';
import { type Adoption, isKept } from '../host/bridge/adoption.ts';
import { forwardingDevices, isForwardDropping } from '../host/forwarding.ts';
import { aliasOf, borrowedAliasOf, type Snapshot } from '../host/snapshot.ts';
import {
  type AnySpec,
  linkTitle,
  type NetworkSpec,
  SOURCE_PORTS_DEFAULT,
} from '../store/link-spec.ts';
import { checkWire, vniTaken } from './conflicts.ts';
import {
  datapathOf,
  keptNetworkDatapath,
  movedSpec,
  notesOfDatapath,
  withNetworkDatapath,
} from './datapath/choose.ts';
import { innerMtuOf, type Plan } from './plan.ts';
import { furtherOf, type ResolvedUnderlays } from './underlay/further.ts';
import { resolvePlace } from './underlay/place.ts';
import { isResolved, type Keep, type Refusal } from './underlay/resolve.ts';

/** Locally administered, then a mark, then the host's four bytes: one for each host. */
const BRIDGE_MAC_PREFIX = 0x02fb_0000_0000;

/** The tunnel device of a network. */
export function networkDeviceOf(vni: number): string {
  return parseInterfaceName(`fwn-${vni}`);
}

/** The inner MTU in bytes over an underlay of `underlayMtu` bytes. */
export function networkMtuOf(
  { mtu }: Pick<NetworkRequest, 'mtu'>,
  underlayMtu: number,
  family: Family,
): number {
  return innerMtuOf({ encap: VXLAN.name, mtu }, underlayMtu, family);
}

function specOf(
  request: NetworkRequest,
  at: {
    local: UnderlayAddress;
    underlay: NetworkSpec['underlay'];
    underlayMtu: number;
    underlays?: ResolvedUnderlays;
    fan?: string | undefined;
  },
  mac = BRIDGE_MAC_PREFIX + lastWordOf(at.local),
  isTheirs = false,
): NetworkSpec {
  const { network, bridge: name, vni } = request;
  const { addresses, outer } = request;
  const ipam = request.ipam && ipamOf(request.ipam, at.underlay, at.local);
  return {
    ...carriedOf(NETWORK_ROWS, request),
    ...{ name, network, encap: VXLAN.name, device: networkDeviceOf(vni), mac },
    ...{ local: at.local, underlay: at.underlay, vni, port: request.port ?? VXLAN.defaultPort },
    ...{
      underlayMtu: at.underlayMtu,
      innerMtu: networkMtuOf(request, at.underlayMtu, familyOf(at.local)),
    },
    ...{ dscp: 'pipe', sourcePorts: SOURCE_PORTS_DEFAULT },
    ...at.underlays,
    ...(addresses !== undefined && { addresses }),
    ...(request.dhcpServers && { dhcpServers: serverMacs(request.dhcpServers, mac) }),
    ...(request.routers && { routers: serverMacs(request.routers, mac) }),
    ...(ipam !== undefined && { ipam }),
    ...(outer !== undefined && { outer }),
    ...(at.fan !== undefined && { placeFan: at.fan }),
    ...(answersByKernel(request, isTheirs) && { kernelArp: true }),
  };
}

/**
 * Whether the bridge answers ARP by itself: unless it is somebody else's, whose neighbours nobody writes
 * without being asked to, or all that ARP says is flooded.
 */
function answersByKernel({ arp, bum }: NetworkRequest, isTheirs: boolean): boolean {
  return arp === 'kernel' || (arp === undefined && !isTheirs && bum !== 'learn');
}

function serverMacs(servers: readonly number[], bridge: number): number[] {
  return servers.map((server) => (server === SERVER_IS_HOST ? bridge : server));
}

/** What stands for a network that is wanted and cannot be yet, its host address unknown. */
export function placeholderNetwork(request: NetworkRequest): NetworkSpec {
  const at = { local: 0, underlay: { address: 0, length: 0 }, underlayMtu: 0 };
  return { ...specOf(request, at), innerMtu: 0 };
}

/**
 * What `net add` would do for this request on this host.
 * @param keep the address that it had
 * @param had the network as it was when it was up last
 */
export function planNetwork(
  asked: NetworkRequest,
  snapshot: Snapshot,
  keep?: Keep,
  had?: NetworkSpec,
): Plan<NetworkSpec> {
  const request = keptNetworkDatapath(asked, snapshot.networks);
  const running = snapshot.networks.find((one) => one.spec.network === request.network);
  const resolved = resolvePlace(request, snapshot, running?.spec ?? had, keep);
  if (!isResolved(resolved)) return { outcome: 'refused', refusals: [resolved] };
  const { local, underlay, device, fan } = resolved;
  const adoption = adoptionOf(request.bridge, snapshot);
  const isTheirs = adoption?.foreign === true;
  const mac = isTheirs ? adoption.mac : undefined;
  const found = furtherOf(request, resolved, snapshot);
  if ('refusals' in found) return { outcome: 'refused', refusals: found.refusals };
  const { underlayMtu, notes, ...underlays } = found;
  const at = { local, underlay, underlayMtu, underlays, fan };
  const spec = withNetworkDatapath(request, specOf(request, at, mac, isTheirs), snapshot);
  if ('code' in spec) return { outcome: 'refused', refusals: [spec] };

  if (running !== undefined) {
    // Without the word nobody is moved.
    const wanted = asked.datapath === undefined ? movedSpec(spec, running.spec) : spec;
    return planAgainst(running, wanted, request);
  }
  const refusals = [
    ...checkNames(spec, snapshot, adoption),
    ...checkWire(spec, elsewhere(spec, snapshot)),
    ...checkMtu(request, spec, device.name),
    ...checkAddresses(request, spec, snapshot),
    ...impossibleNetwork(request, { family: familyOf(local), length: underlay.length }),
  ];
  if (refusals.length > 0) return { outcome: 'refused', refusals };
  const warnings: string[] = [...notes, ...notesOfDatapath(spec)];
  if (spec.innerMtu < IPV6_MTU_BYTES_MIN) {
    warnings.push(`MTU ${spec.innerMtu} is under ${IPV6_MTU_BYTES_MIN}: no IPv6 inside (RFC 8200)`);
  }
  if (isTheirs && spec.kernelArp === true) {
    warnings.push(
      `bridge ${spec.name} is somebody else's: with arp kernel it has neighbours of ours while they are asked for (ip neigh show nud all, proto 250), and answers ARP in their name`,
    );
  }
  return { outcome: 'changes', spec, changes: networkChanges(spec, snapshot, adoption), warnings };
}

/** The changes in the order they are made; undone in reverse. */
export function networkChanges(
  spec: NetworkSpec,
  snapshot: Snapshot,
  adoption?: Adoption,
): Change[] {
  const { name, device, innerMtu: mtu, mac } = spec;
  const alias = aliasOf(name);
  const theirs = adoption?.foreign === true;
  const own = theirs
    ? []
    : ipv6Closed(name).map(([key, value]): Change => {
        return { kind: 'sysctl', key, value, shared: false };
      });
  return [
    {
      ...{ kind: 'bridge', name, mtu, mac, alias: theirs ? borrowedAliasOf(name) : alias },
      ...(adoption !== undefined && { adopt: adoption }),
    },
    ...own,
    { kind: 'tunnel', spec, alias },
    // Nothing that the device itself would say in IPv6 could arrive anywhere.
    { kind: 'sysctl', key: `net/ipv6/conf/${device}/disable_ipv6`, value: '1', shared: false },
    { kind: 'port', device, bridge: name },
    ...(spec.kernelArp === true ? [{ kind: 'answers', device, bridge: name } as const] : []),
    ...addressChanges(spec, theirs),
    ...filterChanges(spec, snapshot),
  ];
}

/** What takes rules of nftables. */
function filterChanges(spec: NetworkSpec, { tools, filter }: Snapshot): Change[] {
  if (!tools.nft) return [];
  const { name: link, network, device, guard } = spec;
  return [
    ...(guard === 'strict' ? [{ kind: 'bound', link, device } as const] : []),
    { kind: 'inside', link, device },
    { kind: 'between', link, network },
    ...(isForwardDropping(filter)
      ? [{ kind: 'accept', devices: forwardingDevices(spec) } as const]
      : []),
  ];
}

/**
 * This host's own addresses, with a route to the network of each: one of IPv6 brings none.
 * @param theirs the bridge is somebody else's
 */
function addressChanges({ name: device, addresses = [] }: NetworkSpec, theirs: boolean): Change[] {
  return addresses.flatMap(({ address, length }): Change[] => {
    if (typeof address === 'number') {
      const change = { kind: 'address', device, address, length } as const;
      return [theirs ? { ...change, borrowed: 'device' } : change];
    }
    const words = wordsOfIpv6(hostBytes(address));
    const destination = { address: networkOf6({ address: words, length }), length };
    return [
      { kind: 'address6', device, address: words, length },
      ...(length < IPV6_BITS ? [{ kind: 'route6', destination, device } as const] : []),
    ];
  });
}

/** A bridge that is there: one that was kept for its ports, or somebody else's, which stays theirs. */
function adoptionOf(bridge: string, snapshot: Snapshot): Adoption | undefined {
  const found = snapshot.links.find((link) => link.name === bridge);
  if (found?.kind !== 'bridge' || ownerOf(bridge, snapshot) !== undefined) return undefined;
  const { name, address: mac } = found;
  const none = { stale: [], there: [] };
  if (isKept(found, snapshot)) return { name, foreign: false, mac, ...none };
  if (['', borrowedAliasOf(name)].includes(found.alias)) {
    return { name, foreign: true, mac, ...none };
  }
  return undefined;
}

/** The link that a bridge belongs to. */
function ownerOf(bridge: string, { fans, networks }: Snapshot): AnySpec | undefined {
  return [...fans, ...networks].find(({ spec }) => spec.name === bridge)?.spec;
}

/** What of a network no setting alone says, and cannot change while it runs, in words. */
function facts({ name, vni, local, innerMtu, further = [], ...more }: NetworkSpec): string[] {
  const beside = further.map(({ local }) => formatHostAddress(local)).join(' ') || 'none';
  return [
    ...[`bridge ${name}`, `VNI ${vni}`, `underlay ${formatHostAddress(local)}`, `MTU ${innerMtu}`],
    `further underlays ${beside}`,
    `ipam ${more.ipam === undefined ? 'none' : formatPrefix(more.ipam.prefix)}`,
    more.outer === undefined ? 'no outer address' : `outer ${formatHostAddress(more.outer)}`,
    `addresses ${(more.addresses ?? []).map(formatHostPrefix).join(' ') || 'none'}`,
  ];
}

function planAgainst(
  { spec: running, request: before }: Snapshot['networks'][number],
  wanted: NetworkSpec,
  joined: NetworkRequest,
): Plan<NetworkSpec> {
  const then = facts(wanted);
  const differences = [
    ...facts(running).filter((fact) => !then.includes(fact)),
    ...specDifferences(NETWORK_ROWS, running, wanted).map(({ key, now }) => `${key} ${now}`),
  ];
  const { network, name, vni } = running;
  const rates = rateDifferences(running, wanted);
  const isMoved = running.datapath !== wanted.datapath;
  const isElse = before !== undefined && datapathOf(before) !== datapathOf(joined);
  // These it can follow while it runs.
  if (differences.length === 0 && (isMoved || isElse || rates.length > 0)) {
    const spec = withRate(movedSpec(running, wanted), wanted);
    return {
      ...{ outcome: 'changes', spec, joined },
      changes: isMoved ? [{ kind: 'tunnel', spec, alias: aliasOf(name) }] : [],
      warnings: [...rates, ...(isElse ? notesOfDatapath(wanted) : [])],
    };
  }
  if (differences.length === 0) {
    const message = `${network}: already there (VNI ${vni}, bridge ${name})`;
    return { outcome: 'same', spec: running, message };
  }
  return {
    outcome: 'refused',
    refusals: [
      {
        code: 'network-differs',
        message: `there is a network ${network} with ${differences.join(', ')} already: remove it first (fanway net rm ${network}), or take another name`,
      },
    ],
  };
}

/** Names that are taken by something that is not ours. */
function checkNames(
  spec: NetworkSpec,
  snapshot: Snapshot,
  adoption: Adoption | undefined,
): Refusal[] {
  const refusals: Refusal[] = [];
  const owner = ownerOf(spec.name, snapshot);
  if (owner !== undefined) {
    const message = `bridge ${spec.name} is that of ${linkTitle(owner)} already: choose another with --bridge`;
    refusals.push({ code: 'name-taken', message });
  }
  // The device is called after the VNI, whatever the port.
  const holder = snapshot.networks.find((one) => one.spec.device === spec.device);
  if (holder !== undefined) refusals.push(vniTaken(spec.vni, holder.spec));
  for (const [what, name] of [
    ['bridge', spec.name],
    ['device', spec.device],
  ] as const) {
    const link = snapshot.links.find((link) => link.name === name);
    if (link === undefined || name === adoption?.name || owner !== undefined) continue;
    if (what === 'device' && holder !== undefined) continue;
    const way =
      link.alias === aliasOf(spec.name)
        ? 'it carries our mark but no journal here knows it, so another run directory may own it: take it down there, or delete the device'
        : what === 'bridge'
          ? 'choose another name with --bridge, or the name of a bridge'
          : 'rename or delete it first';
    refusals.push({
      code: 'name-taken',
      message: `there is a ${link.kind || 'device'} called ${name} on this host already: ${way}`,
    });
  }
  return refusals;
}

/** The host without the networks that have this one's device, and with it the VNI: that is told already. */
function elsewhere({ device }: NetworkSpec, snapshot: Snapshot): Snapshot {
  const networks = snapshot.networks.filter(({ spec }) => spec.device !== device);
  return { ...snapshot, networks };
}

/** Own addresses that another device of this host has, or that need what is not there. */
function checkAddresses(
  { mtu }: NetworkRequest,
  spec: NetworkSpec,
  { links, addresses, ipv6Addresses }: Snapshot,
): Refusal[] {
  const own = links.find(({ name }) => name === spec.name)?.index;
  return (spec.addresses ?? []).flatMap(({ address, length }): Refusal[] => {
    const text = formatHostPrefix({ address, length });
    const holder = [...addresses, ...ipv6Addresses].find(
      (one) => one.address === address && one.index !== own,
    );
    if (holder !== undefined) {
      const device = links.find(({ index }) => index === holder.index)?.name ?? 'another device';
      const message = `${text} is an address of ${device} already: take another one`;
      return [{ code: 'address-taken', message }];
    }
    // An --mtu that is too small is too small everywhere.
    const isAsked = mtu !== null && mtu < IPV6_MTU_BYTES_MIN;
    if (typeof address === 'number' || spec.innerMtu >= IPV6_MTU_BYTES_MIN || isAsked) return [];
    const message = `${text}: IPv6 needs an MTU of ${IPV6_MTU_BYTES_MIN}, and ${spec.innerMtu} is left`;
    return [{ code: 'mtu-too-small', message }];
  });
}

function checkMtu(request: NetworkRequest, spec: NetworkSpec, device: string): Refusal[] {
  const largest = networkMtuOf({ mtu: null }, spec.underlayMtu, familyOf(spec.local));
  if (request.mtu !== null && request.mtu > largest) {
    const message = `MTU ${request.mtu} does not fit: ${device} carries ${spec.underlayMtu} bytes and VXLAN adds ${spec.underlayMtu - largest}, which leaves ${largest}`;
    return [{ code: 'mtu-too-large', message }];
  }
  if (spec.innerMtu >= MTU_BYTES_MIN) return [];
  const message = `${device} has MTU ${spec.underlayMtu}, which leaves ${spec.innerMtu} bytes inside; ${MTU_BYTES_MIN} is the least that works: raise the underlay's MTU`;
  return [{ code: 'mtu-too-small', message }];
}
