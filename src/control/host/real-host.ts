/**
 * The machine itself, through rtnetlink, /proc/sys, nft and dnsmasq.
 * @module
 */
import type { FanEncap } from '../../config/link/modes.ts';
import { isPacketsInUdp } from '../../encap/encap.ts';
import { bytesOfIpv6 } from '../../net/prefix6.ts';
import { hostOfBytes } from '../../net/underlay-address.ts';
import { type Carried, whyNoKernelPath } from '../../sys/bpf/kernel-path.ts';
import { deviceIndex } from '../../sys/host/device-index.ts';
import { readLegacyTables } from '../../sys/host/iptables-legacy.ts';
import { hasNft, otherTables } from '../../sys/host/nft.ts';
import { readSysctl, writeSysctl } from '../../sys/host/sysctl.ts';
import {
  type NeighbourRecord,
  Netlink,
  type NetlinkEvent,
  RouteInterest,
} from '../../sys/netlink/netlink.ts';
import { watchNfTables } from '../../sys/netlink/nf/tables.ts';
import { FrameSender } from '../../sys/sockets/frame-sender.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { Announcements } from './adverts.ts';
import { answersOf, forgetAnswers } from './arp/answers.ts';
import { dhcpRangesText, findDnsmasq, isRunning, startDhcp, stopDhcp } from './dhcp.ts';
import type { ForwardingEntry, Host, NetworkHost } from './host.ts';
import { HostRoutes } from './host-routes.ts';
import { closeFouPort, fouPorts } from './kernel/fou-port.ts';
import { PacketFilterReader } from './packet-filter.ts';
import { sixOfHost } from './six.ts';
import { ROUTE_TABLE_LOCAL, ROUTE_TABLE_MAIN } from './snapshot.ts';

const RTPROT_KERNEL = 2;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
/** After this a change of the ruleset that we made ourselves is known for ours. */
const OWN_CHANGE_MS = 50;
/** Room for a burst of some ten thousand MACs. */
const BRIDGE_BUFFER_BYTES = 4 << 20;

function forwardingEntry({ master, index, mac, state }: NeighbourRecord): ForwardingEntry {
  const isOwn = (state & NUD_PERMANENT) !== 0;
  return { bridge: master, port: index, mac, isOwn, isStatic: (state & NUD_NOARP) !== 0 };
}

export type RealHost = Host & {
  /** What layer-2 networks need. */
  networks: NetworkHost;
  /** Whether `bridge` knows `mac` behind a port other than `but`. False where there is no such bridge. */
  bridgeHolds(bridge: string, mac: number, but: string): Promise<boolean>;
  /** The port of `bridge` behind which it knows `mac`, '' where it does not. */
  bridgePort(bridge: string, mac: number): Promise<string>;
  /** Calls `listener` on every change of links, addresses and routes; returns how to end it. */
  watch(listener: (event: NetlinkEvent) => void): () => void;
  /** The same for the nftables ruleset. */
  watchFilter(listener: () => void): () => void;
  close(): void;
};

/** @param sender opened with the first frame: it takes a capability that not everybody has */
function networkHost(netlink: Netlink, sender: () => FrameSender): NetworkHost {
  return {
    links: () => netlink.links(),
    link: (index) => netlink.findLink(index),
    bridgePortOf: (bridge, mac) => netlink.bridgePortOf(bridge, mac),
    async bridgeHeard(bridge, mac) {
      const entry = await netlink.bridgeEntryOf(bridge, mac);
      return entry && { port: entry.index, quietMs: entry.quietMs };
    },
    bridgeEntries: async (bridge) => (await netlink.bridgeEntries(bridge)).map(forwardingEntry),
    addressesOf: async (index) => [
      ...(await netlink.addresses(index)).map(({ address }) => address),
      ...(await netlink.addresses6())
        .filter((each) => each.index === index)
        .map(({ address }) => hostOfBytes(bytesOfIpv6(address))),
    ],
    writtenNeighbours: async (index) =>
      (await netlink.neighbours()).filter(
        (one) => one.index === index && (one.state & NUD_PERMANENT) !== 0,
      ),
    forgetNeighbour: (index, address) => netlink.deleteNeighbour(index, address),
    answers: answersOf(netlink),
    pointBridge: (mac, port) => netlink.pointBridge(port, mac),
    watchBridges: (listener) =>
      netlink.watchBridges(
        (news) => {
          if (news.kind === 'answer') {
            const { index: bridge, address } = news.entry;
            listener({ kind: 'answer', bridge, address });
          } else if (news.kind !== 'forwarding') listener(news);
          else listener({ ...news, entry: forwardingEntry(news.entry) });
        },
        { background: true, bufferBytes: BRIDGE_BUFFER_BYTES },
      ),
    sendFrame: (ifindex, frame) => sender().send(ifindex, frame),
  };
}

type RouteParts =
  | 'defaultRoutes'
  | 'routesMeeting'
  | 'routesOf'
  | 'hasRoute'
  | 'addRoute'
  | 'deleteRoute'
  | 'addKernelRoute';

/** Its IPv4 routes: those that are there, and ours. */
function routesOfHost(netlink: Netlink, routes: HostRoutes): Pick<Host, RouteParts> {
  const changed = async (change: Promise<void>): Promise<void> => {
    await change.finally(() => routes.changed());
  };
  return {
    defaultRoutes: () => routes.defaultRoutes(),
    routesMeeting: (overlay, how) => routes.routesMeeting(overlay, how),
    routesOf: (index) => routes.routesOf(index),
    hasRoute: (route) => routes.hasRoute(route),
    addRoute: ({ destination, device, source }) =>
      changed(netlink.addRoute({ dst: destination, dev: device, src: source })),
    deleteRoute: ({ destination, device, source }) =>
      changed(netlink.deleteRoute({ dst: destination, dev: device, src: source })),
    addKernelRoute: ({ destination, device, source, type }) =>
      changed(
        netlink.addRoute({
          ...{ dst: destination, dev: device, src: source, type },
          table: type === 'unicast' ? ROUTE_TABLE_MAIN : ROUTE_TABLE_LOCAL,
          // The kernel deletes with an address only what bears its own name.
          protocol: RTPROT_KERNEL,
        }),
      ),
  };
}

/** Where bridges know a MAC. */
function bridgesOf(netlink: Netlink): Pick<RealHost, 'bridgeHolds' | 'bridgePort'> {
  return {
    async bridgeHolds(bridge, mac, but) {
      const at = await netlink.findLink(bridge);
      if (at === undefined) return false;
      const port = await netlink.bridgePortOf(at.index, mac);
      return port !== undefined && port !== (await netlink.findLink(but))?.index;
    },
    async bridgePort(bridge, mac) {
      const at = await netlink.findLink(bridge);
      const port = at === undefined ? undefined : await netlink.bridgePortOf(at.index, mac);
      return port === undefined ? '' : ((await netlink.findLink(port))?.name ?? '');
    },
  };
}

const CARRIED: Readonly<Record<FanEncap, Carried>> = {
  vxlan: 'frames',
  ipip: 'packets',
  fou: 'packets in UDP',
};

/** Calls `listener` when somebody else has changed the ruleset; returns how to end it. */
function watchForeign(filter: PacketFilterReader, listener: () => void): () => void {
  try {
    return watchNfTables((generation) => {
      // It comes before the answer that says that the change was ours.
      setTimeout(() => {
        if (!filter.isOwn(generation)) listener();
      }, OWN_CHANGE_MS).unref();
    });
  } catch {
    // A kernel without nfnetlink has no rules that could change.
    return () => undefined;
  }
}

/** Opens the host of the network namespace that this process is in. */
export function openHost(run: RunDirectory): RealHost {
  const netlink = Netlink.open();
  const interest = new RouteInterest();
  const routes = new HostRoutes(netlink, deviceIndex);
  const filter = new PacketFilterReader();
  const announcements = new Announcements((address) => netlink.routeMatching6(address));
  let sender: FrameSender | undefined;
  const kernelPaths = new Map<FanEncap, Promise<string>>();
  return {
    ...sixOfHost(netlink, announcements),
    ...bridgesOf(netlink),
    ...routesOfHost(netlink, routes),
    async links() {
      const links = await netlink.links();
      const ours = links.filter(({ alias }) => alias.startsWith('fanway:'));
      interest.set(ours.map(({ index }) => index));
      return links;
    },
    link: (ref) => netlink.findLink(ref),
    addresses: () => netlink.addresses(),
    ipv6Addresses: () => netlink.ipv6Addresses(),
    ipv6WayOut: () => netlink.ipv6WayOut(),
    createBridge: (name, mac) => netlink.createBridge(name, { address: mac }),
    fouPorts,
    deleteFouPort: (port) => closeFouPort({ encap: 'fou', port, datapath: 'kernel' }),
    kernelPath(encap) {
      const why = kernelPaths.get(encap) ?? whyNoKernelPath(netlink, CARRIED[encap]);
      // A module may be loaded meanwhile, which nobody but root does for fou.
      if (!isPacketsInUdp(encap)) kernelPaths.set(encap, why);
      return why;
    },
    setLink: (ref, change) => netlink.setLink(ref, change),
    deleteLink: (index) => netlink.deleteLink(index),
    addAddress: (device, address, length) => netlink.addAddress(device, address, length),
    deleteAddress: (device, address, length) => netlink.deleteAddress(device, address, length),
    hasOwnMac: (bridge, mac) => netlink.hasBridgeMac(bridge, mac),
    addOwnMac: (bridge, mac) => netlink.addBridgeMac(bridge, mac),
    forgetAnswers: (bridge) => forgetAnswers(netlink, bridge),
    readSysctl,
    writeSysctl,
    hasNft,
    packetFilter: () => filter.read(),
    legacyTables: readLegacyTables,
    loadRules: (text) => filter.load(text),
    otherTables,
    hasDnsmasq: () => findDnsmasq() !== undefined,
    startDhcp: (spec) => startDhcp(spec, run),
    dhcpRanges: dhcpRangesText,
    isRunning,
    stopDhcp: (bridge, mark) => stopDhcp(run, bridge, mark),
    networks: networkHost(netlink, () => {
      sender ??= new FrameSender();
      return sender;
    }),
    watch: (listener) =>
      netlink.monitor(
        (event) => {
          routes.note(event);
          listener(event);
        },
        { background: true, filter: interest },
      ),
    watchFilter: (listener) => watchForeign(filter, listener),
    close() {
      announcements.close();
      netlink.close();
      filter.close();
      sender?.close();
    },
  };
}
