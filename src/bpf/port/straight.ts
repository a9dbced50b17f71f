/**
 * From a container's port straight to the underlay: small packets of IPv4 get their outer headers here, and leave by
 * the device that the kernel's routes say, where the tunnel's device would have sent them too.
 *
 * Every check of the device's program is made, and what does not pass one, or needs more than is done here,
 * goes to the device as it is: that program judges it, counts it and tells of it. What has the device send
 * it, too: super-packets, which its headers are right for, and all that a path might be too small for, since ICMP and
 * routes say so to the device alone.
 * @module
 */
import { hasIpv4 } from '../../net/fan.ts';
import { egressIndex } from '../../table/counters.ts';
import { DSCP_MASK, ECN_MASK } from '../../wire/ecn.ts';
import { PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { reg } from '../assembler.ts';
import { BYPASS, type FanMaps, type FanPath } from '../fan-path.ts';
import { FrameProgram } from '../frame-program.ts';
import { ADJUST, FIB, FIB_BYTES, FIB_SKIP_NEIGHBOUR, Register, SKB } from '../instructions.ts';
import { ETHERNET_BYTES, FRAGMENT_MASK, IPV4, STACK } from '../link-program.ts';
import { OUTER_TTL } from '../outward.ts';
import { portProgram } from './port.ts';

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP } = Register;

/** Outer source ports. */
export type PortRange = { first: number; last: number };

const IPV4_BYTES = 20;
const PORTS_BYTES = 4;
const PROTOCOL_ICMP = 1;
const PROTOCOL_TCP = 6;
const VERSION_AND_LENGTH = 0x45;
const MULTICAST = 0xe;
const ECN_CE = 3;
const DONT_FRAGMENT = 0x4000;
const VXLAN_FLAGS = 0x08;
const AF_INET = 2;
/** Loopback's ifindex: who asks as it does is sending himself, by whatever device. */
const LOOPBACK = 1;
/** Outer IPv4, UDP and VXLAN headers, then the Ethernet header inside. */
const OUTER_BYTES = 50;
/** Linux believes of no path that it is smaller (net.ipv4.route.min_pmtu, by default), outer bytes. */
export const STRAIGHT_MTU = 552;
const HEADER = {
  ip: 0,
  tos: 1,
  bytes: 2,
  fragment: 6,
  ttl: 8,
  checksum: 10,
  source: 12,
  destination: 16,
  sourcePort: 20,
  udpBytes: 24,
  vxlan: 28,
  vni: 32,
  inner: 36,
} as const;
/** Where the headers are made; behind them and before them is what other programs have of IPv6. */
const HEADER_AT = -252;
/** What is asked of the routes, 64 bytes, and the next hop. */
const FIB_AT = STACK.longHeader;
const HOP_AT = STACK.neighbour;
const HOP_BYTES = 20;

/** A number in network order, as an immediate operand of this little-endian code. */
function inNetworkOrder(value: number, bytes: 2 | 4): number {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value >>> 0, 0, bytes);
  return bytes === 2 ? buffer.readUInt16LE(0) : buffer.readInt32LE(0);
}

/** The IPv4 header on the stack, and the Ethernet header where it will be inside. Loses R1 to R3. */
function takePacket({ asm, path }: FrameProgram, device: string): void {
  const udp = asm.fresh('ports');
  const known = asm.fresh('known');
  const ports = ETHERNET_BYTES + IPV4_BYTES;
  asm.load(4, R2, R6, SKB.data).load(4, R3, R6, SKB.dataEnd);
  asm
    .move(R1, reg(R2))
    .alu('add', R1, ports + PORTS_BYTES)
    .jumpIf(R1, 'above', reg(R3), device);
  const inner = HEADER_AT + HEADER.inner;
  for (const [at, bytes] of [
    [0, 4],
    [4, 2],
    [6, 2],
    [8, 4],
    [12, 2],
  ] as const) {
    asm.load(bytes, R1, R2, at).store(bytes, FP, inner + at, reg(R1));
  }
  for (const [at, bytes] of [
    [0, 8],
    [8, 8],
    [16, 4],
  ] as const) {
    asm.load(bytes, R1, R2, ETHERNET_BYTES + at).store(bytes, FP, STACK.l3 + at, reg(R1));
  }
  asm.load(1, R1, FP, STACK.l3 + IPV4.protocol).jumpIf(R1, 'equal', PROTOCOL_UDP, udp);
  asm.jumpIf(R1, 'equal', PROTOCOL_TCP, known).jumpIf(R1, 'notEqual', PROTOCOL_ICMP, device);
  asm.jump(known);
  // A datagram of this very tunnel.
  asm
    .label(udp)
    .load(2, R1, R2, ports + 2)
    .fromNetwork(R1, 16);
  asm.jumpIf(R1, 'equal', path.port, device).label(known);
}

/** A whole packet without options, small, and of a class that goes outside as it is. Loses R1 and R2. */
function checkPacket({ asm }: FrameProgram, device: string): void {
  asm.load(1, R1, FP, STACK.l3).jumpIf(R1, 'notEqual', VERSION_AND_LENGTH, device);
  asm.load(2, R1, FP, STACK.l3 + IPV4.fragment).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'anyBit', FRAGMENT_MASK, device);
  asm.load(2, R1, FP, STACK.l3 + IPV4.totalBytes).fromNetwork(R1, 16);
  asm.load(4, R2, R6, SKB.length).alu('add', R2, -ETHERNET_BYTES);
  asm.jumpIf(R1, 'notEqual', reg(R2), device);
  asm.jumpIf(R1, 'above', STRAIGHT_MTU - OUTER_BYTES, device);
  asm.load(1, R1, FP, STACK.l3 + IPV4.tos).alu32('and', R1, ECN_MASK);
  asm.jumpIf(R1, 'equal', ECN_CE, device);
}

/** The sender is ours and known so, and the receiver another host's, whose address is R9 then. */
function checkEnds(program: FrameProgram, device: string): void {
  const { asm, maps, path } = program;
  const [source, destination] = [STACK.l3 + IPV4.source, STACK.l3 + IPV4.destination];
  program.takeAddress(source);
  program.mustBeInside(device);
  program.hostOf();
  program.mustBeHere(device);
  program.findMac(maps.localMacs);
  asm.jumpIf(R0, 'equal', 0, device).store(8, R0, 0, reg(R8));
  program.takeAddress(destination);
  asm.move(R2, reg(R1)).alu32('shiftRight', R2, 28).jumpIf(R2, 'equal', MULTICAST, device);
  program.mustBeInside(device);
  program.hostOf();
  asm.jumpIf32(R0, 'equal', path.local, device).move(R9, reg(R0));
  program.mustBeStation(R0, program.underlayMask, device);
  program.mustBeWorkload(destination, device);
}

/** R1 = the outer class: ECN of what is inside, and its DSCP where that is asked for. */
function outerClass({ asm, path }: FrameProgram): void {
  asm.load(1, R1, FP, STACK.l3 + IPV4.tos);
  asm.alu32('and', R1, path.dscp === 'uniform' ? DSCP_MASK | ECN_MASK : ECN_MASK);
}

/** The kernel's route to the host in R9 must lead out of the device that control says; has the next hop then. */
function findHop(program: FrameProgram, device: string): void {
  const { asm, path } = program;
  for (let at = 0; at < FIB_BYTES; at += 8) asm.store(8, FP, FIB_AT + at, 0);
  asm.store(1, FP, FIB_AT + FIB.family, AF_INET).store(1, FP, FIB_AT + FIB.protocol, PROTOCOL_UDP);
  asm
    .load(2, R1, FP, STACK.l3 + IPV4.totalBytes)
    .fromNetwork(R1, 16)
    .alu('add', R1, OUTER_BYTES);
  asm.store(2, FP, FIB_AT + FIB.bytes, reg(R1)).store(4, FP, FIB_AT + FIB.device, LOOPBACK);
  outerClass(program);
  asm.store(1, FP, FIB_AT + FIB.tos, reg(R1));
  asm.store(4, FP, FIB_AT + FIB.source, inNetworkOrder(path.local, 4));
  asm
    .move(R1, reg(R9))
    .fromNetwork(R1, 32)
    .store(4, FP, FIB_AT + FIB.destination, reg(R1));
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, FIB_AT).move(R3, FIB_BYTES);
  asm.move(R4, FIB_SKIP_NEIGHBOUR).call('fibLookup').jumpIf(R0, 'notEqual', 0, device);
  asm.load(1, R1, FP, FIB_AT + FIB.family).jumpIf(R1, 'notEqual', AF_INET, device);
  asm.load(4, R1, FP, FIB_AT + FIB.device).load(4, R2, R7, BYPASS.device);
  asm.jumpIf(R1, 'notEqual', reg(R2), device).move(R7, reg(R1));
  asm.load(4, R1, FP, FIB_AT + FIB.destination);
  asm.store(4, FP, HOP_AT, AF_INET).store(4, FP, HOP_AT + 4, reg(R1));
  asm.store(8, FP, HOP_AT + 8, 0).store(4, FP, HOP_AT + 16, 0);
}

/** The outer headers (RFC 791, RFC 768, RFC 7348 §5) to the host in R9; the source port by flow. Loses R0 to R5. */
function makeHeaders(program: FrameProgram, { first, last }: PortRange): void {
  const { asm, path } = program;
  const at = (field: keyof typeof HEADER): number => HEADER_AT + HEADER[field];
  // As udp_flow_src_port() of the kernel, so that a flow has one port, whichever way its packets go.
  asm.move(R1, reg(R6)).call('hash').move(R1, reg(R0)).alu('shiftLeft', R1, 16);
  asm
    .alu32('xor', R0, reg(R1))
    .alu('multiply', R0, last - first)
    .alu('shiftRight', R0, 32);
  asm.alu('add', R0, first).fromNetwork(R0, 16).store(2, FP, at('sourcePort'), reg(R0));
  asm.store(2, FP, at('sourcePort') + 2, inNetworkOrder(path.port, 2));
  outerClass(program);
  asm.store(1, FP, at('ip'), VERSION_AND_LENGTH).store(1, FP, at('tos'), reg(R1)).move(R4, reg(R1));
  asm
    .load(2, R5, FP, STACK.l3 + IPV4.totalBytes)
    .fromNetwork(R5, 16)
    .alu('add', R5, OUTER_BYTES);
  asm.move(R1, reg(R5)).fromNetwork(R1, 16).store(2, FP, at('bytes'), reg(R1));
  asm
    .store(2, FP, at('bytes') + 2, 0)
    .store(2, FP, at('fragment'), inNetworkOrder(DONT_FRAGMENT, 2));
  const ttlAndProtocol = (OUTER_TTL << 8) | PROTOCOL_UDP;
  asm.store(2, FP, at('ttl'), inNetworkOrder(ttlAndProtocol, 2));
  asm.store(4, FP, at('source'), inNetworkOrder(path.local, 4));
  asm.move(R1, reg(R9)).fromNetwork(R1, 32).store(4, FP, at('destination'), reg(R1));
  // The sum of all that (RFC 1071): what is the same for every packet, then what is not.
  const same = (VERSION_AND_LENGTH << 8) + DONT_FRAGMENT + ttlAndProtocol;
  asm.move(R1, same + (path.local >>> 16) + (path.local & 0xffff)).alu('add', R1, reg(R4));
  asm.alu('add', R1, reg(R5)).move(R2, reg(R9)).alu('shiftRight', R2, 16).alu('add', R1, reg(R2));
  asm.move(R2, reg(R9)).alu('and', R2, 0xffff).alu('add', R1, reg(R2));
  for (let i = 0; i < 2; i++) {
    asm.move(R2, reg(R1)).alu('shiftRight', R2, 16).alu('and', R1, 0xffff).alu('add', R1, reg(R2));
  }
  asm.alu('xor', R1, 0xffff).fromNetwork(R1, 16).store(2, FP, at('checksum'), reg(R1));
  asm.alu('add', R5, -IPV4_BYTES).fromNetwork(R5, 16).store(2, FP, at('udpBytes'), reg(R5));
  // No sum of its own (RFC 7348 §5): the card may make that inside, and nothing here reads all of a packet.
  asm.store(2, FP, at('udpBytes') + 2, 0).store(4, FP, at('vxlan'), VXLAN_FLAGS);
  asm.store(4, FP, at('vni'), inNetworkOrder(path.vni << 8, 4));
}

/** Adds the bytes of the packet as it came, which has its outer headers already, to a counter. Loses R1 and R2. */
function countInner({ asm }: FrameProgram, index: number): void {
  asm.load(4, R2, R6, SKB.length).alu('add', R2, -OUTER_BYTES);
  asm
    .load(8, R1, R7, index * 8)
    .alu('add', R1, reg(R2))
    .store(8, R7, index * 8, reg(R1));
}

/** Sends the packet straight to the underlay, or goes to `device`. R7 = what control says, R8 = now. */
function straight(program: FrameProgram, sources: PortRange, device: string): void {
  const { asm, maps } = program;
  asm.load(4, R1, R7, BYPASS.device).jumpIf(R1, 'equal', 0, device);
  takePacket(program, device);
  checkPacket(program, device);
  checkEnds(program, device);
  findHop(program, device);
  makeHeaders(program, sources);
  asm.move(R9, reg(R7)).store(4, FP, STACK.scratch, 0);
  asm.loadMap(R1, maps.counters).move(R2, reg(FP)).alu('add', R2, STACK.scratch);
  asm.call('mapLookup').jumpIf(R0, 'equal', 0, device).move(R7, reg(R0));
  asm.move(R1, reg(R6)).move(R2, OUTER_BYTES).move(R3, ADJUST.behindMac).move(R4, ETHERNET_BYTES);
  asm.alu('shiftLeft', R4, ADJUST.innerBytesShift).alu('or', R4, ADJUST.vxlan);
  asm.call('adjustRoom').jumpIf(R0, 'notEqual', 0, device).move(R8, 1);
  program.count(egressIndex('received'));
  countInner(program, egressIndex('receivedBytes'));
  asm.move(R1, reg(R6)).move(R2, ETHERNET_BYTES).move(R3, reg(FP)).alu('add', R3, HEADER_AT);
  asm.move(R4, OUTER_BYTES).move(R5, 0).call('skbStoreBytes');
  asm.jumpIf(R0, 'notEqual', 0, program.dropAt(egressIndex('drop.send_error')));
  program.count(egressIndex('delivered'));
  countInner(program, egressIndex('deliveredBytes'));
  asm.move(R1, reg(R9)).move(R2, reg(FP)).alu('add', R2, HOP_AT).move(R3, HOP_BYTES).move(R4, 0);
  asm.call('redirectNeighbour').exit();
}

/**
 * The program at a port of a fan's bridge, as the kernel takes it, which wants it to be had by the terms of the GPL.
 * @param tunnel ifindex of the fan's device
 */
export function fanPort(
  path: FanPath,
  maps: FanMaps,
  tunnel: number,
  sources: PortRange,
): Uint8Array<ArrayBuffer> {
  const program = new FrameProgram('egress', path, maps);
  if (!hasIpv4(path.overlay)) return portProgram(program, tunnel);
  return portProgram(program, tunnel, (device) => straight(program, sources, device));
}
