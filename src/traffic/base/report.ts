/**
 * What a traffic program tells its starter: JSON objects, one a line, on standard output.
 * Written with a synchronous call, because the programs never return to the event loop.
 * @module
 */
import { writeSync } from 'node:fs';
import type { LatencySummary } from './histogram.ts';

/** The program listens; the other side may start. */
export type ReadyReport = { event: 'ready' };
/** The program failed; `message` is for people. */
export type ErrorReport = { event: 'error'; message: string };

/** Result of one TCP endpoint. `seconds` runs from the first byte to the last. */
export type TcpReport = {
  event: 'tcp';
  role: 'send' | 'receive';
  bytes: number;
  seconds: number;
  gbps: number;
  retransmits: number;
  mssBytes: number;
  streams: { bytes: number; sha256: string | undefined }[];
};

/** Result of a sender of TCP over IPv6: whether the other end has got the same. */
export type SixReport = {
  event: 'six';
  bytes: number;
  seconds: number;
  sha256: string;
  equal: boolean;
};

/** Result of a UDP sender. `refused`: datagrams that the local kernel did not take (ENOBUFS). */
export type UdpSendReport = {
  event: 'udp-send';
  sent: number;
  refused: number;
  seconds: number;
  pps: number;
};

/** Result of a UDP receiver. `missing` is counted up to the highest sequence number seen. */
export type UdpReceiveReport = {
  event: 'udp-receive';
  received: number;
  bytes: number;
  flows: number;
  missing: number;
  duplicates: number;
  late: number;
  /** Datagrams that are not ours or not as they were sent. */
  foreign: number;
  /** Dropped by the kernel at our own socket: the receiver, not the path, was too slow. */
  socketDrops: number;
  seconds: number;
  pps: number;
  latency: LatencySummary;
  histogram?: [number, number][];
};

/** Result of echo requests to one target. */
export type EchoTarget = {
  target: string;
  sent: number;
  received: number;
  rtt: LatencySummary;
};
export type EchoReport = { event: 'echo'; seconds: number; targets: EchoTarget[] };

/** Result of looking for the largest packet that gets through; 0 when not even the least does. */
export type PathMtuReport = { event: 'path-mtu'; target: string; mtuBytes: number };

/**
 * One probe: its stream, when it left (CLOCK_MONOTONIC, ns), its round trip in µs (-1 = lost), the TOS
 * byte with which it arrived there (-1 = not known) and with which its answer came back.
 */
export type ProbeSample = [
  stream: number,
  sentNs: number,
  rttUs: number,
  tosThere: number,
  tosBack: number,
];
/** What probes met since the last time. */
export type ProbeSamplesReport = { event: 'probe-samples'; samples: ProbeSample[] };
/** All probes were sent and waited for. */
export type ProbeReport = { event: 'probe'; startNs: number; seconds: number };
/** Result of who sends probes back. `foreign`: not a probe, not from a peer, or too many. */
export type ReflectReport = {
  event: 'reflect';
  reflected: number;
  foreign: number;
  seconds: number;
};
/** How far a TCP endpoint has come: bytes that arrived there (sender: were acknowledged). */
export type TcpProgressReport = { event: 'tcp-progress'; atNs: number; bytes: number };

export type Report =
  | ProbeSamplesReport
  | ProbeReport
  | ReflectReport
  | TcpProgressReport
  | ReadyReport
  | ErrorReport
  | TcpReport
  | UdpSendReport
  | UdpReceiveReport
  | EchoReport
  | PathMtuReport
  | SixReport;

/** Writes one report as a line. */
export function report(value: Report): void {
  writeSync(1, `${JSON.stringify(value)}\n`);
}
