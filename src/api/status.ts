/**
 * What a router says about itself: one value that `status` prints as JSON, and that its text and the
 * page are made from.
 * @module
 */
import { ENCAPS } from '../config/link/modes.ts';
import { bgpStatus } from './bgp.ts';
import { get } from './call.ts';
import { sourceWord } from './entries.ts';
import { gossipStatus } from './gossip.ts';
import { networkJson, readRateStatus } from './networks.ts';
import {
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

/** Delivered packets and bits per second over the last few seconds, each direction. */
const rates = fields({
  egressPackets: number,
  egressBits: number,
  ingressPackets: number,
  ingressBits: number,
});
export type Rates = ReadBy<typeof rates>;

/** Dropped packets of one kind in the last minute, with the likely cause. */
const dropStatus = fields({ counter: text, count: number, cause: text });
export type DropStatus = ReadBy<typeof dropStatus>;

/** Bytes, IP length: to the host's own address in the overlay, and to any other of its slice. */
const superBytes = fields({ toHost: number, toPorts: number });
export type SuperBytes = ReadBy<typeof superBytes>;

/** The way to one peer by one underlay. */
const peerWay = fields({
  /** Its address on the first underlay, and on this one; '' = it says that it has none there. */
  peer: text,
  address: text,
  /** It says so itself, by gossip; else it is at its host bits on the first. */
  told: flag,
  /** `untried`: it has answered nothing yet; `rising`: it answers again, and must do so for a while. */
  state: word('untried', 'up', 'lost', 'rising'),
  /** Why it is lost: no answers, no carrier here, no route, no address there; '' when it is not. */
  cause: word('', 'silent', 'carrier', 'unreachable', 'withdrawn'),
  /** Packets go by it, and it goes before others where one is enough. */
  used: flag,
  preferred: flag,
  /** Round trip; null = not known. */
  delayMs: nullable(number),
  /** Of what was asked lately. */
  lostPercent: number,
  /** Largest outer packet that gets there, bytes; 0 = not known. */
  mtu: number,
  /** Silent so long while another one answers, it is lost; and it must answer everything so long to be used again. */
  downDelayMs: number,
  upDelayMs: number,
  /** How often it was lost, and how long it is as it is. */
  losses: number,
  forMs: number,
});
export type PeerWay = ReadBy<typeof peerWay>;

/** One of several underlays of a link, and how it leads to the peers that packets go to. */
const linkUnderlay = fields({
  device: text,
  /** Our address there, with its width. */
  address: text,
  carrier: flag,
  /** Of the device, bytes; 0 = it is not there. */
  mtu: number,
  /** How others find us there: by our host bits, as members of the cluster alone, or not at all. */
  found: word('arithmetic', 'gossip', 'nobody'),
  peers: list(peerWay),
});
export type LinkUnderlay = ReadBy<typeof linkUnderlay>;

/** A host of a fan and a NAT between: where it is seen, '' = it is not yet; `agoMs` since it was last. */
const seenHost = { peer: text, name: text, seenAt: text, agoMs: number };

/** NATs between the hosts of a fan. */
const natStatus = fields({
  /** 0 = this host is behind none. */
  keepAliveSeconds: number,
  /** Hosts that may be elsewhere. */
  peers: list(fields(seenHost)),
  /** Where this host is seen, by each of the others; why it is not. */
  seenBy: list(fields({ ...seenHost, reason: text })),
});
export type NatStatus = ReadBy<typeof natStatus>;

/** Where a link has several: each, the first one first, and how packets choose; absent = it has one. */
export const underlayFields = {
  underlays: optional(list(linkUnderlay)),
  underlayMode: optional(text),
  xmitHashPolicy: optional(text),
};
export type LinkUnderlays = {
  underlays?: LinkUnderlay[] | undefined;
  underlayMode?: string | undefined;
  xmitHashPolicy?: string | undefined;
};

const linkStatus = fields({
  name: text,
  /**
   * `degraded`: up, but something of it cannot be made whole just now, or more is dropped than gets
   * through.
   */
  state: word('up', 'degraded', 'stopped'),
  /** Why it is stopped, or what is wrong; '' when all is well. */
  reason: text,
  /** Router advertisements between containers that were stopped; null where nothing counts them. */
  stoppedAdverts: nullable(number),
  /** Ports that have lost the bridge, and with it everything. */
  lostPorts: list(text),
  /** `250.0.0.0/8`. */
  overlay: text,
  /**
   * Our address with the underlay's width, `172.30.0.28/16`. While this host has none for it, what was asked
   * for; slice, gateway and device are '' then, and `underlayMtu` 0.
   */
  underlay: text,
  /** The underlay as it was asked for. */
  requested: text,
  slice: text,
  gateway: text,
  /** The IPv6 side; null = none. */
  six: nullable(fields({ overlay: text, slice: text, gateway: text, vni: number })),
  encap: word(...ENCAPS),
  device: text,
  port: number,
  vni: number,
  /** Bytes. */
  underlayMtu: number,
  innerMtu: number,
  /** Longest TCP packets that the device is given in one piece. */
  superBytes,
  dhcp: flag,
  hostReserve: number,
  auto: flag,
  bridgeGiven: flag,
  /** Who forwards: processes of fanway, or the kernel. A router of an older version does not say. */
  datapath: optional(word('userspace', 'kernel')),
  /**
   * Forwarded by the kernel: ports whose frames pass by the bridge, others with the reason, and why none
   * does ('' where some may). And why small packets do not leave straight from there ('' where they do), which a
   * router of an older version does not say.
   */
  bypass: optional(
    fields({
      ...{ ports: list(text), others: list(fields({ port: text, why: text })), why: text },
      notStraight: optional(text),
    }),
  ),
  offloads: list(text),
  /** What is less here than it could be, each in a sentence. */
  notes: list(text),
  ...underlayFields,
  /** Absent = none is spoken of. */
  nat: optional(natStatus),
  rates,
  /** null = it has none. */
  rate: nullable(readRateStatus),
  /** What was dropped in the last minute and is worth a word, most first. */
  drops: list(dropStatus),
  /** Pieces of it that others took away and that were made again, ever. */
  repairs: number,
  /** The latest of them by name, oldest first. */
  repaired: list(fields({ what: text, agoMs: number })),
});
export type LinkStatus = ReadBy<typeof linkStatus>;

const priorityWord = word('auto', 'normal', 'realtime');

const dataProcessStatus = fields({
  pid: number,
  restarts: number,
  heartbeat: number,
  alive: flag,
  /** By link. */
  offloads: record(list(text)),
  /** Outer source ports in use, by link. */
  sourcePorts: record(number),
  /** With how long ago, `device read: EBADFD, 42 s ago`; '' = none. */
  lastError: text,
  /** What its confinement lacks on this machine; empty = nothing. */
  confinementGaps: list(text),
  /** What it runs with, and why that is less than was asked for ('' when it is not). */
  priority: fields({ wanted: priorityWord, inForce: text, reason: text }),
});
export type DataProcessStatus = ReadBy<typeof dataProcessStatus>;

/** One peer. Times are ISO 8601, '' = never. */
const pathStatus = fields({
  /** Underlay address. */
  peer: text,
  /** Largest outer packet that gets there, bytes; 0 = as the device says. */
  mtu: number,
  /**
   * Who said so: `icmp`, `route` (or IPsec below it), `send` (the kernel refused one), `member` (the
   * peer itself, by gossip), `probe` (echo requests); '' = nobody.
   */
  mtuFrom: text,
  mtuSince: text,
  /** `refused`: datagrams go one by one; `works`; `unknown`: no train yet. */
  segmentation: word('unknown', 'works', 'refused'),
  /** errno name of the refusal. */
  segmentationError: text,
  segmentationSince: text,
  /**
   * Which trains of datagrams were seen to arrive there: all, only those that end in a shorter one, none;
   * `untested` where the host is no member of the cluster, is of an older build, or nothing was sent to it.
   */
  trains: word('untested', 'whole', 'uneven', 'none'),
  trainsSince: text,
  /** ICMP "port unreachable" from there. */
  portUnreachable: number,
  portUnreachableAt: text,
});
export type PathStatus = ReadBy<typeof pathStatus>;

/** Whether trains of datagrams arrive damaged on a path. */
export function damagesTrains({ trains }: PathStatus): boolean {
  return trains === 'uneven' || trains === 'none';
}

/** Whose claims were not taken: its own share is full, or the table as a whole. */
const refusal = fields({
  source: sourceWord,
  owner: text,
  /** Of the member, '' where nobody knows it. */
  name: text,
  count: number,
  cause: word('share', 'table'),
});
export type RefusalJson = ReadBy<typeof refusal>;

const tableStatus = fields({
  /** Entries in the table, and hosts that they name. */
  entries: number,
  peers: number,
  /** Entries that found no room; the traffic for them goes where arithmetic says. */
  waiting: number,
  /** Claims of others, or of ours, that found no room; what counts more than a few owners is cut. */
  refused: number,
  refusals: list(refusal),
  /** Entries that move too often and are left where they are for a while. */
  held: list(fields({ link: text, entry: text })),
});
export type TableStatus = ReadBy<typeof tableStatus>;

const routerStatus = fields({
  version: text,
  pid: number,
  runDirectory: text,
  /** Inode (in nsfs) of the network namespace that it serves. */
  networkNamespace: number,
  mode: text,
  /** Data processes, and how long each spins before it sleeps, µs. */
  queues: number,
  busyPollUs: number,
  /** How they were asked to be scheduled; each process tells what is in force. */
  priority: priorityWord,
  uptimeMs: number,
  links: list(linkStatus),
  /** Layer-2 networks. */
  networks: list(networkJson),
  processes: list(dataProcessStatus),
  /** Peers whose path carries less than the underlay's device, or answers with errors. */
  paths: list(pathStatus),
  /** The table of prefixes that are elsewhere than arithmetic says. */
  table: tableStatus,
  /** null = nobody asked for gossip. */
  gossip: nullable(gossipStatus),
  /** null = nobody asked for BGP. */
  bgp: nullable(bgpStatus),
});
export type RouterStatus = ReadBy<typeof routerStatus>;

export const statusCall = get('/v1/status', routerStatus);
