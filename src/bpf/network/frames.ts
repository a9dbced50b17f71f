/**
 * What every frame of a layer-2 network meets, in either direction, before anybody asks what it carries; and what of
 * an IP packet is asked the same way whichever family it is of.
 * @module
 */
import {
  ETHERTYPE_LLDP,
  ETHERTYPE_MIN,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
} from '../../wire/ethernet.ts';
import {
  ETHERTYPE_EAPOL,
  ETHERTYPE_LOOP,
  ETHERTYPE_OLD_QINQ,
  ETHERTYPE_PAUSE,
  ETHERTYPE_SLOW,
  RESERVED_COUNT,
  RESERVED_HIGH,
  RESERVED_LOW,
  VENDOR_HIGH,
  VENDOR_THIRD,
} from '../../wire/lan/control-frames.ts';
import { DHCP_BYTES_MIN, DHCP_CLIENT_MAC_OFFSET, DHCP_COOKIE } from '../../wire/lan/dhcp.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { reg } from '../assembler.ts';
import { Register } from '../instructions.ts';
import { ETHERTYPE, FRAGMENT_MASK, IPV4, STACK } from '../link-program.ts';
import { TUNNEL_PROTOCOLS } from '../outward.ts';
import { copyAt } from '../six-header.ts';
import type { NetworkProgram } from './network-program.ts';

const { R1, R2, FP } = Register;

const CONTROL_TYPES = [
  ...[ETHERTYPE_LLDP, ETHERTYPE_PAUSE, ETHERTYPE_SLOW, ETHERTYPE_EAPOL, ETHERTYPE_LOOP],
];
const TAGS = [ETHERTYPE_VLAN, ETHERTYPE_QINQ, ETHERTYPE_OLD_QINQ];
const COOKIE_OFFSET = DHCP_BYTES_MIN - 4;
/** Hardware type Ethernet, and the length of its addresses, behind the operation. */
const DHCP_KIND = 0x0106;

/** The frame has one sender, and is no word to the next switch; else it ends. Loses R1 and R2. */
export function checkEthernet(program: NetworkProgram): void {
  const { asm } = program;
  const control = program.drop('drop.control_protocol');
  const [single, usual, vendor] = [asm.fresh('single'), asm.fresh('usual'), asm.fresh('vendor')];
  asm.load(1, R1, FP, STACK.sourceMac).jumpIf(R1, 'anyBit', 1, program.drop('drop.bad_mac'));
  asm.load(2, R1, FP, STACK.frame).fromNetwork(R1, 16).move(R2, reg(R1));
  asm.alu32('and', R2, 0x100).jumpIf(R2, 'equal', 0, single);
  asm.load(4, R2, FP, STACK.frame + 2).fromNetwork(R2, 32);
  asm.jumpIf(R1, 'notEqual', RESERVED_HIGH, vendor).alu32('sub', R2, RESERVED_LOW);
  asm.jumpIf32(R2, 'below', RESERVED_COUNT, control).jump(single);
  asm.label(vendor).jumpIf(R1, 'notEqual', VENDOR_HIGH, single);
  asm.alu32('shiftRight', R2, 24).jumpIf(R2, 'equal', VENDOR_THIRD, control);
  asm.label(single).load(2, R1, FP, STACK.etherType).fromNetwork(R1, 16);
  for (const type of Object.values(ETHERTYPE)) asm.jumpIf(R1, 'equal', type, usual);
  asm.jumpIf(R1, 'below', ETHERTYPE_MIN, control);
  for (const type of CONTROL_TYPES) asm.jumpIf(R1, 'equal', type, control);
  for (const tag of TAGS) asm.jumpIf(R1, 'equal', tag, program.drop('drop.unknown_ethertype'));
  asm.label(usual);
}

/** What the header of an IPv4 packet says, where that of an IPv6 one is kept. Loses R1. */
export function keepIpv4({ asm }: NetworkProgram): void {
  asm.load(1, R1, FP, STACK.l3 + IPV4.protocol).store(8, FP, STACK.next, reg(R1));
  asm.load(4, R1, FP, STACK.headerBytes).store(8, FP, STACK.nextAt, reg(R1));
  asm.load(4, R1, FP, STACK.totalBytes).store(8, FP, STACK.end, reg(R1));
  asm.load(2, R1, FP, STACK.l3 + IPV4.fragment).fromNetwork(R1, 16);
  asm.alu32('and', R1, FRAGMENT_MASK).store(8, FP, STACK.isFragment, reg(R1));
}

/** Tunnels inside of this one end. R1 = the protocol. */
export function noTunnelInside(program: NetworkProgram): void {
  const { asm } = program;
  asm.load(8, R1, FP, STACK.next);
  for (const one of TUNNEL_PROTOCOLS) asm.jumpIf(R1, 'equal', one, program.drop('drop.nested'));
}

/** Has R1 the source port and R2 the destination port of a whole datagram; R1 is its length. Loses R0 to R5. */
export function takePorts(program: NetworkProgram, other: string): void {
  const { asm } = program;
  asm.load(8, R1, FP, STACK.isFragment).jumpIf(R1, 'notEqual', 0, other);
  asm.load(8, R2, FP, STACK.nextAt).load(8, R1, FP, STACK.end).alu('sub', R1, reg(R2));
  asm.jumpIf(R1, 'below', UDP_HEADER_BYTES, other);
  copyAt(program, STACK.extension, 4, other);
  asm.load(2, R1, FP, STACK.extension).fromNetwork(R1, 16);
  asm.load(2, R2, FP, STACK.extension + 2).fromNetwork(R2, 16);
}

/** Goes to `other` unless the datagram carries a DHCP message, whose client's MAC is taken. Loses R0 to R5. */
export function takeClient(program: NetworkProgram, other: string): void {
  const { asm } = program;
  const at = (offset: number, bytes: number): void => {
    asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, UDP_HEADER_BYTES + offset);
    copyAt(program, STACK.extension, bytes, other);
  };
  asm.load(8, R2, FP, STACK.nextAt).load(8, R1, FP, STACK.end).alu('sub', R1, reg(R2));
  asm.jumpIf(R1, 'below', UDP_HEADER_BYTES + DHCP_BYTES_MIN, other);
  at(1, 2);
  asm.load(2, R1, FP, STACK.extension).fromNetwork(R1, 16).jumpIf(R1, 'notEqual', DHCP_KIND, other);
  at(COOKIE_OFFSET, 4);
  asm.load(4, R1, FP, STACK.extension).fromNetwork(R1, 32);
  asm.jumpIf32(R1, 'notEqual', DHCP_COOKIE, other);
  at(DHCP_CLIENT_MAC_OFFSET, 6);
  program.takeMacAt(STACK.extension);
}
