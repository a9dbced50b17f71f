/**
 * A host in two parts: the bridge and all that belongs to it in a network namespace behind a door, the
 * underlay where this process is. An ordinary user may change the one and not the other.
 *
 * Once the namespace is gone it is an empty machine: nothing is there, and to take something back is
 * done.
 * @module
 */
import { hasNft } from '../../sys/host/nft.ts';
import { dhcpRangesText, findDnsmasq, isRunning } from '../host/dhcp.ts';
import type {
  BridgeEvent,
  Host,
  Host6,
  KernelRoute,
  NetworkHost,
  ProcessMark,
} from '../host/host.ts';
import { openHost, type RealHost } from '../host/real-host.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import type { Door } from './door.ts';
import type { FrameQuestion, HostQuestion, NetworkQuestion } from './protocol.ts';

type Answers<K extends keyof RealHost> = RealHost[K] extends (...args: never[]) => infer R
  ? Awaited<R>
  : never;

/** What layer-2 networks need, of the bridges behind the door. */
function distantNetworks(door: Door): NetworkHost {
  const ask = async <T>(
    name: NetworkQuestion | 'links',
    empty: T,
    ...args: unknown[]
  ): Promise<T> => {
    if (door.isGone) return empty;
    return ((await door.ask(name, ...args)) ?? empty) as T;
  };
  return {
    links: () => ask('links', []),
    link: (index) => ask('link', undefined, index),
    bridgePortOf: (bridge, mac) => ask('bridgePortOf', undefined, bridge, mac),
    bridgeHeard: (bridge, mac) => ask('bridgeHeard', undefined, bridge, mac),
    bridgeEntries: (bridge) => ask('bridgeEntries', [], bridge),
    addressesOf: (index) => ask('addressesOf', [], index),
    writtenNeighbours: (index) => ask('writtenNeighbours', [], index),
    forgetNeighbour: (index, address) => ask('forgetNeighbour', undefined, index, address),
    pointBridge: (mac, port) => ask('pointBridge', undefined, mac, port),
    watchBridges: (listener) => door.on('bridges', (news) => listener(news as BridgeEvent)),
    sendFrame(ifindex, frame) {
      if (door.isGone) return false;
      const question: FrameQuestion = { ifindex, frame: Buffer.from(frame).toString('base64') };
      // A frame that is lost is asked for again, as on every wire.
      void door.ask('frame', question).catch(() => undefined);
      return true;
    },
  };
}

/** How the namespace is asked; `empty` is the answer once it is gone. */
type Asker = {
  ask<K extends HostQuestion>(name: K, empty: Answers<K>, ...args: unknown[]): Promise<Answers<K>>;
  askNow<K extends HostQuestion>(name: K, empty: Answers<K>, ...args: unknown[]): Answers<K>;
};

function askerOf(door: Door): Asker {
  return {
    async ask<K extends HostQuestion>(name: K, empty: Answers<K>, ...args: unknown[]) {
      if (door.isGone) return empty;
      return (await door.ask(name, ...args)) as Answers<K>;
    },
    askNow<K extends HostQuestion>(name: K, empty: Answers<K>, ...args: unknown[]) {
      if (door.isGone) return empty;
      return door.askNow(name, ...args) as Answers<K>;
    },
  };
}

/** What of the namespace has to do with IPv6. */
function distantSix({ ask, askNow }: Asker): Host6 {
  return {
    addresses6: () => ask('addresses6', []),
    routes6: () => ask('routes6', []),
    addAddress6: (...args) => ask('addAddress6', undefined, ...args),
    deleteAddress6: (...args) => ask('deleteAddress6', undefined, ...args),
    addRoute6: (route) => ask('addRoute6', undefined, route),
    deleteRoute6: (route) => ask('deleteRoute6', undefined, route),
    hasRoute6: (route) => ask('hasRoute6', true, route),
    announce: (spec) => askNow('announce', undefined, spec),
    isAnnouncing: (spec) => askNow('isAnnouncing', true, spec),
    withdraw: (bridge) => askNow('withdraw', undefined, bridge),
  };
}

/** The namespace as a host; its underlay is not said. */
function distantHost(door: Door, asker: Asker): Host {
  const { ask, askNow } = asker;
  return {
    ...distantSix(asker),
    links: () => ask('links', []),
    link: (ref) => ask('link', undefined, ref),
    addresses: () => ask('addresses', []),
    ipv6Addresses: () => ask('ipv6Addresses', []),
    ipv6WayOut: () => ask('ipv6WayOut', 0),
    defaultRoutes: () => ask('defaultRoutes', []),
    routesMeeting: (overlay, how) =>
      ask('routesMeeting', { routes: [], whole: true }, overlay, how),
    routesOf: (index) => ask('routesOf', [], index),
    hasRoute: (route: KernelRoute) => ask('hasRoute', true, route),
    createBridge: (name, mac) => ask('createBridge', undefined, name, mac),
    setLink: (ref, change) => ask('setLink', undefined, ref, change),
    deleteLink: (index) => ask('deleteLink', undefined, index),
    addAddress: (...args) => ask('addAddress', undefined, ...args),
    deleteAddress: (...args) => ask('deleteAddress', undefined, ...args),
    addRoute: (route) => ask('addRoute', undefined, route),
    deleteRoute: (route) => ask('deleteRoute', undefined, route),
    addKernelRoute: (route) => ask('addKernelRoute', undefined, route),
    hasOwnMac: (bridge, mac) => ask('hasOwnMac', true, bridge, mac),
    addOwnMac: (bridge, mac) => ask('addOwnMac', undefined, bridge, mac),
    readSysctl: (key) => askNow('readSysctl', null, key),
    writeSysctl: (key, value) => askNow('writeSysctl', undefined, key, value),
    hasNft: () => !door.isGone && hasNft(),
    otherTables: () => ask('otherTables', []),
    packetFilter: () =>
      ask('packetFilter', { readable: false, why: 'namespace-gone', chains: [], rules: [] }),
    legacyTables: () => askNow('legacyTables', { forward: undefined, nat: false }),
    loadRules: (text) => ask('loadRules', undefined, text),
    hasDnsmasq: () => findDnsmasq() !== undefined,
    async startDhcp(spec) {
      return (await door.ask('startDhcp', spec)) as ProcessMark & { note: string; ranges: string };
    },
    dhcpRanges: dhcpRangesText,
    isRunning,
    stopDhcp: (bridge, mark) => ask('stopDhcp', undefined, bridge, mark),
  };
}

/** Opens it. The underlay is this process's own network namespace. */
export function openDistantHost(run: RunDirectory, door: Door): RealHost {
  const here = openHost(run);
  const asker = askerOf(door);
  const { ask } = asker;
  return {
    ...distantHost(door, asker),
    underlay: async () => ({
      links: await here.links(),
      addresses: await here.addresses(),
      ipv6Addresses: await here.ipv6Addresses(),
      ipv6WayOut: await here.ipv6WayOut(),
      routes: await here.defaultRoutes(),
    }),
    bridgeHolds: (bridge, mac, but) => ask('bridgeHolds', false, bridge, mac, but),
    bridgePort: (bridge, mac) => ask('bridgePort', '', bridge, mac),
    watch(listener) {
      const ends = [
        here.watch(listener),
        door.on('links', () => listener({ kind: 'lost', code: '' })),
      ];
      return () => {
        for (const end of ends) end();
      };
    },
    watchFilter: (listener) => door.on('filter', listener),
    networks: distantNetworks(door),
    close() {
      here.close();
      door.close();
    },
  };
}
