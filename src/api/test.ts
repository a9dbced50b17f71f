/**
 * What a host measures of its paths to others, on the admin socket and between hosts.
 * @module
 */
import { post } from './call.ts';
import { fields, list, nullable, number, type ReadBy, record, text, word } from './reader.ts';

/** Hosts that one host measures in one test. */
export const TARGETS_MAX = 128;

/** Either the plain network between two hosts, or the tunnel through it. Times are milliseconds. */
export const layerReport = fields({
  sent: number,
  received: number,
  /** null = nothing came back. */
  minMs: nullable(number),
  avgMs: nullable(number),
  maxMs: nullable(number),
  /** Answers that came after one to a later request. */
  reordered: number,
  /** Largest IP packet that is answered, bytes; 0 = none was. */
  mtu: number,
  /** Largest that there could be, by the device. */
  mtuMax: number,
});
export type LayerReport = ReadBy<typeof layerReport>;

/** From the host that measured to another, over one fan. */
const pathReport = fields({
  /** Node id; '' where there is no gossip. */
  to: text,
  name: text,
  /** The overlay of the fan that both are in, or `VNI N` of the network. */
  overlay: text,
  /** Addresses of the far host: in the underlay, and its own in the overlay. */
  host: text,
  gateway: text,
  underlay: layerReport,
  tunnel: layerReport,
  /** `refused`: datagrams go one by one. */
  segmentation: word('unknown', 'works', 'refused'),
});
export type PathReport = ReadBy<typeof pathReport>;

/** One link of the host that measured, and what it dropped meanwhile. */
const linkReport = fields({
  link: text,
  overlay: text,
  encap: text,
  offloads: list(text),
  drops: list(fields({ counter: text, count: number, cause: text })),
});
export type LinkReport = ReadBy<typeof linkReport>;

/** All that one host measured; `problem` says why it measured nothing, '' when it did. */
export const hostReport = fields({
  from: text,
  name: text,
  problem: text,
  links: list(linkReport),
  paths: list(pathReport),
});
export type HostReport = ReadBy<typeof hostReport>;

/** Where a host is made to measure its paths to all members, and each of them to do the same. */
export const TEST_PATH = '/v1/test';

/** `only`: names or ids of the members that are meant; none = all that live. */
export type TestRequest = { only: string[] };
export const testRequest = fields<TestRequest>({ only: list(text, TARGETS_MAX) });

/** One line of the answer: how many hosts are to report, then each report as it comes. */
export type TestLine = { kind: 'hosts'; names: string[] } | { kind: 'report'; report: HostReport };

const lineKind = fields({ kind: word('hosts', 'report') });
const lines = {
  hosts: fields<Extract<TestLine, { kind: 'hosts' }>>({
    ...{ kind: word<'hosts'>('hosts'), names: list(text) },
  }),
  report: fields<Extract<TestLine, { kind: 'report' }>>({
    ...{ kind: word<'report'>('report'), report: hostReport },
  }),
};

/** @throws ShapeError */
export function readTestLine(value: unknown): TestLine {
  return lines[lineKind(value, '').kind](value, '');
}

/** What a member counted so far on a link that it shares with this host (an overlay, or `VNI N`); names of counters. */
export const farCountersCall = post<{ member: string; overlay: string }, Record<string, number>>(
  '/v1/gossip/counters',
  fields({ member: text, overlay: text }),
  record(number),
);
