/**
 * Vectors of every codec in `wire/`: a value and the bytes it stands for. `emit` must produce the
 * bytes, `parse` must give the value back. The bytes were written from the RFCs' layouts by
 * hand, checksums computed apart from this code.
 * @module
 */
import {
  emitArp,
  getArpOperation,
  getArpSenderAddress,
  getArpSenderMac,
  getArpTargetAddress,
  getArpTargetMac,
  setArpTarget,
} from '../../src/wire/arp.ts';
import {
  emitEthernet,
  getEthernetDestination,
  getEthernetSource,
  getEtherType,
} from '../../src/wire/ethernet.ts';
import {
  emitIcmpEcho,
  getIcmpCode,
  getIcmpIdentifier,
  getIcmpSequence,
  getIcmpType,
} from '../../src/wire/icmp.ts';
import {
  emitIpv4,
  getIpv4Destination,
  getIpv4Fragment,
  getIpv4Identification,
  getIpv4Protocol,
  getIpv4Source,
  getIpv4Tos,
  getIpv4TotalBytes,
  getIpv4Ttl,
} from '../../src/wire/ipv4.ts';
import {
  emitIpv6,
  getIpv6FlowLabel,
  getIpv6HopLimit,
  getIpv6NextHeader,
  getIpv6PayloadBytes,
  getIpv6TrafficClass,
} from '../../src/wire/ipv6.ts';
import {
  emitTcp,
  getTcpAcknowledge,
  getTcpDestination,
  getTcpFlags,
  getTcpSequence,
  getTcpSource,
  getTcpWindow,
} from '../../src/wire/tcp.ts';
import {
  emitUdp,
  getUdpBytes,
  getUdpChecksum,
  getUdpDestination,
  getUdpSource,
} from '../../src/wire/udp.ts';
import {
  emitVirtioNet,
  getVirtioCsumOffset,
  getVirtioCsumStart,
  getVirtioFlags,
  getVirtioGsoBytes,
  getVirtioGsoType,
  getVirtioHeaderBytes,
  setVirtioGso,
} from '../../src/wire/virtio-net.ts';
import { emitVxlan, getVni, getVxlanFlags, getVxlanReserved } from '../../src/wire/vxlan.ts';

/** A header's fields in the order of its `emit` function, and its bytes. */
export type Vector = { readonly fields: readonly number[]; readonly hex: string };

/** A codec as the vectors' runner sees it: fields in, fields out. */
export type Codec = {
  readonly name: string;
  readonly emit: (view: DataView, offset: number, fields: readonly number[]) => void;
  readonly parse: (view: DataView, offset: number) => number[];
  readonly vectors: readonly Vector[];
};

/** An emitter with its number arguments spread from a list. */
type Emitter = (view: DataView, offset: number, ...fields: number[]) => void;
const spread =
  (emit: unknown): Codec['emit'] =>
  (view, offset, fields) =>
    (emit as Emitter)(view, offset, ...fields);

export const CODECS: readonly Codec[] = [
  {
    name: 'ethernet',
    emit: spread(emitEthernet),
    parse: (v, at) => [
      getEthernetDestination(v, at),
      getEthernetSource(v, at),
      getEtherType(v, at),
    ],
    vectors: [
      { fields: [0x0242fa001c01, 0x0242fa001b01, 0x0800], hex: '0242fa001c01 0242fa001b01 0800' },
      { fields: [0xffffffffffff, 0xfefffffffffe, 0x0806], hex: 'ffffffffffff fefffffffffe 0806' },
      { fields: [0, 0, 0], hex: '000000000000 000000000000 0000' },
      { fields: [0x800000000000, 0x000080000000, 0xffff], hex: '800000000000 000080000000 ffff' },
    ],
  },
  {
    name: 'arp',
    emit: (view, offset, [operation = 0, mac = 0, address = 0, targetMac = 0, target = 0]) => {
      emitArp(view, offset, operation, mac, address);
      setArpTarget(view, offset, targetMac, target);
    },
    parse: (v, at) => [
      getArpOperation(v, at),
      getArpSenderMac(v, at),
      getArpSenderAddress(v, at),
      getArpTargetMac(v, at),
      getArpTargetAddress(v, at),
    ],
    vectors: [
      {
        fields: [1, 0x0242fa001b02, 0xfa001b02, 0, 0xfa001c02],
        hex: '0001 0800 06 04 0001 0242fa001b02 fa001b02 000000000000 fa001c02',
      },
      {
        fields: [2, 0x0242fa001c02, 0xfa001c02, 0x0242fa001b02, 0xfa001b02],
        hex: '0001 0800 06 04 0002 0242fa001c02 fa001c02 0242fa001b02 fa001b02',
      },
    ],
  },
  {
    name: 'ipv4',
    emit: (view, offset, [source = 0, destination = 0, protocol = 0, totalBytes = 0, ...rest]) => {
      const [tos = 0, ttl = 0, identification = 0, fragment = 0] = rest;
      const more = { tos, ttl, identification, fragment };
      emitIpv4(view, offset, { source, destination, protocol, totalBytes, ...more });
    },
    parse: (v, at) => [
      getIpv4Source(v, at),
      getIpv4Destination(v, at),
      getIpv4Protocol(v, at),
      getIpv4TotalBytes(v, at),
      getIpv4Tos(v, at),
      getIpv4Ttl(v, at),
      getIpv4Identification(v, at),
      getIpv4Fragment(v, at),
    ],
    vectors: [
      {
        // The example that most textbooks use for the header checksum: b1e6.
        fields: [0xac100a63, 0xac100a0c, 6, 60, 0, 64, 0x1c46, 0x4000],
        hex: '4500 003c 1c46 4000 4006 b1e6 ac100a63 ac100a0c',
      },
      {
        fields: [0xc0a80001, 0xc0a800c7, 17, 115, 0, 64, 0, 0x4000],
        hex: '4500 0073 0000 4000 4011 b861 c0a80001 c0a800c7',
      },
      {
        fields: [0xac1e001b, 0xac1e001c, 4, 65535, 0xbb, 255, 0xffff, 0x2001],
        hex: '45bb ffff ffff 2001 ff04 42ca ac1e001b ac1e001c',
      },
    ],
  },
  {
    name: 'ipv6',
    emit: (view, offset, [trafficClass = 0, label = 0, bytes = 0, next = 0, hopLimit = 0]) =>
      emitIpv6(view, offset, bytes, next, hopLimit, (trafficClass << 20) | label),
    parse: (v, at) => [
      getIpv6TrafficClass(v, at),
      getIpv6FlowLabel(v, at),
      getIpv6PayloadBytes(v, at),
      getIpv6NextHeader(v, at),
      getIpv6HopLimit(v, at),
    ],
    vectors: [
      { fields: [0, 0, 40, 6, 64], hex: '6000 0000 0028 06 40' },
      { fields: [0xbb, 0xfffff, 65535, 58, 255], hex: '6bbf ffff ffff 3a ff' },
      { fields: [0xc0, 0x12345, 1, 17, 1], hex: '6c01 2345 0001 11 01' },
    ],
  },
  {
    name: 'udp',
    emit: spread(emitUdp),
    parse: (v, at) => [
      getUdpSource(v, at),
      getUdpDestination(v, at),
      getUdpBytes(v, at),
      getUdpChecksum(v, at),
    ],
    vectors: [
      { fields: [49152, 4789, 8, 0], hex: 'c000 12b5 0008 0000' },
      { fields: [65535, 8472, 65535, 0xffff], hex: 'ffff 2118 ffff ffff' },
    ],
  },
  {
    name: 'tcp',
    emit: (view, offset, [source = 0, destination = 0, sequence = 0, acknowledge = 0, ...rest]) => {
      const [flags = 0, window = 0] = rest;
      emitTcp(view, offset, { source, destination, sequence, acknowledge, flags, window });
    },
    parse: (v, at) => [
      getTcpSource(v, at),
      getTcpDestination(v, at),
      getTcpSequence(v, at),
      getTcpAcknowledge(v, at),
      getTcpFlags(v, at),
      getTcpWindow(v, at),
    ],
    vectors: [
      {
        fields: [443, 50000, 0xffffffff, 0x80000000, 0x12, 65535],
        hex: '01bb c350 ffffffff 80000000 50 12 ffff 0000 0000',
      },
      {
        fields: [1, 2, 3, 4, 0xff, 5],
        hex: '0001 0002 00000003 00000004 50 ff 0005 0000 0000',
      },
    ],
  },
  {
    name: 'icmp echo',
    emit: (view, offset, [type = 0, , identifier = 0, sequence = 0]) =>
      emitIcmpEcho(view, offset, type, identifier, sequence, 0),
    parse: (v, at) => [
      getIcmpType(v, at),
      getIcmpCode(v, at),
      getIcmpIdentifier(v, at),
      getIcmpSequence(v, at),
    ],
    vectors: [
      { fields: [8, 0, 0x1234, 1], hex: '08 00 e5ca 1234 0001' },
      { fields: [0, 0, 0xffff, 0xffff], hex: '00 00 0000 ffff ffff' },
    ],
  },
  {
    name: 'vxlan',
    emit: (view, offset, [, vni = 0]) => emitVxlan(view, offset, vni),
    parse: (v, at) => [getVxlanFlags(v, at), getVni(v, at), getVxlanReserved(v, at)],
    vectors: [
      { fields: [8, 16384000, 0], hex: '08 000000 fa0000 00' },
      { fields: [8, 15728640, 0], hex: '08 000000 f00000 00' },
      { fields: [8, 0xffffff, 0], hex: '08 000000 ffffff 00' },
      { fields: [8, 1, 0], hex: '08 000000 000001 00' },
    ],
  },
  {
    name: 'virtio-net',
    emit: (view, offset, [flags = 0, type = 0, headerBytes = 0, gsoBytes = 0, ...rest]) => {
      const [csumStart = 0, csumOffset = 0] = rest;
      emitVirtioNet(view, offset, flags, csumStart, csumOffset);
      setVirtioGso(view, offset, type, headerBytes, gsoBytes);
    },
    parse: (v, at) => [
      getVirtioFlags(v, at),
      getVirtioGsoType(v, at),
      getVirtioHeaderBytes(v, at),
      getVirtioGsoBytes(v, at),
      getVirtioCsumStart(v, at),
      getVirtioCsumOffset(v, at),
    ],
    vectors: [
      { fields: [1, 1, 66, 1398, 34, 16], hex: '01 01 4200 7605 2200 1000' },
      { fields: [2, 0, 0, 0, 0, 0], hex: '02 00 0000 0000 0000 0000' },
      { fields: [1, 0x81, 54, 1448, 34, 16], hex: '01 81 3600 a805 2200 1000' },
      { fields: [1, 5, 42, 1200, 34, 6], hex: '01 05 2a00 b004 2200 0600' },
      { fields: [1, 4, 74, 1428, 54, 16], hex: '01 04 4a00 9405 3600 1000' },
    ],
  },
];
