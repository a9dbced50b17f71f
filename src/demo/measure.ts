/**
 * What the demo does to one overlay: every container asks every other, 256 MB of TCP with equal
 * hashes at both ends, TCP for speed, UDP both ways at once.
 * @module
 */
import { formatIpv4 } from '../net/ipv4.ts';
import { runEcho, runTcpPair, runUdpPair } from '../traffic/run.ts';
import type { Lab, LabContainer } from './lab.ts';

export type EchoResult = {
  pairs: number;
  answered: number;
  sent: number;
  received: number;
  /** Round trips of one pair on different hosts, one at a time, in µs. */
  rttMinUs: number;
  rttAvgUs: number;
  rttP99Us: number;
};
export type TcpResult = {
  bytes: number;
  seconds: number;
  sha256: string;
  equal: boolean;
};
export type UdpResult = {
  sent: number;
  received: number;
  lost: number;
  duplicates: number;
  latencyP99Us: number;
};
export type OverlayResult = {
  echo: EchoResult;
  tcp: TcpResult;
  gbps: number;
  udp: UdpResult[];
};

const ECHO_ROUNDS = 10;
const RTT_ROUNDS = 300;
const TCP_BYTES = 256 * 1024 * 1024;
const SPEED_SECONDS = 1.5;
const UDP_PPS = 5000;
const UDP_SECONDS = 1;
const UDP_PAYLOAD_BYTES = 512;
const UDP_TRIES = 3;
/** A larger share of lost datagrams counts as a fault. */
export const UDP_LOSS_MAX = 0.01;
const TCP_PORT = 5001;
const SPEED_PORT = 5002;
const UDP_PORT = 5003;

/** Throws when the demo was told to stop. */
export type Checkpoint = (step: string) => void;

/**
 * Measures the overlay that the lab's attached containers are on.
 * @throws TrafficError when a program fails or nothing gets through.
 */
export async function measureOverlay(lab: Lab, step: Checkpoint): Promise<OverlayResult> {
  step('echo: every container asks every other');
  const echo = await measureEcho(lab);
  const first = lab.container(0, 0);
  const second = lab.container(1, 0);
  step(`TCP: 256 MB ${first.name} -> ${second.name}, SHA-256 at both ends`);
  const transfer = await runTcpPair(pathTo(first, second), {
    port: TCP_PORT,
    bytes: TCP_BYTES,
    sha256: true,
  });
  const sentHash = transfer.sent.streams[0]?.sha256 ?? '';
  const receivedHash = transfer.received.streams[0]?.sha256 ?? '';
  step('TCP: one stream for speed');
  const speed = await runTcpPair(pathTo(first, second), {
    port: SPEED_PORT,
    seconds: SPEED_SECONDS,
  });
  const udp = await measureUdp(lab, step);
  return {
    echo,
    tcp: {
      bytes: transfer.received.bytes,
      seconds: transfer.received.seconds,
      sha256: receivedHash,
      equal:
        receivedHash !== '' &&
        receivedHash === sentHash &&
        transfer.received.bytes === TCP_BYTES &&
        transfer.sent.bytes === TCP_BYTES,
    },
    gbps: speed.received.gbps,
    udp,
  };
}

function pathTo(from: LabContainer, to: LabContainer) {
  return { from, to, address: formatIpv4(to.address) };
}

/**
 * Datagrams both ways at once. UDP may be lost, and is on a machine whose CPUs are all taken by
 * something else for a while: more than a little loss is given another try before it counts.
 */
async function measureUdp(lab: Lab, step: Checkpoint): Promise<UdpResult[]> {
  const [left, right] = [lab.container(1, 1), lab.container(2, 0)];
  for (let attempt = 1; ; attempt += 1) {
    const again = attempt === 1 ? '' : ` (try ${attempt})`;
    step(`UDP: ${left.name} <-> ${right.name}, both ways at once${again}`);
    const options = {
      port: UDP_PORT,
      rate: UDP_PPS,
      seconds: UDP_SECONDS,
      size: UDP_PAYLOAD_BYTES,
    };
    const pairs = await Promise.all([
      runUdpPair(pathTo(left, right), options),
      runUdpPair(pathTo(right, left), options),
    ]);
    const results = pairs.map(({ sent, received }) => ({
      sent: sent.sent,
      received: received.received,
      lost: sent.sent - received.received,
      duplicates: received.duplicates,
      latencyP99Us: received.latency.p99Us,
    }));
    const lossy = results.some(({ sent, lost }) => lost > sent * UDP_LOSS_MAX);
    if (!lossy || attempt === UDP_TRIES) return results;
  }
}

async function measureEcho(lab: Lab): Promise<EchoResult> {
  const result = { pairs: 0, answered: 0, sent: 0, received: 0 };
  for (const from of lab.containers) {
    const addresses = lab.containers
      .filter((container) => container !== from)
      .map((container) => formatIpv4(container.address));
    const { targets } = await runEcho(from, addresses, { count: ECHO_ROUNDS });
    for (const target of targets) {
      result.pairs += 1;
      if (target.received > 0) result.answered += 1;
      result.sent += target.sent;
      result.received += target.received;
    }
  }
  // One pair alone, each request when the last was answered: a crowd would measure itself.
  const far = formatIpv4(lab.container(1, 0).address);
  const { targets } = await runEcho(lab.container(0, 0), [far], { count: RTT_ROUNDS });
  const [target] = targets;
  result.sent += target?.sent ?? 0;
  result.received += target?.received ?? 0;
  return {
    ...result,
    rttMinUs: target?.rtt.minUs ?? 0,
    rttAvgUs: target?.rtt.avgUs ?? 0,
    rttP99Us: target?.rtt.p99Us ?? 0,
  };
}
