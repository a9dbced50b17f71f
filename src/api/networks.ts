/**
 * Layer-2 networks on the admin socket: how they are, and who is in them. A page of the router reads it
 * too, so nothing here needs more than a browser has.
 * @module
 */

import { ARP_MODES, BUM_MODES, GUARD_MODES } from '../config/network/modes.ts';
import type { NetworkRequest } from '../config/network.ts';
import { get, post } from './call.ts';
import {
  count,
  fields,
  flag,
  list,
  nullable,
  number,
  optional,
  type ReadBy,
  record,
  text,
  word,
} from './reader.ts';
import { type LinkUnderlays, underlayFields } from './status.ts';

/** A host that takes part in a network. */
export type NetworkMember = {
  /** Its tunnel endpoint. */
  host: string;
  /** A node id, or a tunnel endpoint. */
  owner: string;
  /** '' where nobody knows it. */
  name: string;
  source: string;
  /** It wants what is flooded. */
  floods: boolean;
  /** It copies floods for others. */
  replicator: boolean;
};

const member = fields<NetworkMember>({
  ...{ host: text, owner: text, name: text, source: text, floods: flag, replicator: flag },
});

const drop = fields({ counter: text, count: number, cause: text });

/** Addresses that nobody was known to have: asked of other hosts, and looked for when others asked. */
export type NetworkSearch = {
  /** Addresses that other hosts were asked for, each time counted. */
  asked: number;
  /** Those of them that turned up. */
  found: number;
  /** Not asked for, since it was asked for a moment ago. */
  damped: number;
  /** Not asked for, since more were than anybody may. */
  limited: number;
  /** Looked for behind the ports of our own bridge. */
  looked: number;
  /** Not looked for, since a host asked for too many. */
  refused: number;
};

/** Who answers ARP, and what the kernel's bridge has to do with it. */
const arpAnswers = fields({
  asked: word(...ARP_MODES),
  by: word('kernel', 'userspace'),
  /** Addresses that the bridge answers for now: those that were asked for lately. */
  addresses: count,
  /** Questions that it answered. */
  answered: count,
  /** Why it answers none, '' = it may, or is not to. */
  reason: text,
});
export type ArpAnswers = ReadBy<typeof arpAnswers>;

/** A host, by its underlay address and its name as far as somebody knows it. */
const namedHost = fields({ host: text, name: text });

/** What a network has to do with service nodes on this host. */
export const readServiceNode = fields({
  /** This host copies floods for others. */
  replicates: flag,
  /** Those that hand theirs to it now, the first of them, and how many they are. */
  serves: list(namedHost),
  servesCount: count,
  /** Copies that it sent, and floods of others that were more than the network lets pass. */
  copies: number,
  limited: number,
  /** The nodes that this host may use, the preferred one first. */
  nodes: list(text),
  /** The one that copies its floods now, '' = none does. */
  through: text,
  /** How often another one took over, and how long ago the last did, ms; null = never. */
  failOvers: count,
  failedOverMs: nullable(number),
});
export type ServiceNodeStatus = ReadBy<typeof readServiceNode>;

/** A link's rate, of a fan or a network. Packets are those since the link came up. */
export const readRateStatus = fields({
  /** `95M` or `auto`. */
  asked: text,
  /** In force, bits a second; 0 = `auto` has found no bottleneck yet. */
  bits: number,
  /** What tells flows apart; `all`, or names with commas between. */
  flowKeys: text,
  /** Hosts that do not tell `auto` in which direction packets wait: it goes by their round trips. */
  roundTrips: list(text),
  /** In the queues now. */
  waiting: number,
  /** Flows that have packets there. */
  flows: number,
  /** How long a packet that had to wait did so lately, ms; 0 = none did. */
  delayMs: number,
  marked: number,
  dropped: number,
  /** What single hosts may be sent: `172.30.1.27=20M`, with commas between; `none`. */
  peers: text,
});
export type RateStatus = ReadBy<typeof readRateStatus>;

/** How a network is on this host. */
export type NetworkJson = LinkUnderlays & {
  network: string;
  bridge: string;
  vni: number;
  state: 'up' | 'degraded' | 'stopped';
  /** Why it is stopped, or what is wrong; '' when all is well. */
  reason: string;
  bum: NetworkRequest['bum'];
  guard: NetworkRequest['guard'];
  device: string;
  /** Our address with the underlay's width, `172.30.0.28/16`; what was asked for while this host has none. */
  underlay: string;
  port: number;
  /** Bytes. */
  innerMtu: number;
  underlayMtu: number;
  /** null = it has none. */
  rate: RateStatus | null;
  /** Who forwards: processes of fanway, or the kernel. A router of an older version does not say. */
  datapath?: 'userspace' | 'kernel' | undefined;
  offloads: string[];
  /** The first of them. */
  members: NetworkMember[];
  memberCount: number;
  macs: { local: number; remote: number; silent: number; frozen: number; refused: number };
  addresses: number;
  /** Entries that found no room in the tables. */
  waiting: number;
  /** Where DHCP clients and router solicitations are led, an underlay address; '' = here, null = nowhere. */
  servers: { dhcp: string | null; router: string | null };
  /** null = neither hands its floods to a node, nor is one. */
  serviceNode: ServiceNodeStatus | null;
  /** The search for workloads that never said a word. */
  search: NetworkSearch;
  /** Who answers ARP for addresses of other hosts. */
  arp: ArpAnswers;
  /** Rules that are in force. */
  rules: number;
  /** Things that the last audit found to differ from what was decided. */
  drift: number;
  /** Frames that went to more than one host, by cause; all 0 = floodless. */
  floods: Record<string, number>;
  /** What was dropped in the last minute and is worth a word, most first. */
  drops: { counter: string; count: number; cause: string }[];
  rates: { egressPackets: number; egressBits: number; ingressPackets: number; ingressBits: number };
  lostPorts: string[];
  notes: string[];
  repairs: number;
  repaired: { what: string; agoMs: number }[];
};

export const networkJson = fields<NetworkJson>({
  ...{ network: text, bridge: text, vni: number, state: word('up', 'degraded', 'stopped') },
  ...{ reason: text, bum: word(...BUM_MODES), guard: word(...GUARD_MODES), device: text },
  rate: nullable(readRateStatus),
  datapath: optional(word('userspace', 'kernel')),
  ...{ underlay: text, port: number, innerMtu: number, underlayMtu: number },
  ...{ offloads: list(text), members: list(member), memberCount: count },
  macs: fields({
    ...{ local: count, remote: count, silent: count, frozen: count, refused: count },
  }),
  servers: fields({ dhcp: nullable(text), router: nullable(text) }),
  serviceNode: nullable(readServiceNode),
  arp: arpAnswers,
  search: fields({
    ...{ asked: count, found: count, damped: count, limited: count, looked: count },
    refused: count,
  }),
  ...{
    addresses: count,
    waiting: count,
    rules: count,
    drift: count,
    floods: record(number),
    drops: list(drop),
  },
  rates: fields({
    ...{ egressPackets: number, egressBits: number },
    ...{ ingressPackets: number, ingressBits: number },
  }),
  ...underlayFields,
  ...{ lostPorts: list(text), notes: list(text), repairs: count },
  repaired: list(fields({ what: text, agoMs: number })),
});

export const networksCall = get('/v1/networks', list(networkJson));

/** Rows of one page. */
export const NETWORK_PAGE_MAX = 1000;

/** Which network, by name, null = all; and from which row on. */
export type NetworkPageRequest = { network: string | null; from: number };
const pageRequest = fields<NetworkPageRequest>({ network: nullable(text), from: count });

/** One MAC, where it is, and who says so. */
export type MacJson = {
  network: string;
  mac: string;
  /** Underlay address; '' = here. */
  host: string;
  source: string;
  owner: string;
  /** Of the owner, '' where nobody knows it. */
  name: string;
  /** How often it moved. */
  sequence: number;
  sticky: boolean;
  /** It moved too often: it is left where it is. */
  frozen: boolean;
  /** Here, and silent: it is asked. */
  silent: boolean;
  addresses: string[];
};

export const macsCall = post<NetworkPageRequest, { macs: MacJson[]; next: number | null }>(
  '/v1/networks/macs',
  pageRequest,
  fields({
    macs: list(
      fields<MacJson>({
        ...{ network: text, mac: text, host: text, source: text, owner: text, name: text },
        ...{ sequence: number, sticky: flag, frozen: flag, silent: flag, addresses: list(text) },
      }),
    ),
    next: nullable(count),
  }),
);

/** One address, whose it is and where. */
export type BindingJson = {
  network: string;
  address: string;
  mac: string;
  /** Underlay address; '' = here. */
  host: string;
  source: string;
  name: string;
  /** The kernel's bridge answers for it now. */
  kernel: boolean;
};

export const arpCall = post<NetworkPageRequest, { bindings: BindingJson[]; next: number | null }>(
  '/v1/networks/arp',
  pageRequest,
  fields({
    bindings: list(
      fields<BindingJson>({
        ...{ network: text, address: text, mac: text, host: text, source: text, name: text },
        kernel: flag,
      }),
    ),
    next: nullable(count),
  }),
);

/** From when on a MAC was where; `host` null = nowhere. */
export type PastJson = {
  network: string;
  /** Wall clock, ms since 1970. */
  atMs: number;
  /** Underlay address; '' = here. */
  host: string | null;
  source: string;
  name: string;
  sequence: number;
  /** What else was seen of it then: that it is at two hosts. */
  remark: string;
};

export const macHistoryCall = post<{ mac: string }, PastJson[]>(
  '/v1/networks/mac-history',
  fields({ mac: text }),
  list(
    fields<PastJson>({
      ...{ network: text, atMs: number, host: nullable(text), source: text, name: text },
      ...{ sequence: number, remark: text },
    }),
  ),
);

/** What one network knows of a MAC or an address. */
export type NetworkExplanation = {
  network: string;
  bridge: string;
  vni: number;
  mac: string;
  address: string;
  /** Underlay address, '' = here. */
  host: string;
  source: string;
  owner: string;
  name: string;
  sequence: number;
  /** What the tables of the data path themselves have. */
  inTable: boolean;
  text: string;
};

export const explainNetworkCall = post<{ what: string }, NetworkExplanation[]>(
  '/v1/networks/explain',
  fields({ what: text }),
  list(
    fields<NetworkExplanation>({
      ...{ network: text, bridge: text, vni: number, mac: text, address: text, host: text },
      ...{ source: text, owner: text, name: text, sequence: number, inTable: flag, text },
    }),
  ),
);
