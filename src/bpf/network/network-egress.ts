/**
 * Out of a port of a layer-2 network: a frame that leaves the bridge gets the tunnel key of the host that has its
 * destination, is answered, goes to several, or is dropped for a reason. The order of the checks is that of
 * dataplane/egress/network/vni.ts.
 * @module
 */
import { egressIndex, ingressIndex } from '../../table/counters.ts';
import { FdbFlag } from '../../table/fdb.ts';
import { Service } from '../../table/flood.ts';
import { DSCP_MASK } from '../../wire/ecn.ts';
import { PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { DHCP_SERVER_PORT, DHCPV6_SERVER_PORT } from '../../wire/lan/dhcp.ts';
import { reg } from '../assembler.ts';
import { Register, SKB } from '../instructions.ts';
import { type Direction, ETHERNET_BYTES, IPV4, STACK } from '../link-program.ts';
import { SOURCE, takeIpv6 } from '../six-header.ts';
import { mayHaveMac, maySendFrom, type StackAddress } from './claims.ts';
import { passCopies } from './copies.ts';
import { byDestination, byMac, toService } from './forward.ts';
import { checkEthernet, keepIpv4, noTunnelInside, takeClient, takePorts } from './frames.ts';
import { branchToNd } from './nd.ts';
import type { NetworkMaps, NetworkPath } from './network-path.ts';
import { NetworkProgram, PLACES } from './network-program.ts';
import { arp, neighbours } from './questions.ts';

const { R1, R2, R6, FP } = Register;

const IPV4_SOURCE: StackAddress = { at: STACK.l3 + IPV4.source, bytes: 4 };
const IPV6_SOURCE: StackAddress = { at: SOURCE, bytes: 16 };

/** Where a UDP datagram goes on: what clients ask goes to who has the service, and only servers answer. */
function services(program: NetworkProgram, bytes: 4 | 16): string {
  return program.tail(`udp.${bytes}`, () => {
    const { asm, path } = program;
    const server = bytes === 4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT;
    const forward = byDestination(program);
    const other = asm.fresh('other');
    takePorts(program, forward);
    asm.jumpIf(R2, 'equal', path.port, program.drop('drop.nested'));
    asm.jumpIf(R1, 'notEqual', server, other).jumpIf(R2, 'equal', server, other);
    program.mustHaveFlag(FdbFlag.DhcpServer, program.drop('drop.rogue_dhcp'));
    if (bytes === 4) {
      asm.load(1, R1, FP, STACK.frame).alu32('and', R1, 1).jumpIf(R1, 'equal', 0, forward);
      // A client without an address yet is answered by broadcast: but it has a MAC.
      takeClient(program, forward);
      byMac(program);
    } else asm.jump(forward);
    asm.label(other).jumpIf(R2, 'notEqual', server, forward);
    asm.load(1, R1, FP, STACK.frame).alu32('and', R1, 1).jumpIf(R1, 'equal', 0, forward);
    asm.jump(toService(program, Service.Dhcp));
  });
}

/** An IP packet whose header is honest. */
function admit(program: NetworkProgram, source: StackAddress): void {
  const { asm } = program;
  maySendFrom(program, source);
  noTunnelInside(program);
  asm.jumpIf(R1, 'equal', PROTOCOL_UDP, services(program, source.bytes));
  asm.jump(byDestination(program));
}

function ipv4(program: NetworkProgram): void {
  const { asm, path } = program;
  program.ipv4Lengths(program.drop('drop.malformed'));
  keepIpv4(program);
  if (path.dscp === 'uniform') {
    asm.load(1, R1, FP, STACK.l3 + IPV4.tos).alu32('and', R1, DSCP_MASK);
    asm.store(4, FP, PLACES.outerClass, reg(R1));
  }
  admit(program, IPV4_SOURCE);
}

function ipv6(program: NetworkProgram): void {
  const { asm, path } = program;
  const nd = asm.fresh('nd');
  takeIpv6(program);
  if (path.dscp === 'uniform') {
    asm.load(2, R1, FP, STACK.ipv6).fromNetwork(R1, 16).alu32('shiftRight', R1, 4);
    asm.alu32('and', R1, DSCP_MASK).store(4, FP, PLACES.outerClass, reg(R1));
  }
  branchToNd(program, nd);
  admit(program, IPV6_SOURCE);
  asm.label(nd);
  neighbours(program);
}

/** A frame that is neither ARP nor IP: nothing in it is ours to look at. */
function other(program: NetworkProgram): void {
  const { asm, path } = program;
  asm.load(4, R1, R6, SKB.length).alu('sub', R1, ETHERNET_BYTES);
  asm.jumpIf(R1, 'above', path.innerMtu, program.drop('drop.too_big'));
  asm.store(4, FP, STACK.totalBytes, reg(R1)).jump(byDestination(program));
}

/** The program for what leaves by the device, as the kernel takes it. */
export function networkEgress(path: NetworkPath, maps: NetworkMaps): Uint8Array<ArrayBuffer> {
  const program = new NetworkProgram('egress', path, maps);
  const { asm } = program;
  passCopies(program);
  program.begin();
  if (path.dscp === 'uniform') asm.store(4, FP, PLACES.outerClass, 0);
  program.frame({ arp: 'arp', ipv6: 'ipv6', other: 'other' }, () => {
    checkEthernet(program);
    mayHaveMac(program);
  });
  ipv4(program);
  asm.label('arp');
  arp(program);
  asm.label('ipv6');
  ipv6(program);
  asm.label('other');
  other(program);
  return program.build();
}

/**
 * What stands where the programs of a network should, of either direction, once somebody has taken those away: it
 * drops and counts all that it is given.
 */
export function networkClosed(
  direction: Direction,
  path: NetworkPath,
  maps: NetworkMaps,
): Uint8Array<ArrayBuffer> {
  const program = new NetworkProgram(direction, path, maps);
  program.begin();
  program.asm.jump(
    program.dropAt(
      direction === 'egress' ? egressIndex('drop.send_error') : ingressIndex('drop.device_down'),
    ),
  );
  return program.build();
}
