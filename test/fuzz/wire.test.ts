import t from 'tap';
import * as arp from '../../src/wire/arp.ts';
import * as classify from '../../src/wire/classify.ts';
import { Fault, walkIpv6 } from '../../src/wire/classify.ts';
import * as ethernet from '../../src/wire/ethernet.ts';
import { flowHash, frameHash } from '../../src/wire/flow-hash.ts';
import * as icmp from '../../src/wire/icmp.ts';
import * as ipv4 from '../../src/wire/ipv4.ts';
import * as tcp from '../../src/wire/tcp.ts';
import * as vxlan from '../../src/wire/vxlan.ts';
import { FUZZ_RUNS, fuzz, Mutator } from './mutate.ts';
import {
  ARP_MESSAGES,
  FRAMES,
  IP_PACKETS,
  TCP_SEGMENTS,
  VIRTIO_FRAMES,
  VXLAN_DATAGRAMS,
} from './seeds.ts';

// A busy machine takes several times as long as an idle one.
t.setTimeout(1_200_000);

/** A fault is one of the table's numbers. */
const KNOWN = new Set<number>(Object.values(Fault));

/** A checked transport header, and what an accessor reads of it. */
function walkTransport(view: DataView, at: number, bytes: number, protocol: number): boolean {
  if (classify.checkTransport(view, at, bytes, protocol) !== Fault.None) return true;
  if (protocol === ipv4.PROTOCOL_TCP) {
    const mss = tcp.findTcpMss(view, at);
    const end = at + tcp.getTcpHeaderBytes(view, at);
    return mss === -1 || (mss >= at + tcp.TCP_HEADER_BYTES && mss + 2 <= end);
  }
  return true;
}

/** Everything that reads an IPv4 packet after its check has passed. */
function walkIpv4(view: DataView, at: number, length: number): boolean {
  const fault = classify.checkIpv4(view, at, length);
  if (fault !== Fault.None) return KNOWN.has(fault);
  ipv4.isIpv4ChecksumRight(view, at);
  flowHash(view, at);
  icmp.mayAnswerIpv4(view, at, length);
  if (classify.checkIpv4Options(view, at) !== Fault.None) return true;
  if (classify.checkIpv4Fragment(view, at) !== Fault.None) return true;
  if (ipv4.isIpv4Fragment(view, at)) return true;
  const headerBytes = ipv4.getIpv4HeaderBytes(view, at);
  const bytes = ipv4.getIpv4TotalBytes(view, at) - headerBytes;
  return walkTransport(view, at + headerBytes, bytes, ipv4.getIpv4Protocol(view, at));
}

/** Everything that reads an IPv6 packet after its check has passed. */
function walkV6(view: DataView, at: number, length: number): boolean {
  const fault = classify.checkIpv6(view, at, length);
  if (fault !== Fault.None) return KNOWN.has(fault);
  flowHash(view, at);
  icmp.mayAnswerIpv6(view, at, length);
  const found = walkIpv6(view, at);
  if (found < 0) return true;
  const transport = found & 0xffff;
  return walkTransport(view, at + transport, length - transport, found >>> 16);
}

function walkPacket(view: DataView, at: number, length: number): boolean {
  if (length < 1) return classify.checkIpv4(view, at, length) === Fault.Truncated;
  return ipv4.getIpVersion(view, at) === 6 ? walkV6(view, at, length) : walkIpv4(view, at, length);
}

function walkArp(view: DataView, at: number, length: number): boolean {
  const fault = classify.checkArp(view, at, length);
  if (fault !== Fault.None) return KNOWN.has(fault);
  return arp.getArpTargetAddress(view, at) >= 0 && arp.getArpSenderMac(view, at) <= 0xffffffffffff;
}

function walkFrame(view: DataView, at: number, length: number): boolean {
  const fault = classify.checkEthernet(view, at, length);
  if (fault !== Fault.None) return KNOWN.has(fault);
  const inner = at + ethernet.ETHERNET_HEADER_BYTES;
  const bytes = length - ethernet.ETHERNET_HEADER_BYTES;
  switch (ethernet.getEtherType(view, at)) {
    case ethernet.ETHERTYPE_IPV4:
      if (classify.checkIpv4(view, inner, bytes) === Fault.None) frameHash(view, at);
      return walkIpv4(view, inner, bytes);
    case ethernet.ETHERTYPE_IPV6:
      return walkV6(view, inner, bytes);
    case ethernet.ETHERTYPE_ARP:
      return walkArp(view, inner, bytes);
    default:
      return frameHash(view, at) >= 0;
  }
}

function walkVxlan(view: DataView, length: number): boolean {
  const fault = classify.checkVxlan(view, 0, length);
  if (fault !== Fault.None) return KNOWN.has(fault);
  if (vxlan.getVni(view, 0) > vxlan.VNI_MAX) return false;
  return walkFrame(view, vxlan.VXLAN_HEADER_BYTES, length - vxlan.VXLAN_HEADER_BYTES);
}

const quote = new DataView(new ArrayBuffer(1300));

/** An ICMP error about whatever passed the checks stays inside its 576 bytes. */
function answer(view: DataView, length: number): boolean {
  if (classify.checkIpv4(view, 0, length) !== Fault.None) return true;
  const bytes = icmp.emitIcmpFragmentationNeeded(quote, 0, 0xfa001b01, 1450, {
    view: view,
    at: 0,
    bytes: length,
  });
  return bytes <= icmp.ICMP_ERROR_BYTES_MAX && classify.checkIpv4Sum(quote, 0) === Fault.None;
}

/** MSS clamping only ever touches the window. */
function clamp(view: DataView, length: number): boolean {
  if (classify.checkTransport(view, 0, length, 6) !== Fault.None) return true;
  tcp.clampTcpMss(view, 0, 1200, true);
  return true;
}

const TARGETS: readonly [
  string,
  readonly Uint8Array[],
  (view: DataView, length: number) => boolean,
][] = [
  ['an IP packet', IP_PACKETS, (view, length) => walkPacket(view, 0, length)],
  ['an Ethernet frame', FRAMES, (view, length) => walkFrame(view, 0, length)],
  ['an ARP message', ARP_MESSAGES, (view, length) => walkArp(view, 0, length)],
  ['a VXLAN datagram', VXLAN_DATAGRAMS, walkVxlan],
  ['a TCP header', TCP_SEGMENTS, clamp],
  ['an ICMP error about a packet', IP_PACKETS, answer],
  [
    'a virtio-net header',
    VIRTIO_FRAMES,
    (view, length) => length < 10 || KNOWN.has(classify.checkVirtioNet(view, 0, length - 10)),
  ],
];

for (const [what, seeds, parser] of TARGETS) {
  t.test(`${what}: mutations neither throw nor leave the window`, async (t) => {
    const report = fuzz(seeds, parser);
    t.equal(report.failure, '');
    t.comment(`${report.runs} runs, seed ${report.seed}`);
    t.equal(report.runs, FUZZ_RUNS, 'all runs made in time');
  });
}

t.test('the seeds themselves are honest', async (t) => {
  for (const packet of IP_PACKETS) {
    const view = new DataView(packet.buffer);
    const check = ipv4.getIpVersion(view, 0) === 6 ? classify.checkIpv6 : classify.checkIpv4Exact;
    t.equal(check(view, 0, packet.length), Fault.None, Buffer.from(packet).toString('hex'));
  }
  for (const frame of FRAMES) {
    t.equal(classify.checkEthernet(new DataView(frame.buffer), 0, frame.length), Fault.None);
  }
});

t.test('the mutator repeats itself for a seed, and finds a planted fault', async (t) => {
  const trace = (seed: number): string => {
    const mutator = new Mutator(seed, IP_PACKETS);
    return Array.from({ length: 50 }, () => {
      const length = mutator.next();
      return Buffer.from(mutator.bytes.subarray(0, length)).toString('hex');
    }).join();
  };
  t.equal(trace(7), trace(7));
  t.not(trace(7), trace(8));
  const careless = fuzz(IP_PACKETS, (view) => view.getUint16(2) >= 0, { runs: 10_000, seed: 1 });
  t.match(careless.failure, /RangeError.*FANWAY_FUZZ_SEED=1/);
  const trusting = fuzz(
    IP_PACKETS,
    (view, length) => length < 20 || view.getUint8(Math.max(0, view.getUint16(2) - 1)) >= 0,
    { runs: 10_000, seed: 1 },
  );
  t.match(trusting.failure, /RangeError/, 'a total length that lies');
});
